#!/usr/bin/env python3
"""Writes interface.tf: the parameters of the template as variables of the module, and its outputs as outputs.

`make terraform-interface` runs it; `make template` fails if interface.tf is not what it would write. The template
defines the defaults: a variable that is not set is not passed to the stack.
"""

import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import transform  # noqa: E402

TARGET = Path(__file__).with_name("interface.tf")
HEAD = "# Written by `make terraform-interface` from the parameters and outputs of template.yaml.\n"


def snake(name):
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def of_list(text):
    """A text of the template about a list, which is a string with commas there and a list here."""
    return text.replace(", comma-separated,", "").replace(", separated by commas", "")


def quoted(value):
    return json.dumps(value, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")


def type_of(parameter):
    if parameter.get("AllowedValues") == ["true", "false"]:
        return "bool"
    return {"String": "string", "Number": "number", "CommaDelimitedList": "list(string)"}[parameter["Type"]]


def as_text(variable, parameter):
    """The variable as a string, as CloudFormation expects a parameter."""
    return {
        "string": variable,
        "list(string)": f'{variable} == null ? null : join(",", {variable})',
    }.get(type_of(parameter), f"tostring({variable})")


def validations(name, parameter):
    """Conditions and messages with which `terraform plan` rejects what CloudFormation would reject.

    For a list, they apply to each element.
    """
    found = []
    listed = type_of(parameter) == "list(string)"
    value = "one" if listed else f"var.{name}"
    if type_of(parameter) != "bool" and "AllowedValues" in parameter:
        allowed = parameter["AllowedValues"]
        found.append((f"contains({json.dumps(allowed)}, {value})", "must be one of " + ", ".join(map(str, allowed))))
    pattern = parameter.get("AllowedPattern")
    if pattern:
        # Terraform's regular expressions do not support lookahead: one at the beginning becomes a
        # condition of its own.
        lookahead = re.compile(r"\^\(\?!([^()]*)\)")
        conditions = [f"can(regex({quoted(lookahead.sub('^', pattern))}, {value}))"]
        conditions += [f"!can(regex({quoted('^' + start)}, {value}))" for start in lookahead.findall(pattern)]
        found.append((" && ".join(conditions), of_list(parameter["ConstraintDescription"])))
    if "MinValue" in parameter:
        least, most = parameter["MinValue"], parameter["MaxValue"]
        found.append((f"{value} >= {least} && {value} <= {most}", f"must be between {least} and {most}"))
    if "MaxLength" in parameter:
        most = parameter["MaxLength"]
        found.append((f"length({value}) <= {most}", f"must have at most {most} characters"))
    for condition, message in found:
        condition = f"alltrue([for one in var.{name} : {condition}])" if listed else condition
        required = "Default" not in parameter
        yield condition if required else f"var.{name} == null ? true : {condition}", f"{name} {message}."


def variable(parameter_name, parameter):
    name = snake(parameter_name)
    description = of_list(parameter["Description"])
    lines = [f'variable "{name}" {{', f"  description = {quoted(description)}", f"  type        = {type_of(parameter)}"]
    lines += ["  default     = null"] if "Default" in parameter else []
    for condition, message in validations(name, parameter):
        lines += ["", "  validation {", f"    condition     = {condition}", f"    error_message = {quoted(message)}", "  }"]
    return "\n".join([*lines, "}", ""])


def interface():
    template = transform.source()
    parameters = template["Parameters"]
    width = max(map(len, parameters))
    values = [f"    {name:{width}} = {as_text(f'var.{snake(name)}', parameter)}" for name, parameter in parameters.items()]
    local = "\n".join(["locals {", "  parameters = {", *values, "  }", "}", ""])
    outputs = [
        f'output "{snake(name)}" {{\n  description = {quoted(output["Description"])}\n'
        f'  value       = aws_cloudformation_stack.enforcer.outputs["{name}"]\n}}\n'
        for name, output in template["Outputs"].items()
    ]
    return "\n".join([HEAD, *(variable(name, parameter) for name, parameter in parameters.items()), local, *outputs])


if __name__ == "__main__":
    TARGET.write_text(interface(), encoding="utf-8")
    print(TARGET)
