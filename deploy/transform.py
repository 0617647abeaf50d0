#!/usr/bin/env python3
"""Writes target/deploy/template.cfn.json: template.yaml as the SAM transform leaves it, for whatever takes plain CloudFormation only.

`make stackset-template` runs it with the transform in the version pinned in tests/template/. The same template gives the same bytes.

The code is two parameters more, CodeBucket and CodeKey: the zip has to lie in S3 before the stack is made. Everything else, conditions and
parameters included, is as in template.yaml.
"""

import json
import logging
import os
import sys
from pathlib import Path

# The transform asks boto3 for a Region, and for nothing else. Set before the import, which reads it.
os.environ["AWS_DEFAULT_REGION"] = "us-east-1"

from samtranslator.model.exceptions import InvalidDocumentException  # noqa: E402
from samtranslator.parser.parser import Parser  # noqa: E402
from samtranslator.translator.translator import Translator  # noqa: E402
from samtranslator.yaml_helper import yaml_parse  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "template.yaml"
TARGET = ROOT / "target" / "deploy" / "template.cfn.json"

# Lambda reads code only from a bucket of its own Region, and a stack set gives all its stacks the same parameters.
REGION = "{region}"
CODE_PARAMETERS = {
    "CodeBucket": {
        "Type": "String",
        "Description": (
            f"The S3 bucket that holds the function's zip. It must be of the stack's Region. A name that ends in -{REGION} stands for one bucket in "
            "each Region."
        ),
        "AllowedPattern": r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$|^[a-z0-9][a-z0-9.-]{0,40}-\{region\}$",
        "ConstraintDescription": f"must be the name of an S3 bucket, or such a name with {REGION} at its end",
    },
    "CodeKey": {
        "Type": "String",
        # A key that stays the same is no change to CloudFormation, whatever lies under it.
        "Description": "The zip's key in that bucket. Each build needs a key of its own, its checksum for example, or an update changes nothing.",
        "MinLength": 1,
        "MaxLength": 1024,
    },
}
CODE_LABELS = {"CodeBucket": {"default": "S3 bucket of the code"}, "CodeKey": {"default": "S3 key of the code"}}
PARTS = {"Fn::Split": [REGION, {"Ref": "CodeBucket"}]}
# A text that splits at what it does not contain stays whole.
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
    """template.yaml, or another template, with short tags written out."""
    return yaml_parse(path.read_text(encoding="utf-8"))


def transform(parameters=None):
    """What the SAM transform makes of template.yaml, and what it objects to."""
    objections = []
    handler = logging.Handler(logging.WARNING)
    # The translator complains when its own usage metrics are not collected.
    handler.addFilter(lambda record: not record.name.startswith("samtranslator.metrics"))
    handler.emit = lambda record: objections.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    try:
        template = source()
        # The transform wants the code packaged, which `sam build` and `sam deploy` see to.
        template["Resources"]["Function"]["Properties"]["CodeUri"] = {"Bucket": "bucket", "Key": "key"}
        return Translator({}, Parser()).translate(template, parameters or {}), objections
    except InvalidDocumentException as error:
        return None, objections + [cause.message for cause in error.causes]
    finally:
        logging.getLogger().removeHandler(handler)


def plain():
    """The template without a transform, and what the transform objects to."""
    template, objections = transform()
    if template is None:
        return None, objections
    # Of the Serverless Application Repository and of `sam build`.
    template["Metadata"].pop("AWS::ServerlessRepo::Application")
    function = template["Resources"]["Function"]
    for name in ("BuildMethod", "BuildProperties"):
        function["Metadata"].pop(name)
    function["Properties"]["Code"] = CODE
    # The transform copies the function's, which speaks of the function.
    template["Resources"]["FunctionEventInvokeConfig"].pop("Metadata")

    console = template["Metadata"]["AWS::CloudFormation::Interface"]
    console["ParameterGroups"].insert(0, {"Label": {"default": "The code"}, "Parameters": list(CODE_PARAMETERS)})
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
