"""The other routes of deploy/: that the template without a transform is template.yaml and can be deployed, that the Terraform module fits it and the
AWS provider, and that the CDK program makes the same stack."""

import io
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import boto3
import hcl2
import scan
import transform
from botocore.exceptions import ClientError
from moto import mock_aws

TERRAFORM = transform.ROOT / "deploy" / "terraform"
CDK = transform.ROOT / "deploy" / "cdk"
HERE = Path(__file__).parent
# What an object takes whichever resource it is.
META_ARGUMENTS = {"count", "depends_on", "for_each", "lifecycle", "provider"}

sys.path.insert(0, str(TERRAFORM))
import interface  # noqa: E402

# Of every kind of parameter, and each other than its default.
OTHER_PARAMETERS = {
    "KmsKeyId": "alias/aws/kinesis",
    "Mode": "enforce",
    "KmsKeyArns": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab,"
    "arn:aws:kms:us-east-1:444455556666:key/mrk-1234abcd12ab34cd56ef1234567890ab",
    "Timeout": 60,
    "ScheduleExpression": "rate(6 hours)",
    "SilenceAlarmHours": "18",
    "ReservedConcurrency": 10,
    "Policy": '{"version": 1, "rules": []}',
    "WatchConfig": "false",
    "OutcomeEventBus": "security",
    "AlarmEmail": "on-call@example.com",
    "RunbookUrl": "https://wiki.example.com/enforcer",
}


def plain(folder):
    """What is wrong with the template without a transform; it is left in `folder`."""
    path = folder / "template.cfn.json"
    written = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        subprocess.run([sys.executable, "-B", transform.__file__, path], check=True, env=environment, stdout=subprocess.DEVNULL)
        written.add(path.read_text(encoding="utf-8"))
    source, made = transform.source(), json.loads(path.read_text(encoding="utf-8"))
    problems = [] if len(written) == 1 else ["it is not the same each time"]
    if "Transform" in made or "AWS::Serverless" in path.read_text(encoding="utf-8"):
        problems.append("it still needs a transform")

    expected = {name: resource for name, resource in source["Resources"].items() if name != "Function"}
    rest = {name: resource for name, resource in made["Resources"].items() if name not in ("Function", "FunctionEventInvokeConfig")}
    problems += [f"resource {name} is not as in template.yaml" for name in expected.keys() | rest.keys() if expected.get(name) != rest.get(name)]
    for section, added in (("Parameters", transform.CODE_PARAMETERS), ("Conditions", transform.CODE_CONDITIONS), ("Outputs", {})):
        if made[section] != {**source[section], **added}:
            problems.append(f"{section} are not as in template.yaml")

    wanted, function = source["Resources"]["Function"]["Properties"], made["Resources"]["Function"]["Properties"]
    kept = wanted.keys() - {"CodeUri", "EventInvokeConfig"}
    problems += [f"the function's {name} is not as in template.yaml" for name in kept if function.get(name) != wanted[name]]
    invoke = made["Resources"]["FunctionEventInvokeConfig"]["Properties"]
    asked = wanted["EventInvokeConfig"]
    if any(invoke[name] != asked[name] for name in ("MaximumRetryAttempts", "MaximumEventAgeInSeconds")):
        problems.append("the function's retries are not as in template.yaml")
    if invoke["DestinationConfig"] != {"OnFailure": {"Destination": asked["DestinationConfig"]["OnFailure"]["Destination"]}}:
        problems.append("the function's on-failure destination is not as in template.yaml")
    if function["Code"] != transform.CODE:
        problems.append("the function's code does not come from CodeBucket and CodeKey")
    return [f"template.cfn.json: {problem}" for problem in problems]


