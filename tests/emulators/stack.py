"""template.yaml as ministack's CloudFormation deploys it, with the real `bootstrap`, and who may call what enforced."""

import contextlib
import dataclasses
import datetime
import io
import ipaddress
import json
import os
import pathlib
import sys
import time
import zipfile

import boto3
from account import ACCOUNT, PROJECT, REGION, event
from botocore.config import Config
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from process import Process, free_port

# The transform asks boto3 for a Region, and for nothing else. Set before the import, which reads it.
os.environ.setdefault("AWS_DEFAULT_REGION", REGION)

from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

# What may call the first may call the second. docs/contributing/EMULATORS.md: `batch-actions`.
BATCHES = {
    "sqs:SendMessage": "sqs:SendMessageBatch",
    "sqs:DeleteMessage": "sqs:DeleteMessageBatch",
    "sqs:ChangeMessageVisibility": "sqs:ChangeMessageVisibilityBatch",
}
# An event that is ignored, without a call to AWS.
NOTHING_TO_DO = event("encryption-stop-denied") | {"id": "00000000-0000-0000-0000-000000000000"}
CODE = {"Bucket": "code", "Key": "bootstrap.zip"}


class Ministack:
    """ministack with authorisation on. It serves with TLS: the queues' policies turn away whoever comes without."""

    def __init__(self, directory):
        self.certificate, key = _certificate(directory)
        port = free_port()
        self.endpoint = f"https://127.0.0.1:{port}"
        self.process = Process("ministack", [sys.executable, "-m", "hypercorn", "ministack.app:app", "--bind", f"127.0.0.1:{port}",
                                             "--certfile", self.certificate, "--keyfile", key], port=port, environment={
            "AUTH": "true",
            "MINISTACK_ACCOUNT_ID": ACCOUNT,
            "MINISTACK_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(port),
            "IOT_MTLS_ENABLED": "0",
            "CLOUDTRAIL_RECORDING": "1",
            # Between the attempts at an asynchronous invocation; AWS's are a minute and two.
            "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.1",
            "TMPDIR": str(directory),
            # These three only make its addresses what they are, and reach the function.
            "USE_SSL": "1",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_CA_BUNDLE": str(self.certificate),
        })

    def client(self, service):
        """A client with every right in the account: an access key that is the account's number is its root's."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            verify=str(self.certificate),
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=60, proxies={}),
        )

    def upload(self, bootstrap):
        """Puts the function's code where templates take it from."""
        s3 = self.client("s3")
        s3.create_bucket(Bucket=CODE["Bucket"])
        package = io.BytesIO()
        with zipfile.ZipFile(package, "w") as archive:
            entry = zipfile.ZipInfo("bootstrap")
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, pathlib.Path(bootstrap).read_bytes())
        s3.put_object(**CODE, Body=package.getvalue())


@dataclasses.dataclass
class Invocation:
    """What came of an invocation."""

    answer: dict
    error: str | None
    log: str

    def __str__(self):
        return f"{json.dumps(self.answer)}\n{self.log}"


