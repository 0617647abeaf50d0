"""Deploys the plain CloudFormation template, restricted to the run's own streams.

Two things keep the function away from every other stream, each of them alone: the policy exempts
the stream, and the role is denied to encrypt it.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from verify.account import Account
from verify.lab import Lab

# A resource of the run's own in the template. The role refers to it, so it is never without it.
RESTRICTION = "VerificationRestriction"


class Refused(Exception):
    """The run cannot go on, for a reason that the person can do something about."""


@dataclass(frozen=True)
class Package:
    """The function's zip, its architecture, and the template."""

    zip: pathlib.Path
    architecture: str
    template: pathlib.Path

    def check(self) -> None:
        for path, command in (
            (self.zip, "cargo lambda build --release --arm64 --bin bootstrap --output-format zip"),
            (self.template, "make stackset-template"),
        ):
            if not path.is_file():
                raise Refused(f"{path} does not exist: build it with `{command}`, or name another file (--help)")


def rules(lab: Lab) -> str:
    """The policy of the deployed function (docs/POLICY.md)."""
    mine = {"name": "verification", "match": {"stream": lab.names.managed}, "key": lab.keys["applied"]}
    others = {"name": "everything else", "match": {}, "mode": "exempt", "reason": "not a stream of this verification"}
    return json.dumps({"version": 1, "rules": [mine, others]})


def restricted(template: dict[str, Any], lab: Lab) -> dict[str, Any]:
    """The template with a further policy of the role: it may encrypt no other streams.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notresource.html
    """
    template = json.loads(json.dumps(template))
    # The key is a resource of the call, too.
    allowed = [lab.stream_arn(lab.names.managed), lab.keys["applied"]]
    statement = {
        "Sid": "NoOtherStreams",
        "Effect": "Deny",
        "Action": "kinesis:StartStreamEncryption",
        "NotResource": allowed,
    }
    template["Resources"][RESTRICTION] = {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {"PolicyDocument": {"Version": "2012-10-17", "Statement": [statement]}},
    }
    template["Resources"]["Role"]["Properties"]["ManagedPolicyArns"].append({"Ref": RESTRICTION})
    return template


def parameters(lab: Lab, bucket: str, code: str, architecture: str) -> dict[str, str]:
    return {
        "CodeBucket": bucket,
        "CodeKey": code,
        "Architecture": architecture,
        "KmsKeyId": lab.keys["applied"],
        "KmsKeyArns": lab.keys["applied"],
        "Policy": rules(lab),
        "Mode": "enforce",
        # Nothing but events and the experiments starts the function.
        "ScheduleExpression": "",
        "WatchConfig": "false",
        "WatchSecurityHub": "false",
        "IacGraceSeconds": "0",
        "ShowDashboard": "false",
        "LogRetentionDays": "1",
        "MetricsNamespace": lab.names.prefix,
    }


def deploy(lab: Lab, package: Package) -> None:
    """Creates the stack and waits for it."""
    account, bucket = lab.account, lab.names.of("code")
    s3, cloudformation = account.client("s3"), account.client("cloudformation")
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html: us-east-1 is not a
    # location that can be given.
    place = (
        {} if account.region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": account.region}}
    )
    s3.create_bucket(Bucket=bucket, **place)
    code = package.zip.read_bytes()
    code_key = f"{hashlib.sha256(code).hexdigest()}.zip"
    s3.put_object(Bucket=bucket, Key=code_key, Body=code)
    template = restricted(json.loads(package.template.read_text(encoding="utf-8")), lab)
    s3.put_object(Bucket=bucket, Key="template.json", Body=json.dumps(template).encode())

    name = lab.names.of("stack")
    given = parameters(lab, bucket, code_key, package.architecture)
    cloudformation.create_stack(
        StackName=name,
        # https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html#path-style-access
        TemplateURL=f"{s3.meta.endpoint_url}/{bucket}/template.json",
        Capabilities=["CAPABILITY_IAM"],
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        # What failed is removed by this program, after its events have been read.
        OnFailure="DO_NOTHING",
    )
    stack = wait_for_stack(account, name, lambda status: status != "CREATE_IN_PROGRESS", lab.patience.pause)
    if stack is None or stack["StackStatus"] != "CREATE_COMPLETE":
        raise Refused(f"the stack {name} could not be created: {_failures(account, name)}")
    lab.function = next(output["OutputValue"] for output in stack["Outputs"] if output["OutputKey"] == "FunctionName")


def wait_for_stack(
    account: Account, name: str, done: Callable[[str], bool], pause: float, patience: float = 1800
) -> dict[str, Any] | None:
    """The stack as soon as its status is one that is waited for; none if it does not exist."""
    cloudformation, end = account.client("cloudformation"), time.monotonic() + patience
    while True:
        try:
            stack: dict[str, Any] = cloudformation.describe_stacks(StackName=name)["Stacks"][0]
        except cloudformation.exceptions.ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        if done(stack["StackStatus"]) or time.monotonic() > end:
            return stack
        time.sleep(pause * 5)


def _failures(account: Account, name: str) -> str:
    events = account.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
    failed = [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', event['ResourceStatus'])}"
        for event in events
        if "FAILED" in event["ResourceStatus"]
    ]
    return "; ".join(failed[:5]) or "CloudFormation gives no reason"