# What moto's CloudFormation passes over. It makes the others, and resolves every reference of theirs.
UNKNOWN_TO_MOTO = {
    "AWS::CloudWatch::Alarm",
    "AWS::Events::EventBusPolicy",
    "AWS::Lambda::EventInvokeConfig",
    "AWS::Logs::QueryDefinition",
    "AWS::SNS::TopicPolicy",
    "AWS::SQS::QueuePolicy",
    "AWS::Scheduler::Schedule",
}
# What is given beside the code and the key, and which of the conditions of resources hold then.
DEPLOYMENTS = [
    ({"Mode": "enforce"}, {"Enforcing", "Scheduled", "WatchingConfig", "WatchingSecurityHub", "WatchingAccess", "LookingAgain", "DashboardWanted"}),
    ({"Mode": "audit", "ScheduleExpression": "", "ShowDashboard": "false"}, {"WatchingConfig", "WatchingSecurityHub", "WatchingAccess"}),
    (
        {
            "Mode": "enforce",
            "KmsKeyArns": "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
            "PolicyParameter": "/kinesis/policy",
            "ScheduleExpression": "rate(1 day)",
            "SilenceAlarmHours": "72",
            "ReservedConcurrency": "10",
            "WatchConfig": "false",
            "WatchSecurityHub": "false",
            "WatchAccess": "false",
            "OutcomeEventBus": "default",
            "AlarmEmail": "on-call@example.com",
        },
        {"Enforcing", "KeyArnsGiven", "PolicyParameterGiven", "Scheduled", "OutcomeEventBusGiven", "AlarmEmailGiven", "DashboardWanted"},
    ),
    (
        {"Mode": "enforce", "KmsKeyId": "alias/aws/kinesis", "MemberRoleName": "enforcer", "MemberAccounts": "444455556666,777788889999", "MemberExternalId": "orders-7", "ShowDashboard": "false"},
        {"Enforcing", "MembersGiven", "Scheduled", "WatchingConfig", "WatchingSecurityHub", "WatchingAccess", "LookingAgain"},
    ),
]


