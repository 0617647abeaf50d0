#!/usr/bin/env python3
"""Writes what this module uses of the AWS provider's schema to tests/template/provider.json, or to another file.

`make template` checks the module against it without Terraform and the provider. The input is the output of
`terraform providers schema -json`.

    terraform init && terraform providers schema -json | deploy/terraform/schema.py VERSION [FILE]
"""

import json
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[2] / "tests" / "template" / "provider.json"
PROVIDER = "registry.terraform.io/hashicorp/aws"
USED = {"resource_schemas": ["aws_cloudformation_stack", "aws_s3_object"], "data_source_schemas": ["aws_s3_bucket"]}
FACTS = ("required", "optional", "computed", "deprecated")


def excerpt(schema):
    declared = schema["block"]["attributes"]
    attributes = {name: {fact: True for fact in FACTS if body.get(fact)} for name, body in declared.items()}
    return {"attributes": attributes, "blocks": sorted(schema["block"].get("block_types", {}))}


if __name__ == "__main__":
    provider = json.load(sys.stdin)["provider_schemas"][PROVIDER]
    written = {kind: {name: excerpt(provider[kind][name]) for name in names} for kind, names in USED.items()}
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else TARGET
    target.write_text(json.dumps({"version": sys.argv[1], **written}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