class Stack:
    """One deployment of the template."""

    def __init__(self, ministack, name, parameters, change=lambda template: None):
        """Deploys it; `change` is made to the CloudFormation template before."""
        self._client = ministack.client
        template = deployable(parameters)
        change(template)
        location = {"Bucket": CODE["Bucket"], "Key": f"{name}.json"}
        # Longer than what CloudFormation takes in the call itself, as with `sam deploy`.
        self._client("s3").put_object(**location, Body=json.dumps(template))
        self._client("cloudformation").create_stack(
            StackName=name,
            TemplateURL=f"{ministack.endpoint}/{location['Bucket']}/{location['Key']}",
            Capabilities=["CAPABILITY_IAM"],
            Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        )
        self.outputs = {output["OutputKey"]: output["OutputValue"] for output in self._wait(name)["Outputs"]}
        resources = self._client("cloudformation").describe_stack_resources(StackName=name)["StackResources"]
        self.resources = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in resources}

    def invoke(self, payload):
        """Invokes the function and waits for it."""
        before = self._ended()
        answer = self._client("lambda").invoke(FunctionName=self.outputs["FunctionName"], Payload=json.dumps(payload))
        body = json.load(answer["Payload"])
        give_up = time.monotonic() + 10
        while self._ended() == before:
            assert time.monotonic() < give_up, "the log does not show the invocation after 10 s"
            time.sleep(0.02)
        request = next(line.split()[2] for line in self.log()[before:] if line.startswith("START RequestId"))
        self.complete_log()
        log = "\n".join(line for line in self.log() if request in line)
        return Invocation(body, body["errorType"] if "FunctionError" in answer else None, log)

    def complete_log(self):
        """Has the log show all that was printed so far: ministack takes what it has not read by the end of an invocation for the next one's."""
        self._client("lambda").invoke(FunctionName=self.outputs["FunctionName"], Payload=json.dumps(NOTHING_TO_DO))

    def invoke_later(self, payload):
        """Leaves it to Lambda to invoke the function, asynchronously."""
        self._client("lambda").invoke(FunctionName=self.outputs["FunctionName"], Payload=json.dumps(payload), InvocationType="Event")

    def configure(self, **variables):
        """Changes the function's environment: what runs from now on is a new process."""
        function = {"FunctionName": self.outputs["FunctionName"]}
        now = self._client("lambda").get_function_configuration(**function)["Environment"]["Variables"]
        self._client("lambda").update_function_configuration(**function, Environment={"Variables": now | variables})

    def log(self):
        """The lines of the function's log."""
        pages = self._client("logs").get_paginator("filter_log_events").paginate(logGroupName=self.outputs["LogGroupName"])
        return [event["message"] for page in pages for event in page["events"]]

    def _ended(self):
        """How long the log is up to the end of the last invocation."""
        return max((number for number, line in enumerate(self.log(), start=1) if line.startswith("END RequestId")), default=0)

    def letters(self):
        """Takes all messages out of the dead-letter queue: their bodies."""
        return [json.loads(message["Body"]) for message in self.take(self.outputs["DeadLetterQueueUrl"])]

    def wait_for_letter(self):
        """Takes the next message out of the dead-letter queue: its body."""
        give_up = time.monotonic() + 30
        while not (messages := self.take(self.outputs["DeadLetterQueueUrl"], at_most=1)):
            assert time.monotonic() < give_up, "no letter after 30 s"
            time.sleep(0.05)
        return json.loads(messages[0]["Body"])

    def take(self, queue, at_most=None):
        """Takes the messages out of a queue that can be received now."""
        sqs, taken = self._client("sqs"), []
        while (at_most is None or len(taken) < at_most) and (messages := sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=1).get("Messages")):
            taken += messages
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=messages[0]["ReceiptHandle"])
        return taken

    @contextlib.contextmanager
    def without(self, policy, statement, actions):
        """The role without these actions in one statement of one of its policies."""
        whole = self._replace(policy, lambda document: _without(document, statement, actions))
        try:
            yield
        finally:
            self._replace(policy, lambda _: whole)

    def _replace(self, policy, change):
        """Makes a changed version of a policy the only one: the document that it had."""
        iam, arn = self._client("iam"), self.resources[policy]
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        document = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        # docs/contributing/EMULATORS.md: `one-version-back`.
        iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(change(document)), SetAsDefault=True)
        iam.delete_policy_version(PolicyArn=arn, VersionId=version)
        return document

    def _wait(self, name):
        cloudformation = self._client("cloudformation")
        give_up = time.monotonic() + 60
        while (stack := cloudformation.describe_stacks(StackName=name)["Stacks"][0])["StackStatus"].endswith("IN_PROGRESS"):
            assert time.monotonic() < give_up, f"{name} is {stack['StackStatus']} after a minute"
            time.sleep(0.05)
        events = cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failed = {event["LogicalResourceId"]: event.get("ResourceStatusReason") for event in events if "FAILED" in event["ResourceStatus"]}
        assert stack["StackStatus"] == "CREATE_COMPLETE", failed
        return stack


def deployable(parameters):
    """The template as CloudFormation gets it from the SAM transform, but for what ministack cannot do."""
    source = yaml_parse((PROJECT / "template.yaml").read_text(encoding="utf-8"))
    # The transform wants the code packaged, as `sam deploy` does it.
    source["Resources"]["Function"]["Properties"]["CodeUri"] = f"s3://{CODE['Bucket']}/{CODE['Key']}"
    return adapted(Translator({}, Parser()).translate(source, dict(parameters)), parameters)


def adapted(template, parameters):
    """A CloudFormation template without what ministack cannot do; its conditions are evaluated with these parameters.

    docs/contributing/EMULATORS.md: `no-split-in-conditions`, `no-saved-queries`, `batch-actions`, `no-events-source`.
    """
    values = {name: parameter.get("Default") for name, parameter in template["Parameters"].items()} | parameters

    def evaluated(node):
        match node:
            case {"Fn::Split": [separator, {"Ref": name}]}:
                return str(values[name]).split(separator)
            case {"Fn::Join": [separator, {"Ref": name}]}:
                return separator.join(values[name].split(","))
            case dict():
                return {key: evaluated(value) for key, value in node.items()}
            case list():
                return [evaluated(value) for value in node]
        return node

    template["Conditions"] = evaluated(template["Conditions"])
    left_out = [name for name, resource in template["Resources"].items()
                if resource["Type"] == "AWS::Logs::QueryDefinition" or "Metrics" in resource.get("Properties", {})]
    for name in left_out:
        del template["Resources"][name]
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
                statement["Action"] = actions + [BATCHES[action] for action in actions if action in BATCHES]
                if statement["Sid"] == "TellOutcomes":
                    del statement["Condition"]
    return template


def _without(document, sid, actions):
    """A policy document without these actions in one of its statements."""
    (statement,) = [each for each in document["Statement"] if each["Sid"] == sid]
    kept = [action for action in statement["Action"] if action not in actions]
    assert len(kept) < len(statement["Action"]), f"{sid} does not allow {actions}"
    # A document needs a statement, and a statement an action.
    changed = {**statement, "Action": kept} if kept else {**statement, "Effect": "Deny", "Action": ["none:None"]}
    return {**document, "Statement": [changed if each is statement else each for each in document["Statement"]]}


def _certificate(directory):
    """Files with a certificate for 127.0.0.1, signed by nobody else, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "ministack")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        # rustls takes no authority's certificate for a server's.
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = pathlib.Path(directory) / "certificate.pem", pathlib.Path(directory) / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return paths