def deployed(template):
    """What goes wrong when the template without a transform is created, updated and deleted in moto's CloudFormation, which knows no transform."""
    resources = {name: resource for name, resource in template["Resources"].items() if resource["Type"] not in UNKNOWN_TO_MOTO}
    of_resources = {resource["Condition"] for resource in resources.values() if "Condition" in resource}
    problems = [f"no deployment has {name}" for name in of_resources - set().union(*(holding for _, holding in DEPLOYMENTS))]
    problems += [f"no deployment is without {name}" for name in of_resources & set.intersection(*(holding for _, holding in DEPLOYMENTS))]
    # It says of each resource that it passes over that it does.
    logging.getLogger("moto").setLevel(logging.ERROR)
    with warnings.catch_warnings(), mock_aws():
        warnings.simplefilter("ignore")
        session = boto3.Session(region_name="us-east-1")
        cloudformation, functions, s3 = (session.client(name) for name in ("cloudformation", "lambda", "s3"))
        s3.create_bucket(Bucket="code-us-east-1")
        s3.put_object(Bucket="code-us-east-1", Key="template.json", Body=transform.text(template))
        sizes = {}
        for key in ("first.zip", "second.zip"):
            content = io.BytesIO()
            with zipfile.ZipFile(content, "w") as package:
                package.writestr("bootstrap", key * len(sizes))
            s3.put_object(Bucket="code-us-east-1", Key=key, Body=content.getvalue())
            sizes[key] = len(content.getvalue())

        def check(name, condition, otherwise):
            if not condition:
                problems.append(f"{name}: {otherwise}")

        def request(name, key, given):
            # The bucket of the Region, as every stack of a stack set is told of it.
            given = {"CodeBucket": "code-{region}", "CodeKey": key, "KmsKeyId": "alias/streams", **given}
            return {
                "StackName": name,
                "TemplateURL": "https://code-us-east-1.s3.us-east-1.amazonaws.com/template.json",
                "Capabilities": ["CAPABILITY_IAM"],
                "Parameters": [{"ParameterKey": parameter, "ParameterValue": value} for parameter, value in given.items()],
            }

        def made(name):
            pages = cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
            summaries = [one for page in pages for one in page["StackResourceSummaries"]]
            return {one["LogicalResourceId"]: one["PhysicalResourceId"] for one in summaries if one["LogicalResourceId"]}

        def state(name):
            return cloudformation.describe_stacks(StackName=name)["Stacks"][0]

        try:
            cloudformation.create_stack(**request("no-mode", "first.zip", {}))
            problems.append("a stack is created although nobody says in which mode")
        except ClientError as error:
            check("no-mode", "Mode" in str(error), f"{error}")

        for number, (given, holding) in enumerate(DEPLOYMENTS):
            name = f"deployment-{number}"
            cloudformation.create_stack(**request(name, "first.zip", given))
            check(name, state(name)["StackStatus"] == "CREATE_COMPLETE", state(name)["StackStatus"])
            wanted = {one for one, resource in resources.items() if resource.get("Condition", "") in holding | {""}}
            check(name, made(name).keys() == wanted, f"made, or not made, wrongly: {sorted(made(name).keys() ^ wanted)}")
            outputs = {output["OutputKey"]: output["OutputValue"] for output in state(name)["Outputs"]}
            check(name, outputs.keys() == template["Outputs"].keys() and all(outputs.values()), f"outputs {outputs}")

            function = made(name)["Function"]
            configuration = functions.get_function_configuration(FunctionName=function)
            variables = configuration["Environment"]["Variables"]
            check(name, variables["ENFORCEMENT_MODE"] == given["Mode"], f"variables {variables}")
            check(name, variables["FAILURE_QUEUE_URL"] == outputs["DeadLetterQueueUrl"], f"variables {variables}")
            check(name, configuration["CodeSize"] == sizes["first.zip"], "its code is not the zip in the Region's bucket")

            cloudformation.update_stack(**request(name, "second.zip", {**given, "Timeout": "60"}))
            check(name, state(name)["StackStatus"] == "UPDATE_COMPLETE", state(name)["StackStatus"])
            configuration = functions.get_function_configuration(FunctionName=made(name)["Function"])
            check(name, (configuration["CodeSize"], configuration["Timeout"]) == (sizes["second.zip"], 60), "the update changed nothing")
            cloudformation.delete_stack(StackName=name)
        left = [function["FunctionName"] for function in functions.list_functions()["Functions"]]
        check("deleted", not left, f"left behind: {left}")
    return [f"deployment without a transform: {problem}" for problem in problems]


def unquoted(node):
    """What python-hcl2 read, without the quotes it leaves around names and texts."""
    if isinstance(node, dict):
        return {key.strip('"'): unquoted(value) for key, value in node.items() if key not in ("__is_block__", "__comments__")}
    if isinstance(node, list):
        return [unquoted(value) for value in node]
    return node.strip('"') if isinstance(node, str) else node


