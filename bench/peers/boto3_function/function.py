"""The function that most people would write: look, start, wait until the stream is ACTIVE with the key's type of encryption."""

import os
import time

import boto3

kinesis = boto3.client("kinesis")
KEY = os.environ["KMS_KEY_ID"]


def summary(name):
    return kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]


def handler(event, context):
    name = event["detail"]["requestParameters"]["streamName"]
    if summary(name)["EncryptionType"] == "KMS":
        return {"stream": name, "status": "compliant"}
    kinesis.start_stream_encryption(StreamName=name, EncryptionType="KMS", KeyId=KEY)
    while True:
        stream = summary(name)
        if stream["StreamStatus"] == "ACTIVE" and stream["EncryptionType"] == "KMS":
            return {"stream": name, "status": "encrypted"}
        time.sleep(1)
