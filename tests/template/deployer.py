"""Whether deploy/deployer-policy.json names real actions, and actions for every resource type of the stack.

The list of actions is cfn-lint's, from AWS's Service Authorization Reference. Which of them CloudFormation
calls for a resource is not published in a form that could be read here.
"""

import importlib.resources
import json

import cfnlint.data.AdditionalSpecs
import transform

POLICY = transform.SOURCE.parent / "deploy" / "deployer-policy.json"
# Whose resource type is called otherwise than its actions.
PREFIXES = {"serverless": "lambda"}


def problems():
    """What is wrong with the policy."""
    known = json.loads((importlib.resources.files(cfnlint.data.AdditionalSpecs) / "Policies.json").read_text(encoding="utf-8"))
    actions = [action for statement in json.loads(POLICY.read_text(encoding="utf-8"))["Statement"] for action in listed(statement["Action"])]
    unknown = [action for action in actions if action.split(":")[1].lower() not in known[action.split(":")[0]]["Actions"]]
    types = {resource["Type"] for resource in transform.yaml_parse(transform.SOURCE.read_text(encoding="utf-8"))["Resources"].values()}
    granted = {action.split(":")[0] for action in actions}
    lacking = [kind for kind in sorted(types) if prefix(kind) not in granted]
    return [f"{POLICY.name}: there is no action {action}" for action in unknown] + [
        f"{POLICY.name}: no action for {kind}" for kind in lacking
    ]


def listed(value):
    return [value] if isinstance(value, str) else value


def prefix(kind):
    """The prefix of the actions for a resource type: `sqs` for `AWS::SQS::Queue`."""
    service = kind.split("::")[1].lower()
    return PREFIXES.get(service, service)