def terraform(template):
    """What is wrong with the Terraform module, as far as can be said without Terraform and provider; `make terraform` has both."""
    problems = []
    if interface.TARGET.read_text(encoding="utf-8") != interface.interface():
        problems.append("interface.tf is not what template.yaml says: make terraform-interface")
    unfilled = {"CodeBucket", "CodeKey"} ^ (template["Parameters"].keys() - transform.source()["Parameters"].keys())
    problems += [f"main.tf gives the wrong parameters for the code: {name}" for name in unfilled]

    files = {path.name: path.read_text(encoding="utf-8") for path in sorted(TERRAFORM.glob("*.tf"))}
    read = {name: unquoted(hcl2.loads(content)) for name, content in files.items()}
    kinds = ("variable", "locals", "resource", "data", "output")
    blocks = {kind: [block for content in read.values() for block in content.get(kind, [])] for kind in kinds}
    # References, not texts that look like one: comments and descriptions are left out.
    code = re.sub(r"(?m)^\s*(#|description\s*=|error_message\s*=).*$", "", "\n".join(files.values()))

    def declared_and_used(kind, declared, used):
        for name in sorted(declared ^ used):
            problems.append(f"{kind}.{name} is " + ("not used" if name in declared else "not declared"))

    variables = {name for block in blocks["variable"] for name in block}
    # A variable is used where anything but its own validation names it.
    outside = re.sub(r'(?ms)^variable "\w+" \{.*?^\}', "", code)
    without_default = {name for block in blocks["variable"] for name, body in block.items() if "default" not in body}
    if without_default != {"package", "template", "bucket", "kms_key_id", "mode"}:
        problems.append(f"without a default are {sorted(without_default)}")
    declared_and_used("var", variables, set(re.findall(r"\bvar\.(\w+)", outside)))
    declared_and_used("local", {name for block in blocks["locals"] for name in block}, set(re.findall(r"\blocal\.(\w+)", code)))

    provider = json.loads((HERE / "provider.json").read_text(encoding="utf-8"))
    objects = {}
    for kind, schemas in (("resource", provider["resource_schemas"]), ("data", provider["data_source_schemas"])):
        for block in blocks[kind]:
            for of_type, named in block.items():
                for label, body in named.items():
                    place = f"{kind} {of_type}.{label}"
                    if of_type not in schemas:
                        problems.append(f"{place}: provider.json does not have this type")
                        continue
                    attributes = schemas[of_type]["attributes"]
                    objects[("data." if kind == "data" else "") + f"{of_type}.{label}"] = attributes
                    settable = {name for name, facts in attributes.items() if facts.get("required") or facts.get("optional")}
                    given = body.keys() - META_ARGUMENTS
                    problems += [f"{place}: there is no argument {argument}" for argument in given - settable - set(schemas[of_type]["blocks"])]
                    problems += [f"{place}: {argument} is deprecated" for argument in given if attributes.get(argument, {}).get("deprecated")]
                    required = {name for name, facts in attributes.items() if facts.get("required")}
                    problems += [f"{place}: {argument} is missing" for argument in required - given]
    if not objects:
        problems.append("no resources were read")
    for reference, attribute in re.findall(r"\b((?:data\.)?aws_\w+\.\w+)\.(\w+)", code):
        if attribute not in objects.get(reference, {}):
            problems.append(f"{reference}.{attribute}: there is no such thing")

    outputs = {interface.snake(name) for name in template["Outputs"]}
    problems += [f"output {name}: the module and the template differ" for name in outputs ^ {name for block in blocks["output"] for name in block}]
    return [f"deploy/terraform: {problem}" for problem in problems]


