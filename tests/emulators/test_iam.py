"""The role of template.yaml, enforced by ministack: it suffices, and every action of it is needed."""

import itertools
import json
import re

import pytest
from account import PROJECT, batch_of, event
from stack import BATCHES, Stack, deployable

_NUMBERS = itertools.count()
# The codes that the runbook has a section for.
RUNBOOK = {code for line in (PROJECT / "docs" / "RUNBOOK.md").read_text().splitlines() if line.startswith("### ") for code in line[4:].split(", ")}
FOREIGN_KEY = "arn:aws:kms:us-east-1:444455556666:key/0987dcba-09fe-87dc-65ba-ab0987654321"
RULES = "/kinesis/policy"
# With these every policy of the template but that for members is attached to the role.
EVERYTHING = {"IacGraceSeconds": "0", "KmsKeyArns": FOREIGN_KEY, "PolicyParameter": RULES, "OutcomeEventBus": "outcomes"}


def actions():
    """Every action that a policy of the template allows: the policy's logical id, the statement's Sid, the action."""
    for name, resource in deployable({"KmsKeyId": "alias/streams", "Mode": "enforce"})["Resources"].items():
        if resource["Type"] == "AWS::IAM::ManagedPolicy":
            for statement in resource["Properties"]["PolicyDocument"]["Statement"]:
                for action in statement["Action"]:
                    if action not in BATCHES.values():
                        yield name, statement["Sid"], action


class Role:
    """The deployed function, whose role a test takes from."""

    def __init__(self, ministack, name, **parameters):
        self._ministack = ministack
        self.kinesis, self.sqs = ministack.client("kinesis"), ministack.client("sqs")
        # Given by its ARN. docs/contributing/EMULATORS.md: `alias-as-resource`.
        self.key = ministack.client("kms").create_key()["KeyMetadata"]["Arn"]
        self.stack = Stack(ministack, name, EVERYTHING | {"KmsKeyId": self.key} | parameters)
        self.work = self.stack.outputs["WorkQueueUrl"]
        # Work stays where a test can see it.
        of_function = ministack.client("lambda").list_event_source_mappings(FunctionName=self.stack.outputs["FunctionName"])["EventSourceMappings"]
        (mapping,) = (mapping for mapping in of_function if mapping["EventSourceArn"] == self.stack.outputs["WorkQueueArn"])
        ministack.client("lambda").update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)

    def stream(self, prefix="orders"):
        """A new stream, which is not encrypted: its name."""
        name = f"{prefix}-{next(_NUMBERS)}"
        self.kinesis.create_stream(StreamName=name, ShardCount=1)
        return name

    def key_of(self, name):
        return self.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"].get("KeyId")


@pytest.fixture(scope="module")
def role(ministack):
    ministack.client("events").create_event_bus(Name="outcomes")
    rules = {"version": 1, "rules": [{"name": "abroad", "match": {"stream": "abroad-*"}, "key": FOREIGN_KEY}]}
    ministack.client("ssm").put_parameter(Name=RULES, Type="String", Value=json.dumps(rules))
    return Role(ministack, "enforcing", Mode="enforce")


# What an action is needed for. Each does it and says whether it was done, and everything that was said about it.


def one_stream_is_encrypted(role):
    name = role.stream()
    invocation = role.stack.invoke({"stream": name})
    return role.key_of(name) == role.key, invocation, role.stack.letters()


def a_stream_with_a_key_of_another_account_is_judged(role):
    invocation = role.stack.invoke({"stream": role.stream("abroad")})
    # That it is not found is said after the call was let through. docs/contributing/EMULATORS.md: `no-keys-of-others`.
    return invocation.answer["outcomes"][0]["error"]["code"] == "NotFoundException", invocation, role.stack.letters()


def a_dry_run_warns_of_all_there_is(role):
    invocation = role.stack.invoke({"stream": role.stream(), "dryRun": True})
    (outcome,) = invocation.answer["outcomes"]
    assert outcome["status"] == "would-encrypt"
    return not [warning for warning in outcome["warnings"] if warning["code"].endswith("-unreadable")], invocation


