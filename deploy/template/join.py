#!/usr/bin/env python3
"""Writes template.yaml from the parts in this folder.

`make template-yaml` runs it; `make template` fails if template.yaml is not what it would write.
The parts are CloudFormation and are copied line by line, comments included, except for what would
be repeated:

* rules.yaml: each rule gets the target below, and the permission to invoke the function.
* alarms.yaml: a table. Each alarm gets the properties of `Default` that its row does not set, and a
  description with the first command to run and the URL of its section of the runbook.
* `$Repository` is the field `repository` of Cargo.toml.
* The list item under `!ForEachRule` is written once for each rule, within an `!If` if the rule has
  a condition. `$Rule` is the name of the rule, and `$Number` counts from 0.
"""

import re
import sys
from pathlib import Path
from string import Template
from textwrap import dedent, fill, indent

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import transform  # noqa: E402

PARTS = Path(__file__).parent
TARGET = transform.SOURCE
HEAD = "# Written by `make template-yaml` from deploy/template/. Change the parts there, not this file.\n"
RESOURCES = ["function", "role", "members", "queues", "rules", "access", "schedule", "alarms", "notifications", "dashboard"]
WIDTH = 100

RULE_TARGET = """\
Targets:
  - Id: Function
    Arn: !GetAtt Function.Arn
    RetryPolicy:
      MaximumEventAgeInSeconds: 86400
      MaximumRetryAttempts: 185
    DeadLetterConfig:
      Arn: !GetAtt DeadLetterQueue.Arn
"""
RULE_PERMISSION = """\
FunctionName: !Ref Function
Action: lambda:InvokeFunction
Principal: events.amazonaws.com
SourceArn: !GetAtt {rule}.Arn
"""
OPENING = "Kinesis encryption enforcer ${AWS::StackName}:"
FIRST_COMMAND = "First command:"
RUNBOOK = "Runbook: ${RunbookUrl}"
# What CloudFormation does not accept beside `Metrics`.
OF_ONE_METRIC = {"Namespace", "MetricName", "Dimensions", "Statistic", "Period"}


def repository():
    """The URL of the project's repository."""
    cargo = (transform.ROOT / "Cargo.toml").read_text(encoding="utf-8")
    return re.search(r'(?m)^repository = "(.*)"$', cargo)[1]


def read(part):
    return (PARTS / f"{part}.yaml").read_text(encoding="utf-8").replace("$Repository", repository())


def paragraphs(text):
    """Splits at blank lines; each comes with the logical id in it, or None if it is only a comment."""
    for paragraph in re.split(r"\n{2,}(?=\S)", text.strip("\n")):
        name = re.search(r"(?m)^(\w+):$", paragraph)
        yield name and name[1], paragraph + "\n"


def entries(mapping):
    """The keys of a mapping, each with its lines and the comment above them."""
    found = re.finditer(r"(?m)^(?:#.*\n)*(\w+):.*\n(?: .*\n)*", mapping)
    return {entry[1]: entry[0] for entry in found}


def value(entry):
    """The value in the lines of one key."""
    (found,) = transform.yaml_parse(entry).values()
    return found


def resource(name, kind, condition, properties):
    """`condition` is the name of one, or None."""
    conditional = f"  Condition: {condition}\n" if condition else ""
    return f"{name}:\n  Type: {kind}\n{conditional}  Properties:\n{indent(properties, '    ')}"


def conditions_of_rules():
    """The names of the rules, each with its condition or None."""
    return {name: rule.get("Condition") for name, rule in transform.yaml_parse(read("rules")).items()}


def rules(text):
    """The rules with their targets, then their permissions."""
    written = [paragraph + (indent(RULE_TARGET, "    ") if name else "") for name, paragraph in paragraphs(text)]
    for rule, condition in conditions_of_rules().items():
        name = rule.removesuffix("Rule") + "Permission"
        written.append(resource(name, "AWS::Lambda::Permission", condition, RULE_PERMISSION.format(rule=rule)))
    return "\n".join(written)


def alarms(text):
    """The alarms of the table. The properties that a row sets come first, then the default ones."""
    written, default = [], {}
    for name, paragraph in paragraphs(text):
        if name is None:
            written.append(paragraph)
            continue
        comment, _, body = paragraph.partition(f"{name}:\n")
        row = entries(dedent(body))
        if name == "Default":
            default = row
            continue
        sentence = f"{OPENING} {value(row.pop('Description'))}"
        # Lines of their own, so that they can be copied: a blank line is a line break.
        command = value(row.pop("FirstCommand"))
        lines = [fill(sentence, WIDTH - 8, break_on_hyphens=False), FIRST_COMMAND, command, f"{RUNBOOK}#{name.lower()}"]
        description = "AlarmDescription: !Sub >-\n" + indent("\n\n".join(lines), "  ") + "\n"
        condition = value(row.pop("Condition", "Condition:"))
        not_default = row.keys() | (OF_ONE_METRIC if "Metrics" in row else set())
        rest = [lines for key, lines in default.items() if key not in not_default]
        properties = "".join([description, *row.values(), *rest])
        written.append(comment + resource(name, "AWS::CloudWatch::Alarm", condition, properties))
    return "\n".join(written)


def for_each_rule(text):
    """The text with each list item under `!ForEachRule` written once for each rule."""

    def items(found):
        margin, pattern = found.groups()
        for number, (rule, condition) in enumerate(conditions_of_rules().items()):
            item = Template(pattern).safe_substitute(Rule=rule, Number=number)
            if condition:
                yield f"{margin}- !If\n{margin}  - {condition}\n{item}{margin}  - !Ref AWS::NoValue\n"
            else:
                yield re.sub(f"(?m)^{margin}  ", margin, item)

    return re.sub(r"(?m)^( *)- !ForEachRule\n((?:\1  .*\n)+)", lambda found: "".join(items(found)), text)


def section(part):
    """The resources of a part, under its name."""
    expand = {"rules": rules, "alarms": alarms}.get(part, str)
    title = f"# deploy/template/{part}.yaml ".ljust(WIDTH - 2, "-")
    return indent(f"{title}\n\n{for_each_rule(expand(read(part)))}", "  ")


def joined():
    """The text of template.yaml."""
    resources = "Resources:\n" + "\n".join(section(part) for part in RESOURCES)
    return "\n".join([HEAD + read("head"), read("parameters"), resources, read("outputs")])


if __name__ == "__main__":
    TARGET.write_text(joined(), encoding="utf-8")
    print(TARGET)
