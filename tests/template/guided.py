"""`sam deploy --guided` in a checkout: that it asks in the order of the template, and that what it saves changes no tracked file."""

import os
import re
import shutil
import subprocess
import sys

import transform
from samcli.commands._utils.template import move_template
from samcli.lib.config.samconfig import SamConfig
from samcli.yamlhelper import yaml_parse

# `sam` in an account of moto, with a bucket instead of SAM CLI's stack with a bucket, whose policy moto does not know.
SAM = """
import sys
import boto3
from moto import mock_aws
from samcli.cli.main import cli
from samcli.commands.deploy import guided_context
with mock_aws():
    boto3.client("s3").create_bucket(Bucket="artifacts")
    guided_context.manage_stack = lambda **_: "artifacts"
    cli(sys.argv[1:])
"""
FILE = "samconfig.toml"
# What SAM CLI reads of a checkout.
READ = ("template.yaml", ".gitignore", "LICENSE", "README.md")
ANSWERS = {"KmsKeyId": "alias/streams", "Mode": "audit"}


def git(*arguments, cwd):
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    return subprocess.run(["git", *identity, *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def checkout(folder):
    """Makes a checkout as it is after `sam build`."""
    for name in READ:
        shutil.copy(transform.ROOT / name, folder)
    git("init", "--quiet", cwd=folder)
    git("add", "--all", cwd=folder)
    git("commit", "--quiet", "--message", "checkout", cwd=folder)
    build = folder / ".aws-sam" / "build"
    (build / "Function").mkdir(parents=True)
    (build / "Function" / "bootstrap").write_bytes(b"")
    # It keeps the order, as `sam build` does.
    template = yaml_parse((folder / "template.yaml").read_text(encoding="utf-8"))
    template["Resources"]["Function"]["Properties"]["CodeUri"] = str(build / "Function")
    move_template(str(folder / "template.yaml"), str(build / "template.yaml"), template)


def problems(folder):
    """What is wrong with what `sam deploy --guided` asks and leaves; `folder` is empty."""
    checkout(folder)
    names = list(transform.source()["Parameters"])
    # Name of the stack, Region; parameters; confirm changes, create roles, disable rollback; save, to which file, for
    # which environment.
    answers = ["", "", *(ANSWERS.get(name, "") for name in names), "n", "y", "n", "y", "", ""]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "SAM_"))}
    environment |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
    command = [sys.executable, "-B", "-c", SAM, "deploy", "--guided", "--stack-name", "kinesis-encryption-enforcer"]
    # moto does not know the SAM transform, so the deployment itself fails at the end.
    answer = subprocess.run(command, cwd=folder, env=environment, input="\n".join(answers) + "\n", capture_output=True, text=True, check=False)

    found = []
    asked = re.findall(r"Parameter (\w+) \[", answer.stdout)
    if asked != names:
        found.append(f"it asks for {asked}, and the template has {names}")
    saved = SamConfig(folder).get_all(["deploy"], "parameters") if (folder / FILE).exists() else {}
    wanted = [f'{name}="{value}"' for name, value in ANSWERS.items()]
    if saved.get("stack_name") != "kinesis-encryption-enforcer" or any(one not in saved.get("parameter_overrides", "") for one in wanted):
        found.append(f"it does not save the answers to {FILE}: {saved} {answer.stdout[-1000:]} {answer.stderr[-1000:]}")
    found += [f"it changes the checkout: {line}" for line in git("status", "--porcelain", cwd=folder).splitlines()]
    # An ignored file can be tracked nevertheless. Not everybody has the repository.
    if (transform.ROOT / ".git").exists() and git("ls-files", FILE, cwd=transform.ROOT):
        found.append(f"{FILE}, to which it saves the answers, is tracked")
    return [f"sam deploy --guided: {problem}" for problem in found]
