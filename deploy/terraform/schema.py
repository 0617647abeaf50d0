#!/usr/bin/env python3
"""Writes tests/template/provider.json, or another file: of the AWS provider's schema, what this module uses. `make template` holds the module to it,
where there may be neither Terraform nor provider. Reads the output of `terraform providers schema -json`.

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
    attributes = {name: {fact: True for fact in FACTS if body.get(fact)} for name, body in schema["block"]["attributes"].items()}
    return {"attributes": attributes, "blocks": sorted(schema["block"].get("block_types", {}))}


if __name__ == "__main__":
    provider = json.load(sys.stdin)["provider_schemas"][PROVIDER]
    written = {kind: {name: excerpt(provider[kind][name]) for name in names} for kind, names in USED.items()}
    target = Path(sys.argv[2]) if len(sys.argv) > 2 else TARGET
    target.write_text(json.dumps({"version": sys.argv[1], **written}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
