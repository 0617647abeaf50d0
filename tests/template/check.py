#!/usr/bin/env python3
"""Checks template.yaml and deploy/ without AWS.

That template.yaml is what its parts in deploy/template/ make of it; cfn-lint and `sam validate`; what the SAM
transform makes of the template; what the parameters' patterns accept; the commands in the alarms' descriptions; what
checkov, cfn-guard and cdk-nag find (scan.py); `sam deploy --guided` (guided.py); and that the other routes of deploy/
make the same stack (routes.py). `make template` installs what it needs and runs it.

Exits with 1 when anything is found, a warning included.
"""

import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "deploy" / "template"))

import botocore.session  # noqa: E402
import deployer  # noqa: E402
import guided  # noqa: E402
import join  # noqa: E402
import routes  # noqa: E402
import scan  # noqa: E402
import transform  # noqa: E402
from botocore import xform_name  # noqa: E402

TEMPLATE = transform.SOURCE
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
    "KmsKeyArns": (
        ["", KEY_ARN, "arn:aws:kms:us-east-1:111122223333:alias/aws/kinesis"],
        ["*", "alias/orders", KEY_ID, "arn:aws:kms:us-east-1:111122223333:alias/orders", "arn:aws:kms:us-east-1:111122223333:alias/aws/kinesis-2", KEY_ARN + " "],
    ),
    "ExemptTagKey": (
        ["", "kinesis-encryption-enforcer:exempt", "x" * 128, "a b", "Schlüssel/_.:=+-%@", "awsome", "x"],
        ["aws:exempt", "AWS:exempt", "x" * 129, " ", " exempt", "exempt ", "exempt\t", "exempt!", "a,b", "a*", "a\\b", "a\tb", "[a]", "a`b"],
    ),
    "ScheduleExpression": (["", "rate(1 hour)", "cron(0 3 * * ? *)"], ["1 hour", "rate()"]),
    "SilenceAlarmHours": (["", "2", "18", "168"], ["0", "1", "169", "3.5", "-3", "18 "]),
    "ReservedConcurrency": (["", "5", "10", "1000"], ["0", "1", "4", "05", "10000", "none", "10 "]),
    "MetricsNamespace": (
        ["KinesisEncryptionEnforcer", "Security/Kinesis #1", "AWSx/a", "x", "x" * 255],
        ["", ":x", "a*b", "x" * 256, " ", " a", "a ", "AWS/Kinesis"],
    ),
    "PolicyParameter": (["", "policy", "/kinesis/policy", "/a/b-c/d.e"], ["/", "a//b", "my policy", "arn:aws:ssm:us-east-1:1:parameter/a"]),
    "OutcomeEventBus": (["", "default", "security/events"], ["my bus", "arn:aws:events:us-east-1:1:event-bus/a"]),
    "MemberRoleName": (["", "enforcer", "security/a+b=c,d.e@f_g-h", "x" * 64], ["/enforcer", "enforcer/", "a//b", "a b", "x" * 65, "arn:aws:iam::444455556666:role/a"]),
    "MemberAccounts": (["", "444455556666"], ["4444", "*", " 444455556666", "444455556666,777788889999"]),
    "MemberExternalId": (["", "orders-7", "a:b/c"], ["x", "a b", "x" * 1225]),
    "AlarmEmail": (["", "on-call@example.com"], ["on-call", "a b@example.com", "@"]),
    "CodeBucket": (["code", "a.b-1", "enforcer-{region}"], ["", "ab", "Code", "{region}", "a-{region}-b", "-{region}"]),
    "AlarmTopicArn": (["", "arn:aws:sns:us-east-1:111122223333:alarms"], ["alarms", "arn:aws:sqs:us-east-1:111122223333:alarms"]),
    "RunbookUrl": (
        ["https://wiki.example.com", "https://git.example.com:8443/runbook.md", "https://wiki.example.com/view?page=7"],
        ["", "http://wiki.example.com/runbook", "https://", "wiki.example.com", "https://wiki.example.com/runbook#alarms", "https://wiki.example.com/a b"],
    ),
}

MEMBER_PATTERNS = {
    "FunctionRoleArn": (["arn:aws:iam::111122223333:role/enforcer-Role-1A2B", "arn:aws-cn:iam::111122223333:role/security/a"],
                        ["", "*", "arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:role/", "arn:aws:iam::*:role/enforcer"]),
    "ExternalId": (["orders-7", "a:b/c"], ["", "x", "a b", "x" * 1225]),
    "RoleName": (["enforcer", "x" * 64], ["", "a/b", "x" * 65]),
    "KmsKeyArns": PATTERNS["KmsKeyArns"],
    "AlarmTopicArn": PATTERNS["AlarmTopicArn"],
    "RunbookUrl": PATTERNS["RunbookUrl"],
}


def unjoined():
    """Whether template.yaml was changed without its parts, or they without it."""
    is_joined = TEMPLATE.read_text(encoding="utf-8") == join.joined()
    return [] if is_joined else ["template.yaml is not what deploy/template/ says: make template-yaml"]


