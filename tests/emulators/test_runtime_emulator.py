"""The function under AWS's runtime interface emulator: one test for each story that README tells."""

import json

import pytest
from account import event
from function import FunctionError


def only(items):
    (item,) = items
    return item


@pytest.mark.kinesis(creating=1.5, updating=1.5)
@pytest.mark.differs("moto ministack", "no-transitions")
def test_a_stream_that_is_still_being_created_is_encrypted_and_a_duplicate_does_nothing(account, function):
    enforcer = function()
    account.begin_stream()
    assert account.state() == ("CREATING", None)

    answer = enforcer.invoke(event("stream-created"))

    assert account.state() == ("ACTIVE", account.key)
    assert answer["trigger"]["kind"] == "stream-created"
    assert answer["trigger"]["eventId"] == event("stream-created")["id"]
    assert answer["summary"] == {"encrypted": 1}
    outcome = only(answer["outcomes"])
    assert outcome["stream"] == account.stream()["StreamARN"]
    assert outcome["key"] == account.key
    assert outcome["previousKey"] is None
    assert outcome["applied"] is True
    assert outcome["waitedMs"] >= 2000, "both transitions were waited for"

    duplicate = only(enforcer.invoke(event("stream-created"))["outcomes"])
    assert (duplicate["status"], duplicate["applied"]) == ("compliant", False)
    assert account.letters() == []


@pytest.mark.parametrize("name", ["encryption-stopped", "encryption-stopped-by-arn"])
def test_a_stream_whose_encryption_was_stopped_is_repaired(account, function, name):
    account.create_stream(key=account.key)
    account.stop_encryption()
    assert account.state() == ("ACTIVE", None)

    answer = function().invoke(event(name))

    assert account.state() == ("ACTIVE", account.key)
    assert answer["trigger"]["kind"] == "encryption-stopped"
    assert answer["summary"] == {"encrypted": 1}


def test_the_whole_fleet_follows_an_alias_to_its_new_key(account, function):
    names = ["invoices", "orders", "payments"]
    for name in names:
        account.create_stream(name, key=account.key)
    new_key = account.create_key()
    account.kms.update_alias(AliasName="alias/streams", TargetKeyId=new_key)

    answer = function().invoke(event("alias-repointed", key=new_key))

    assert {name: account.state(name) for name in names} == dict.fromkeys(names, ("ACTIVE", new_key))
    assert answer["trigger"]["kind"] == "alias-repointed"
    assert answer["summary"] == {"encrypted": 3}
    assert {outcome["previousKey"] for outcome in answer["outcomes"]} == {account.key}


def test_a_schedule_finds_the_one_stream_that_is_wrong(account, function):
    account.create_stream("invoices", key=account.key)
    wrong = account.create_stream("orders")

    answer = function().invoke(event("scheduled"))

    assert account.state("orders") == ("ACTIVE", account.key)
    assert answer["summary"] == {"compliant": 1, "encrypted": 1}
    assert only(answer["outcomes"])["stream"] == wrong


# The sandbox makes five streams a second, as AWS does; tests/scenarios/fleet.rs has its pages.
@pytest.mark.emulators("kinesis-local", "moto", "ministack")
@pytest.mark.kinesis(creating=0)
@pytest.mark.differs("moto", "summaries-of-all")
def test_a_sweep_reaches_the_streams_beyond_the_first_page(account, function):
    # docs/contributing/EMULATORS.md: `no-next-token`. A page has 100 at most.
    for number in range(105):
        account.begin_stream(f"orders-{number:03}")
    # A hundred need not be looked at, which would take as long as AWS allows so many looks.
    rules = {"version": 1, "rules": [{"name": "old", "match": {"stream": "orders-0*"}, "mode": "exempt", "reason": "a test", "until": "2999-12-31"}]}

    answer = function(ENFORCEMENT_MODE="audit", POLICY=json.dumps(rules), timeout=15).invoke({"sweep": True})

    assert answer["summary"] == {"exempt": 100, "would-encrypt": 5}


@pytest.mark.kinesis(creating=0)
@pytest.mark.differs("kinesis-local moto", "start-after-nobody")
def test_a_sweep_goes_on_after_a_stream_that_is_gone(account, function):
    for name in ["invoices", "payments"]:
        account.create_stream(name)
    assert event("manual-sweep")["startAfter"] == "orders"

    answer = function(ENFORCEMENT_MODE="audit", timeout=6).invoke(event("manual-sweep"))

    assert [outcome["stream"].rsplit("/", 1)[1] for outcome in answer["outcomes"]] == ["payments"]


