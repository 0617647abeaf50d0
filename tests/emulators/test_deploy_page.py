"""docs/DEPLOY.md as a new user follows it, up to its smoke test: the stack in audit mode, with the parameters and the request of that page."""

import json
import re
from pathlib import Path

import pytest
from account import event
from stack import Stack

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "DEPLOY.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parameters():
    """Those of the first `sam deploy` command."""
    command = re.search(r"^sam deploy (?:.*\\\n)*.*--parameter-overrides (.*)$", PAGE, re.MULTILINE)[1]
    return dict(parameter.split("=") for parameter in command.split())


@pytest.fixture(scope="module")
def deployed(ministack, parameters):
    key = ministack.client("kms").create_key()["KeyMetadata"]["Arn"]
    # The page has an alias. docs/contributing/EMULATORS.md: `alias-as-resource`.
    return Stack(ministack, "deploy-page", parameters | {"KmsKeyId": key, "KmsKeyArns": key})


@pytest.fixture
def stream(ministack):
    """A stream that is not encrypted, as long as the test runs."""
    kinesis = ministack.client("kinesis")
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    yield "orders"
    assert kinesis.describe_stream_summary(StreamName="orders")["StreamDescriptionSummary"].get("EncryptionType", "NONE") == "NONE"
    kinesis.delete_stream(StreamName="orders")


def test_the_page_deploys_in_audit_mode(parameters):
    assert parameters["Mode"] == "audit"


def test_the_sweep_of_the_smoke_test_reports_every_stream_and_changes_none(deployed, stream):
    (payload,) = re.findall(r"--payload '(.*)' /dev/stdout", PAGE)
    answer = deployed.invoke(json.loads(payload)).answer
    outcomes = {outcome["stream"].rsplit("/")[-1]: outcome["status"] for outcome in answer["outcomes"]}
    assert outcomes[stream] == "would-encrypt", answer



def test_the_log_has_a_line_for_a_new_stream(deployed, stream):
    deployed.invoke(event("stream-created", stream=stream))
    assert any("would-encrypt" in line and stream in line for line in deployed.log())
