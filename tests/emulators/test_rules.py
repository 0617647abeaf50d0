"""The rules of template.yaml against events/, by ministack's TestEventPattern. tests/template.rs holds a matcher of ours to the same list."""

import copy
import json

import pytest
from account import PROJECT, event
from stack import Stack

DELIVERED = json.loads((PROJECT / "tests" / "template" / "delivered.json").read_text())
# The function's role in events/.
EXAMPLE_ROLE = "arn:aws:iam::111122223333:role/kinesis-encryption-enforcer"


class Rules:
    """The patterns of the deployed rules, by the rules' logical ids."""

    def __init__(self, ministack):
        stack = Stack(ministack, "rules", {"KmsKeyId": "alias/streams", "Mode": "enforce"})
        self._events, self._role = ministack.client("events"), stack.outputs["RoleArn"]
        rules = [rule for rule in stack.resources if rule.endswith("Rule")]
        self.patterns = {rule: self._events.describe_rule(Name=stack.resources[rule].split("|")[-1])["EventPattern"] for rule in rules}

    def match(self, rule, happened):
        # The stack's role has a name of its own.
        text = json.dumps(happened).replace(EXAMPLE_ROLE, self._role)
        return self._events.test_event_pattern(EventPattern=self.patterns[rule], Event=text)["Result"]


@pytest.fixture(scope="module")
def rules(ministack):
    return Rules(ministack)


def on_a_bus(happened):
    """Whether it is an event as a bus carries them: only those can be matched."""
    fields = {"id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
    return isinstance(happened, dict) and fields <= happened.keys()


@pytest.mark.parametrize("name", sorted(path.stem for path in (PROJECT / "events").iterdir()))
def test_every_event_file_is_delivered_by_the_one_rule_that_should_or_by_none(rules, name):
    expected, happened = DELIVERED["files"][name], event(name)

    if not on_a_bus(happened):
        assert expected is None
        return

    assert [rule for rule in rules.patterns if rules.match(rule, happened)] == ([] if expected is None else [expected])


def test_every_rule_delivers_a_file(rules):
    assert set(rules.patterns) == {rule for rule in DELIVERED["files"].values() if rule is not None}


def key_in(place, step):
    """The step of a JSON pointer as the key or the index that it is."""
    return int(step) if isinstance(place, list) else step


@pytest.mark.parametrize("case", DELIVERED["variations"], ids=lambda case: f"{case['file']}{case['at']}")
def test_one_value_decides_whether_it_is_delivered(rules, case):
    happened = copy.deepcopy(event(case["file"]))
    *path, last = case["at"].removeprefix("/").split("/")
    place = happened
    for step in path:
        place = place[key_in(place, step)]
    last = key_in(place, last)
    assert last in (range(len(place)) if isinstance(place, list) else place)
    place[last] = case["value"]

    assert rules.match(case["rule"], happened) == case["passes"]


@pytest.mark.parametrize(("rule", "name"), [("StreamChangedRule", "stream-created"), ("KeyCalledRule", "key-disabled"), ("EncryptionStartedRule", "encryption-changed")])
def test_every_call_that_a_rule_names_passes_it_and_a_failed_one_does_not(rules, rule, name):
    for call in json.loads(rules.patterns[rule])["detail"]["eventName"]:
        happened = event(name)
        happened["detail"]["eventName"] = call
        assert rules.match(rule, happened), call
        happened["detail"]["errorCode"] = "AccessDenied"
        assert not rules.match(rule, happened), call
