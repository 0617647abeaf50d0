#!/usr/bin/env python3
"""Writes target/deploy/template.cfn.json: template.yaml after the SAM transform, for plain CloudFormation.

`make stackset-template` runs it with the version of the transform that is pinned in tests/template/. The same template
results in the same bytes.

It adds the parameters CodeBucket and CodeKey, because the zip file must be in S3 before the stack is created.
Everything else, conditions and parameters included, is as in template.yaml.
"""

import json
import logging
import os
import sys
from pathlib import Path

# The transform needs a Region from boto3, and nothing else. The import reads it.
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"

from samtranslator.model.exceptions import InvalidDocumentException  # noqa: E402
from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "template.yaml"
TARGET = ROOT / "target" / "deploy" / "template.cfn.json"

# Lambda reads code only from a bucket in its own Region, and all stacks of a stack set have the
# same parameters.
REGION = "{region}"
CODE_PARAMETERS = {
    "CodeBucket": {
        "Type": "String",
        "Description": (
            "Name of the S3 bucket that contains the function's zip file. The bucket must be in the stack's Region. "
            f"If the name ends in -{REGION}, each stack replaces {REGION} with its own Region."
        ),
        "AllowedPattern": r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$|^[a-z0-9][a-z0-9.-]{0,40}-\{region\}$",
        "ConstraintDescription": f"must be the name of an S3 bucket, or a name that ends in -{REGION}",
    },
    "CodeKey": {
        "Type": "String",
        # CloudFormation does not detect a change of the object if the key stays the same.
        "Description": (
            "Object key of the zip file in that bucket. Use a different key for each build, such as its checksum. "
            "Otherwise an update does not change the function."
        ),
        "MinLength": 1,
        "MaxLength": 1024,
    },
}
CODE_LABELS = {"CodeBucket": {"default": "S3 bucket of the code"}, "CodeKey": {"default": "S3 key of the code"}}
PARTS = {"Fn::Split": [REGION, {"Ref": "CodeBucket"}]}
# Fn::Split returns the whole string if it does not contain the delimiter.
CODE_CONDITIONS = {"CodeBucketPerRegion": {"Fn::Not": [{"Fn::Equals": [{"Fn::Select": [0, PARTS]}, {"Ref": "CodeBucket"}]}]}}
CODE = {
    "S3Bucket": {
        "Fn::If": [
            "CodeBucketPerRegion",
            {"Fn::Join": ["", [{"Fn::Select": [0, PARTS]}, {"Ref": "AWS::Region"}]]},
            {"Ref": "CodeBucket"},
        ]
    },
    "S3Key": {"Ref": "CodeKey"},
}


def source(path=SOURCE):
    """template.yaml, or another template, with short tags in their long form."""
    return yaml_parse(path.read_text(encoding="utf-8"))


def transform(parameters=None):
    """template.yaml after the SAM transform, and the warnings and errors of the transform."""
    objections = []
    handler = logging.Handler(logging.WARNING)
    # The translator warns if its own usage metrics are not collected.
    handler.addFilter(lambda record: not record.name.startswith("samtranslator.metrics"))
    handler.emit = lambda record: objections.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    try:
        template = source()
        # The transform requires packaged code. Normally `sam build` and `sam deploy` package it.
        template["Resources"]["Function"]["Properties"]["CodeUri"] = {"Bucket": "bucket", "Key": "key"}
        return Translator({}, Parser()).translate(template, parameters or {}), objections
    except InvalidDocumentException as error:
        return None, objections + [cause.message for cause in error.causes]
    finally:
        logging.getLogger().removeHandler(handler)


def plain():
    """The template without the transform, and the warnings and errors of the transform."""
    template, objections = transform()
    if template is None:
        return None, objections
    # Only the Serverless Application Repository and `sam build` use these.
    template["Metadata"].pop("AWS::ServerlessRepo::Application")
    function = template["Resources"]["Function"]
    for name in ("BuildMethod", "BuildProperties"):
        function["Metadata"].pop(name)
    function["Properties"]["Code"] = CODE
    # The transform copies the Metadata of the function, which is not about this resource.
    template["Resources"]["FunctionEventInvokeConfig"].pop("Metadata")

    console = template["Metadata"]["AWS::CloudFormation::Interface"]
    console["ParameterGroups"].insert(0, {"Label": {"default": "Code"}, "Parameters": list(CODE_PARAMETERS)})
    console["ParameterLabels"] = {**CODE_LABELS, **console["ParameterLabels"]}
    template["Parameters"] = {**CODE_PARAMETERS, **template["Parameters"]}
    template["Conditions"] = {**CODE_CONDITIONS, **template["Conditions"]}
    return template, objections


def text(template):
    return json.dumps(template, indent=2, ensure_ascii=False) + "\n"


def main():
    template, objections = plain()
    for objection in objections:
        print(f"sam transform: {objection}", file=sys.stderr)
    if objections:
        return 1
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text(template), encoding="utf-8")
    print(target)
    return 0


if __name__ == "__main__":
    sys.exit(main())