def lint(*paths):
    """cfn-lint's findings, of every level down to informational."""
    program = "import sys; from cfnlint.runner import main; sys.exit(main())"
    command = [sys.executable, "-c", program, "--include-checks", "I", "--format", "parseable", "--", *map(str, paths)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [f"cfn-lint: {line}" for line in (result.stdout + result.stderr).splitlines() if line.strip()]
    return lines or ([f"cfn-lint: exit code {result.returncode}"] if result.returncode else [])


def sam_validate():
    """What `sam validate --lint` says, which people run first."""
    environment = {**os.environ, "SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "us-east-1"}
    command = [Path(sys.executable).parent / "sam", "validate", "--lint", "--template", TEMPLATE]
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    said = result.stdout + result.stderr
    return [] if result.returncode == 0 and "is a valid SAM Template" in said else [f"sam validate: {said.strip()}"]


def transformed(overrides):
    """What the SAM transform objects to, with these parameters, and what in its result is not as it should be."""
    result, objections = transform.transform({"KmsKeyId": KEY_ARN, "Mode": "enforce", **overrides})
    warnings = [f"sam transform {overrides}: {objection}" for objection in objections]
    if result is None:
        return warnings
    made = result["Resources"]["Function"]
    if made["Type"] != "AWS::Lambda::Function" or "DependsOn" in made:
        warnings.append(f"sam transform {overrides}: Function became {made['Type']}, DependsOn {made.get('DependsOn')}")
    if any(name.startswith("FunctionRole") for name in result["Resources"]):
        warnings.append(f"sam transform {overrides}: a second role was generated for the function")
    return warnings


def patterns(parameters, expected):
    """Values that a parameter takes or refuses against what it should; and parameters with a pattern that nothing here tries."""
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


# Commands that the AWS CLI has in addition to the operations of the services, with their options.
OF_THE_CLI = {("logs", "tail"): {"--since", "--filter-pattern"}}


def first_commands(template):
    """Commands of the AWS CLI in the descriptions of alarms that there are not. tests/template.rs checks those of `enforcer`."""
    found, services = [], botocore.session.get_session()
    for name, resource in template["Resources"].items():
        text = resource["Properties"].get("AlarmDescription", {}).get("Fn::Sub", "")
        command = text.partition("First command:\n")[2].partition("\n")[0]
        if not command.startswith("aws "):
            continue
        _, service, operation, *arguments = shlex.split(command)
        known = OF_THE_CLI.get((service, operation))
        if known is None:
            model = services.get_service_model(service)
            operations = {xform_name(one, "-"): model.operation_model(one) for one in model.operation_names}
            if operation not in operations:
                found.append(f"{name}: there is no operation {service} {operation}")
                continue
            known = {"--" + xform_name(member, "-") for member in operations[operation].input_shape.members}
        options = {argument for argument in arguments if argument.startswith("--")}
        found += [f"{name}: {service} {operation} has no option {option}" for option in options - known - {"--region"}]
        if "--region" not in options:
            found.append(f"{name}: its command does not say the Region")
    return found


def timed(check, folder):
    """What a check finds, and how many seconds it took."""
    start = time.monotonic()
    try:
        found = check(folder)
    except Exception as error:  # Whatever it is, the other checks are to tell what they found.
        found = [f"{type(error).__name__}: {error}"]
    return found, time.monotonic() - start


def main():
    template, objections = transform.plain()
    members = {"MemberRoleName": "enforcer", "MemberAccounts": ["444455556666"], "MemberExternalId": "orders-7"}
    cases = ({}, members, {"Mode": "audit", "ScheduleExpression": ""}, {"WatchConfig": "false", "WatchSecurityHub": "false", "WatchAccess": "false"})
    problems = unjoined() + objections + [problem for overrides in cases for problem in transformed(overrides)]
    problems += first_commands(template)
    problems += patterns(template["Parameters"], PATTERNS) + patterns(transform.source(MEMBER)["Parameters"], MEMBER_PATTERNS)
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1

    # The longest first.
    checks = {
        "checkov, cfn-guard and cdk-nag": lambda folder: scan.problems(template, folder),
        "CDK": lambda folder: routes.cdk(template, folder),
        "template without a transform": lambda folder: routes.plain(folder) + lint(folder / "template.cfn.json"),
        "cfn-lint": lambda _: lint(TEMPLATE, MEMBER),
        "sam validate": lambda _: sam_validate(),
        "sam deploy --guided": guided.problems,
        "deployment without a transform": lambda _: routes.deployed(template),
        "Terraform": lambda _: routes.terraform(template),
        "deployer's policy": lambda _: deployer.problems(),
    }
    # Each is mostly another process that keeps one core busy.
    with tempfile.TemporaryDirectory() as root, ThreadPoolExecutor(os.cpu_count()) as pool:
        running = []
        for number, (name, check) in enumerate(checks.items()):
            folder = Path(root) / str(number)
            folder.mkdir()
            running.append((name, pool.submit(timed, check, folder)))
        for name, result in running:
            found, seconds = result.result()
            print(f"{name}: {len(found) or 'nothing'} found in {seconds:.0f} s", flush=True)
            problems += found
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"template.yaml and deploy/: {len(problems)} problems found" if problems else "template.yaml and deploy/: nothing found")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