def test_a_rotation_of_the_configured_key_leaves_streams_that_are_right_alone(account, function):
    account.create_stream(key=account.key)

    answer = function().invoke(event("key-rotated", key=account.key))

    assert answer["trigger"]["kind"] == "key-rotated"
    assert answer["summary"] == {"compliant": 1}


def test_a_disabled_key_makes_a_dead_letter_that_can_be_fed_back(account, function):
    enforcer = function()
    stream = account.create_stream()
    account.disable_key()

    outcome = only(enforcer.invoke(event("stream-created"))["outcomes"])

    assert (outcome["status"], outcome["error"]["code"], outcome["error"]["class"]) == ("failed", "KeyDisabled", "terminal")
    assert account.state() == ("ACTIVE", None)
    letter, attributes = only(account.letters())
    assert letter["kind"] == "enforcement-failure"
    assert letter["event"] == event("stream-created")
    assert letter["error"]["code"] == "KeyDisabled"
    assert "kms:EnableKey" in letter["error"]["remedy"]
    assert attributes["ErrorCode"] == "KeyDisabled"

    account.enable_key()
    answer = enforcer.invoke(letter)

    assert answer["trigger"]["kind"] == "stream-created"
    assert [(outcome["stream"], outcome["status"]) for outcome in answer["outcomes"]] == [(stream, "encrypted")]
    assert account.state() == ("ACTIVE", account.key)
    assert account.letters() == []


def test_an_unknown_payload_is_refused_by_name_and_kept(account, function):
    answer = function().invoke(event("unknown"))

    assert answer["trigger"]["kind"] == "unknown"
    assert only(answer["outcomes"])["error"]["code"] == "UnknownPayload"
    letter, attributes = only(account.letters())
    assert letter["event"] == event("unknown")
    assert attributes["ErrorCode"] == letter["error"]["code"] == "UnknownPayload"


def test_audit_mode_says_what_it_would_do_and_touches_nothing(account, function):
    account.create_stream()

    outcome = only(function(ENFORCEMENT_MODE="audit").invoke(event("stream-created"))["outcomes"])

    assert (outcome["status"], outcome["mode"], outcome["key"], outcome["applied"]) == ("would-encrypt", "audit", account.key, False)
    assert account.state() == ("ACTIVE", None)


@pytest.mark.kinesis(updating=7)
@pytest.mark.differs("moto ministack", "no-transitions")
def test_a_timeout_shorter_than_the_transition_fails_the_invocation_and_the_next_one_confirms(account, function):
    enforcer = function(timeout=6)
    account.create_stream()

    with pytest.raises(FunctionError) as failed:
        enforcer.invoke(event("stream-created"))
    assert failed.value.type == "StillUpdating"
    outcome = only(json.loads(failed.value.message)["outcomes"])
    assert (outcome["status"], outcome["error"]["code"], outcome["applied"]) == ("failed", "StillUpdating", True)
    assert account.state()[0] == "UPDATING"

    retried = only(enforcer.invoke(event("stream-created"))["outcomes"])
    assert (retried["status"], retried["applied"]) == ("compliant", False)
    assert account.state() == ("ACTIVE", account.key)
    assert account.letters() == []


def test_a_letter_that_the_queue_refuses_fails_the_invocation(account, function):
    enforcer = function(FAILURE_QUEUE_URL=account.queue.replace("failures", "missing"))

    with pytest.raises(FunctionError) as failed:
        enforcer.invoke(event("unknown"))

    assert failed.value.type == "DeadLetterNotStored"
    assert only(json.loads(failed.value.message)["outcomes"])["error"]["code"] == "UnknownPayload"


def test_wrong_settings_fail_every_invocation_by_name(function):
    enforcer = function(KMS_KEY_ID=None, ENFORCEMENT_MODE="on")

    for _ in range(2):
        with pytest.raises(FunctionError) as failed:
            enforcer.invoke(event("manual-stream"))
        assert failed.value.type == "Settings"
        assert "KMS_KEY_ID" in failed.value.message and "ENFORCEMENT_MODE" in failed.value.message
