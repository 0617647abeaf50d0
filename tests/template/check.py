#!/usr/bin/env python3
"""Checks template.yaml and deploy/member-role.yaml without AWS: cfn-lint, the SAM transform, and what the parameters' patterns accept.

    python3 -m venv .venv && .venv/bin/pip install -r tests/template/requirements.txt
    .venv/bin/python tests/template/check.py

Exits with 1 when anything is found, a warning included.
"""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path

# The transform asks boto3 for a Region, and for nothing else. Set before the import, which reads it.
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"

from samtranslator.model.exceptions import InvalidDocumentException  # noqa: E402
from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

TEMPLATE = Path(__file__).resolve().parents[2] / "template.yaml"
MEMBER = TEMPLATE.parent / "deploy" / "member-role.yaml"
KEY_ID = "1234abcd-12ab-34cd-56ef-1234567890ab"
KEY_ARN = f"arn:aws:kms:us-east-1:111122223333:key/{KEY_ID}"

# Parameter: what it must take, what it must refuse.
PATTERNS = {
    "KmsKeyId": (
        [KEY_ID, KEY_ARN, f"arn:aws-us-gov:kms:us-gov-west-1:111122223333:key/{KEY_ID}", "mrk-1234abcd12ab34cd56ef1234567890ab", "alias/orders",
         "alias/aws/kinesis", "arn:aws-cn:kms:cn-north-1:111122223333:alias/team/orders"],
        ["", "orders", "alias/", KEY_ID[:-1], "arn:aws:kms:us-east-1:1111:key/" + KEY_ID, "arn:aws:kinesis:us-east-1:111122223333:stream/orders",
         KEY_ARN + " ", f"arn:aws:kms:us-east-1:111122223333:{KEY_ID}"],
    ),
    "KmsKeyArns": (["", KEY_ARN], ["*", "alias/orders", KEY_ID, "arn:aws:kms:us-east-1:111122223333:alias/orders", KEY_ARN + " "]),
    "ExemptTagKey": (["", "kinesis-encryption-enforcer:exempt", "x" * 128], ["aws:exempt", "x" * 129]),
    "ScheduleExpression": (["", "rate(1 hour)", "cron(0 3 * * ? *)"], ["1 hour", "rate()"]),
    "MetricsNamespace": (["KinesisEncryptionEnforcer", "Security/Kinesis #1"], ["", ":x", "a*b", "x" * 256]),
    "PolicyParameter": (["", "policy", "/kinesis/policy", "/a/b-c/d.e"], ["/", "a//b", "my policy", "arn:aws:ssm:us-east-1:1:parameter/a"]),
    "OutcomeEventBus": (["", "default", "security/events"], ["my bus", "arn:aws:events:us-east-1:1:event-bus/a"]),
    "MemberRoleName": (["", "enforcer", "security/a+b=c,d.e@f_g-h", "x" * 64], ["/enforcer", "enforcer/", "a//b", "a b", "x" * 65, "arn:aws:iam::444455556666:role/a"]),
    "MemberAccounts": (["", "444455556666"], ["4444", "*", " 444455556666", "444455556666,777788889999"]),
    "MemberExternalId": (["", "orders-7", "a:b/c"], ["x", "a b", "x" * 1225]),
    "AlarmEmail": (["", "on-call@example.com"], ["on-call", "a b@example.com", "@"]),
    "AlarmTopicArn": (["", "arn:aws:sns:us-east-1:111122223333:alarms"], ["alarms", "arn:aws:sqs:us-east-1:111122223333:alarms"]),
}

MEMBER_PATTERNS = {
    "FunctionRoleArn": (["arn:aws:iam::111122223333:role/enforcer-Role-1A2B", "arn:aws-cn:iam::111122223333:role/security/a"],
                        ["", "*", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:role/", "arn:aws:iam::*:role/enforcer"]),
    "ExternalId": (["orders-7", "a:b/c"], ["", "x", "a b", "x" * 1225]),
    "RoleName": (["enforcer", "x" * 64], ["", "a/b", "x" * 65]),
    "KmsKeyArns": PATTERNS["KmsKeyArns"],
}


def lint():
    """cfn-lint's findings, of every level down to informational."""
    program = "import sys; from cfnlint.runner import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "--include-checks", "I", "--format", "parseable", "--", str(TEMPLATE), str(MEMBER)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [f"cfn-lint: {line}" for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    return lines or ([f"cfn-lint: exit code {result.returncode}"] if result.returncode else [])


def transform(overrides):
    """What the SAM transform objects to, with these parameters."""
    warnings = []
    handler = logging.Handler(logging.WARNING)
    # The translator complains when its own usage metrics are not collected.
    handler.addFilter(lambda record: not record.name.startswith("samtranslator.metrics"))
    handler.emit = lambda record: warnings.append(f"sam transform {overrides}: {record.getMessage()}")
    logging.getLogger().addHandler(handler)
    try:
        template = yaml_parse(TEMPLATE.read_text(encoding="utf-8"))
        # The transform wants the code packaged, which `sam build` and `sam deploy` see to.
        template["Resources"]["Function"]["Properties"]["CodeUri"] = "s3://bucket/key"
        result = Translator({}, Parser()).translate(template, {"KmsKeyId": KEY_ARN, **overrides})
        made = result["Resources"]["Function"]
        if made["Type"] != "AWS::Lambda::Function" or "DependsOn" in made:
            warnings.append(f"sam transform {overrides}: Function became {made['Type']}, DependsOn {made.get('DependsOn')}")
        if any(name.startswith("FunctionRole") for name in result["Resources"]):
            warnings.append(f"sam transform {overrides}: a second role was generated for the function")
    except InvalidDocumentException as error:
        warnings += [f"sam transform {overrides}: {cause.message}" for cause in error.causes]
    finally:
        logging.getLogger().removeHandler(handler)
    return warnings


def patterns(template, expected):
    """Values that a parameter takes or refuses against what it should; and parameters with a pattern that nothing here tries."""
    parameters = yaml_parse(template.read_text(encoding="utf-8"))["Parameters"]
    with_pattern = {name: body["AllowedPattern"] for name, body in parameters.items() if "AllowedPattern" in body}
    found = [f"{name}: has a pattern that is not checked, or none although one is expected" for name in with_pattern.keys() ^ expected.keys()]
    for name, pattern in with_pattern.items():
        right, wrong = expected.get(name, ([], []))
        # CloudFormation matches the whole value.
        found += [f"{name} refuses {value!r}" for value in right if not re.fullmatch(pattern, value)]
        found += [f"{name} takes {value!r}" for value in wrong if re.fullmatch(pattern, value)]
        if "ConstraintDescription" not in parameters[name]:
            found.append(f"{name} does not say what it takes")
    return found


def main():
    problems = lint() + patterns(TEMPLATE, PATTERNS) + patterns(MEMBER, MEMBER_PATTERNS)
    members = {"MemberRoleName": "enforcer", "MemberAccounts": ["444455556666"], "MemberExternalId": "orders-7"}
    for overrides in ({}, members, {"Mode": "audit", "ScheduleExpression": ""}, {"WatchConfig": "false", "WatchSecurityHub": "false"}):
        problems += transform(overrides)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"templates: {len(problems)} problems found" if problems else "templates: nothing found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