def settled(node, values):
    """The node with parameters replaced by values, and with what can be worked out then. A number is a text, as to CloudFormation."""
    if isinstance(node, int) and not isinstance(node, bool):
        return str(node)
    if isinstance(node, list):
        return [settled(one, values) for one in node]
    if not isinstance(node, dict):
        return node
    if len(node) == 1:
        ((function, argument),) = node.items()
        if function == "Ref" and argument in values:
            return settled(values[argument], {})
        if function == "Fn::GetAtt" and isinstance(argument, str):
            return {function: argument.split(".", 1)}
        if function == "Fn::Sub" and isinstance(argument, str):
            text = re.sub(r"\$\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), argument)
            return {function: text} if "${" in text else text
        argument = settled(argument, values)
        if function == "Fn::Split" and isinstance(argument[1], str):
            return argument[1].split(argument[0])
        if function == "Fn::Select" and isinstance(argument[1], list):
            return argument[1][int(argument[0])]
        if function == "Fn::Join" and isinstance(argument[1], list) and all(isinstance(one, str) for one in argument[1]):
            return argument[0].join(argument[1])
        return {function: argument}
    return {key: settled(value, values) for key, value in node.items()}


def synthesised(folder, stack, template, given):
    """What of the synthesised stack is not what the template comes to with these parameters."""
    made = json.loads((folder / f"{stack}.template.json").read_text(encoding="utf-8"))
    assets = json.loads((folder / f"{stack}.assets.json").read_text(encoding="utf-8"))
    (code,) = [place for file in assets["files"].values() if file["source"]["path"].endswith(".zip") for place in file["destinations"].values()]
    values = {name: parameter.get("Default") for name, parameter in template["Parameters"].items()}
    values |= {**given, "CodeBucket": {"Fn::Sub": code["bucketName"]}, "CodeKey": code["objectKey"]}
    lists = [name for name, parameter in template["Parameters"].items() if parameter["Type"] == "CommaDelimitedList"]
    values |= {name: values[name].split(",") for name in lists}

    problems = [f"it has the parameter {name}" for name in made["Parameters"].keys() - {"BootstrapVersion"}]
    for resource in made["Resources"].values():
        resource.get("Metadata", {}).pop("aws:cdk:path", None)
    for section, own in (("Resources", {"CDKMetadata"}), ("Conditions", {"CDKMetadataAvailable"}), ("Outputs", set())):
        wanted = settled(template[section], values)
        found = {name: settled(one, {}) for name, one in made[section].items() if name not in own}
        names = sorted(wanted.keys() | found.keys())
        problems += [f"{section}: {name} is not what the template has" for name in names if wanted.get(name) != found.get(name)]
    return [f"{stack}: {problem}" for problem in problems]


def cdk(template, folder):
    """What is wrong with the CDK program: it is compiled and run as deploy/cdk/cdk.json says, in a folder that is laid out as this one."""
    place = folder / "deploy" / "cdk"
    shutil.copytree(CDK, place, ignore=shutil.ignore_patterns("node_modules", "build", "cdk.out"))
    shutil.copy(HERE / "cdk.ts", place)
    (place / "node_modules").symlink_to(scan.TOOLS / "node_modules")
    (folder / "target" / "deploy").mkdir(parents=True)
    (folder / "target" / "deploy" / "template.cfn.json").write_text(transform.text(template), encoding="utf-8")
    (folder / "target" / "lambda" / "bootstrap").mkdir(parents=True)
    (folder / "target" / "lambda" / "bootstrap" / "bootstrap.zip").write_bytes(b"PK\5\6" + bytes(18))

    problems = []
    wanted = json.loads((CDK / "package.json").read_text(encoding="utf-8"))
    pinned = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    versions = {**wanted["dependencies"], **wanted["devDependencies"]}
    for name in versions.keys() & pinned.keys():
        if versions[name] != "^" + pinned[name]:
            problems.append(f"package.json wants {name} {versions[name]}, and {pinned[name]} is what is tried")

    build, start = json.loads((CDK / "cdk.json").read_text(encoding="utf-8"))["app"].split(" && ")
    scan.run(*build.split(), cwd=place)

    def node(outdir, *arguments):
        """What it prints. The CDK warns on the other output."""
        environment = {**os.environ, "CDK_OUTDIR": str(outdir)}
        result = subprocess.run(["node", *arguments], cwd=place, env=environment, capture_output=True, text=True, check=False)
        if result.returncode or result.stderr.strip():
            problems.append(f"node {arguments[0]}: {result.returncode} {result.stderr.strip()}")
        return result.stdout

    node(folder / "cdk.out", *start.split()[1:])
    problems += synthesised(folder / "cdk.out", "kinesis-encryption-enforcer", template, {"KmsKeyId": "alias/streams", "Mode": "audit"})
    said = json.loads(node(folder / "other.out", "build/cdk.js", json.dumps(OTHER_PARAMETERS)))
    problems += synthesised(folder / "other.out", "Other", template, OTHER_PARAMETERS)
    problems += [f"nothing refuses a parameter that is wrong: {name}" for name, message in said if message is None]
    return [f"deploy/cdk: {problem}" for problem in problems]
