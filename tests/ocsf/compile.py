"""Compiles the OCSF class Compliance Finding to a JSON schema, with the objects that the report uses.

Usage: python3 tests/ocsf/compile.py CHECKOUT > tests/ocsf/compliance_finding.schema.json

CHECKOUT is a checkout of https://github.com/ocsf/ocsf-schema (Apache License 2.0) at the tag of the version.
"""

import json
import sys
from pathlib import Path

CHECKOUT = Path(sys.argv[1])
CLASS = "compliance_finding"
# The profile that adds the account and the Region.
PROFILES = {"cloud"}
# Attributes of other objects are left out, so that the schema refuses them.
OBJECTS = ["account", "cloud", "compliance", "finding_info", "metadata", "product", "remediation", "resource_details"]
TYPES = {"integer_t": "integer", "long_t": "integer", "float_t": "number", "boolean_t": "boolean"}


def load(path):
    return json.loads((CHECKOUT / path).read_text())


DICTIONARY = load("dictionary.json")


def found(folder, name):
    return next(path for path in (CHECKOUT / folder).rglob(f"{name}.json")).relative_to(CHECKOUT)


def merged(folder, name):
    """The attributes and the constraints of a class or an object, those of what it extends and includes with them."""
    source = load(found(folder, name))
    attributes, constraints = {}, {}
    if base := source.get("extends"):
        attributes, constraints, _ = merged(folder, base)
    own = dict(source.get("attributes", {}))
    for path in own.pop("$include", []):
        profile = load(path)
        if profile.get("name") in PROFILES:
            for key, value in profile["attributes"].items():
                attributes[key] = {**attributes.get(key, {}), **value}
    for key, value in own.items():
        enum = {**attributes.get(key, {}).get("enum", {}), **value.get("enum", {})}
        attributes[key] = {**attributes.get(key, {}), **value, **({"enum": enum} if enum else {})}
    return attributes, {**constraints, **source.get("constraints", {})}, source


def typed(name, attribute):
    entry = {**DICTIONARY["attributes"].get(name, {}), **attribute}
    kind = entry["type"]
    if kind in DICTIONARY["types"]["attributes"] and kind != "json_t":
        details = DICTIONARY["types"]["attributes"][kind]
        kind = kind if kind in TYPES else details.get("type", kind)
        schema = {"type": TYPES.get(kind, "string")}
        if regex := details.get("regex"):
            schema["pattern"] = regex
        enum = {**DICTIONARY["attributes"].get(name, {}).get("enum", {}), **attribute.get("enum", {})}
        if enum and schema["type"] == "integer":
            schema["enum"] = sorted(int(value) for value in enum)
    elif kind in OBJECTS:
        schema = {"$ref": f"#/$defs/{kind}"}
    else:
        return None
    return {"type": "array", "items": schema} if entry.get("is_array") else schema


def compiled(folder, name):
    attributes, constraints, source = merged(folder, name)
    properties = {key: typed(key, value) for key, value in sorted(attributes.items())}
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {key: value for key, value in properties.items() if value},
        "required": sorted(key for key, value in attributes.items() if value.get("requirement") == "required"),
    }
    if some := constraints.get("at_least_one"):
        schema["anyOf"] = [{"required": [key]} for key in some]
    if folder == "events":
        uid = load("categories.json")["attributes"]["findings"]["uid"]
        class_uid = uid * 1000 + source["uid"]
        schema["properties"]["category_uid"] = {"const": uid}
        schema["properties"]["class_uid"] = {"const": class_uid}
        activities = schema["properties"]["activity_id"]["enum"]
        schema["properties"]["type_uid"] = {"enum": [class_uid * 100 + activity for activity in activities]}
    return schema


version = load("version.json")["version"]
print(json.dumps({
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$comment": f"Compiled by tests/ocsf/compile.py from https://github.com/ocsf/ocsf-schema at v{version}, "
    "(c) The OCSF authors, Apache License 2.0.",
    "title": f"OCSF {version} {CLASS}",
    **compiled("events", CLASS),
    "$defs": {name: compiled("objects", name) for name in OBJECTS},
}, indent=2))