def a_sweep_is_left_on_the_work_queue(role):
    name = role.stream()
    invocation = role.stack.invoke({"sweep": True})
    items = [json.loads(message["Body"])["stream"] for message in role.stack.take(role.work)]
    return any(item.endswith(f":stream/{name}") for item in items), invocation, role.stack.letters()


def a_sweep_knows_who_is_exempt(role):
    done, *said = a_sweep_is_left_on_the_work_queue(role)
    assert done
    return "exempt streams could not be listed" not in said[0].log, *said


def the_rules_are_read(role):
    # A process keeps the rules that it has read.
    role.stack.configure(LOOK_AGAIN=str(next(_NUMBERS)))
    invocation = role.stack.invoke({"stream": role.stream()})
    return invocation.error != "Policy", invocation


def what_somebody_stopped_is_put_right_at_once(role):
    name = role.stream()
    invocation = role.stack.invoke(event("encryption-stopped", stream=name))
    role.stack.take(role.work)
    return role.key_of(name) == role.key, invocation


def a_message_is_handed_back(role):
    # A work item of a version that is not known yet: a newer function will know it.
    item = {"version": 99, "kind": "work-item", "stream": "arn:aws:kinesis:us-east-1:111122223333:stream/orders"}
    role.sqs.send_message(QueueUrl=role.work, MessageBody=json.dumps(item))
    (message,) = role.sqs.receive_message(QueueUrl=role.work, AttributeNames=["All"])["Messages"]
    invocation = role.stack.invoke(batch_of([message], role.stack.outputs["WorkQueueArn"]))
    role.sqs.delete_message(QueueUrl=role.work, ReceiptHandle=message["ReceiptHandle"])
    assert invocation.answer == {"batchItemFailures": [{"itemIdentifier": message["MessageId"]}]}
    return "visibility timeout could not be changed, the message returns after that of the queue" not in invocation.log, invocation


def a_letter_is_written(role):
    invocation = role.stack.invoke(event("unknown"))
    letters = role.stack.letters()
    if not letters:
        assert invocation.error == "DeadLetterNotStored"
        assert "dead letter could not be stored" in invocation.log and event("unknown")["RequestId"] in invocation.log, "the log has it whole"
    return len(letters) == 1, invocation


def an_outcome_is_told(role):
    done, *said = one_stream_is_encrypted(role)
    assert done
    return "outcome events could not be sent" not in said[0].log, *said


NEEDED_FOR = {
    ("LookAtStreams", "kinesis:DescribeStreamSummary"): one_stream_is_encrypted,
    ("LookAtStreams", "kinesis:ListTagsForStream"): one_stream_is_encrypted,
    ("SeeWhoUsesStreams", "kinesis:GetResourcePolicy"): a_dry_run_warns_of_all_there_is,
    ("SeeWhoMayUseKeys", "kms:GetKeyPolicy"): a_dry_run_warns_of_all_there_is,
    ("FindStreams", "kinesis:ListStreams"): a_sweep_is_left_on_the_work_queue,
    ("ReadTagsInBulk", "tag:GetResources"): a_sweep_knows_who_is_exempt,
    ("LookAtKeys", "kms:DescribeKey"): one_stream_is_encrypted,
    ("LookAtGivenKeys", "kms:DescribeKey"): a_stream_with_a_key_of_another_account_is_judged,
    ("ReadTheRules", "ssm:GetParameter"): the_rules_are_read,
    ("EncryptStreams", "kinesis:StartStreamEncryption"): one_stream_is_encrypted,
    ("SeeWhoUndoesIt", "cloudtrail:LookupEvents"): what_somebody_stopped_is_put_right_at_once,
    ("LeaveWork", "sqs:SendMessage"): a_sweep_is_left_on_the_work_queue,
    ("TakeWork", "sqs:ChangeMessageVisibility"): a_message_is_handed_back,
    ("WriteDeadLetters", "sqs:SendMessage"): a_letter_is_written,
    ("TellOutcomes", "events:PutEvents"): an_outcome_is_told,
}

# What is said where it is not the call's own message.
SAID = {
    "kinesis:GetResourcePolicy": '"because": "AccessDeniedException", "code": "stream-policy-unreadable"',
    "kms:GetKeyPolicy": '"because": "AccessDeniedException", "code": "key-policy-unreadable"',
}

# What ministack does not ask the role for, and so cannot miss. docs/contributing/EMULATORS.md: `key-not-a-resource`, `rights-of-its-own`.
NOT_ASKED_FOR = {
    ("WithTheseKeys", "kinesis:StartStreamEncryption"): "ministack authorises the call on the stream alone",
    ("TakeOnTheRoleInMembers", "sts:AssumeRole"): "ministack lets nobody take on a role of another account; test_members.py does, with moto",
    ("TakeWork", "sqs:DeleteMessage"): "Lambda's poller takes it, and ministack's polls with rights of its own",
    ("TakeWork", "sqs:GetQueueAttributes"): "Lambda's poller takes it, and ministack's polls with rights of its own",
    ("TakeWork", "sqs:ReceiveMessage"): "Lambda's poller takes it, and ministack's polls with rights of its own",
    ("TakeDenials", "sqs:DeleteMessage"): "Lambda's poller takes it, and ministack's polls with rights of its own",
    ("TakeDenials", "sqs:GetQueueAttributes"): "Lambda's poller takes it, and ministack's polls with rights of its own",
    ("TakeDenials", "sqs:ReceiveMessage"): "Lambda's poller takes it, and ministack's polls with rights of its own",
    ("KeepAccessState", "ssm:GetParameter"): "a denied call is reported without it, too: tests/scenarios/denials.rs",
    ("KeepAccessState", "ssm:PutParameter"): "a denied call is reported without it, too: tests/scenarios/denials.rs",
    ("LookAgainLater", "sqs:SendMessage"): "a denied call is reported without it, too: tests/scenarios/denials.rs",
    ("WriteTheLog", "logs:CreateLogStream"): "Lambda writes the log, and ministack writes it with rights of its own",
    ("WriteTheLog", "logs:PutLogEvents"): "Lambda writes the log, and ministack writes it with rights of its own",
}


@pytest.mark.parametrize(("policy", "statement", "action"), [
    pytest.param(policy, statement, action, id=f"{statement}-{action}")
    for policy, statement, action in actions() if (statement, action) not in NOT_ASKED_FOR
])
def test_an_action_suffices_and_is_needed(role, policy, statement, action):
    scenario = NEEDED_FOR[statement, action]

    done, *said = scenario(role)

    assert done, said
    assert "not authorized" not in str(said)

    with role.stack.without(policy, statement, [action, BATCHES.get(action)]):
        done, *said = scenario(role)

    said = "\n".join(map(str, said))
    assert not done, said
    assert "AccessDenied" in said, said
    assert set(re.findall(r'"(?:because|code)": ?"(\w*AccessDenied\w*)"', said)) <= RUNBOOK, said
    assert SAID.get(action, f"is not authorized to perform: {action}") in said, said


def test_what_the_emulator_cannot_miss_is_granted_by_the_template():
    assert NOT_ASKED_FOR.keys() | NEEDED_FOR.keys() == {(statement, action) for _, statement, action in actions()}
    assert not NOT_ASKED_FOR.keys() & NEEDED_FOR.keys()


@pytest.fixture(scope="module")
def auditing(ministack, role):
    return Role(ministack, "auditing", Mode="audit")


def test_in_audit_mode_the_role_suffices_to_say_what_would_be_done(auditing):
    invocation = auditing.stack.invoke({"stream": auditing.stream()})

    assert invocation.answer["summary"] == {"would-encrypt": 1}
    assert "not authorized" not in str(invocation)


def test_in_audit_mode_the_role_can_start_nothing_even_if_the_function_tries(auditing):
    auditing.stack.configure(ENFORCEMENT_MODE="enforce")
    name = auditing.stream()

    started = auditing.stack.invoke({"stream": name})
    swept = auditing.stack.invoke({"sweep": True})

    (outcome,) = started.answer["outcomes"]
    assert (outcome["error"]["step"], outcome["error"]["code"]) == ("start-stream-encryption", "AccessDeniedException")
    assert auditing.key_of(name) is None
    assert "is not authorized to perform: sqs:SendMessage" in str(swept), "nor leave work that would"
    assert auditing.stack.take(auditing.work) == []
