"""template.yaml deployed, with the real `bootstrap`: events on its bus reach the function, and failures its dead-letter queue.

Not tested is what becomes of an event that cannot be handed over. docs/contributing/EMULATORS.md: `no-letters-of-rules`.
"""

import json
import time

import pytest
from account import event
from stack import Stack


def heard_from_here(template):
    """PutEvents takes no source that begins with aws, from ministack as from AWS. So the rules of this deployment listen for another one, and
    hand over the event with the right one."""
    for resource in template["Resources"].values():
        if resource["Type"] != "AWS::Events::Rule":
            continue
        (source,) = resource["Properties"]["EventPattern"]["source"]
        resource["Properties"]["EventPattern"]["source"] = [here(source)]
        for target in resource["Properties"]["Targets"]:
            fields = ["id", "account", "time", "region", "resources", "detail"]
            target["InputTransformer"] = {
                "InputPathsMap": {"type": "$.detail-type"} | {field: f"$.{field}" for field in fields},
                "InputTemplate": f"""{{"version": "0", "id": "<id>", "detail-type": "<type>", "source": "{source}", "account": "<account>",
                    "time": "<time>", "region": "<region>", "resources": <resources>, "detail": <detail>}}""",
            }


def here(source):
    return f"test.{source}"


class Deployed(Stack):
    """The deployed function, and what a person would do around it."""

    def __init__(self, ministack):
        self.kinesis, self.kms, self.events = (ministack.client(service) for service in ("kinesis", "kms", "events"))
        self.aws_lambda, self.sqs = ministack.client("lambda"), ministack.client("sqs")
        self.events.create_event_bus(Name="told")
        self._listen()
        self.key = self.kms.create_key()["KeyMetadata"]["Arn"]
        super().__init__(ministack, "deployed", {"KmsKeyId": self.key, "Mode": "enforce", "IacGraceSeconds": "0", "OutcomeEventBus": "told"}, heard_from_here)

    def _listen(self):
        """Has everything that is told come to a queue."""
        self.told = self.sqs.create_queue(QueueName="listener")["QueueUrl"]
        arn = self.sqs.get_queue_attributes(QueueUrl=self.told, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        self.sqs.set_queue_attributes(QueueUrl=self.told, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}]})})
        self.events.put_rule(Name="listen", EventBusName="told", EventPattern=json.dumps({"source": ["kinesis-encryption-enforcer"]}))
        self.events.put_targets(Rule="listen", EventBusName="told", Targets=[{"Id": "listener", "Arn": arn}])

    def told_of(self, stream):
        """Waits for the outcome event about a stream."""
        def heard():
            told = [json.loads(message["Body"]) for message in self.take(self.told)]
            return [each for each in told if (each["detail"]["outcome"]["stream"] or "").endswith(f":stream/{stream}")]

        (event,) = self.wait_until(heard, f"nothing is told of {stream}")
        return event

    def stream(self, name):
        self.kinesis.create_stream(StreamName=name, ShardCount=1)
        return name

    def key_of(self, name):
        return self.kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"].get("KeyId")

    def put(self, happened):
        """Puts an event on the bus."""
        entry = {"Source": here(happened["source"]), "DetailType": happened["detail-type"], "Detail": json.dumps(happened["detail"]), "Resources": happened["resources"]}
        assert self.events.put_events(Entries=[entry])["FailedEntryCount"] == 0

    def wait_until(self, true, what, patience=30):
        give_up = time.monotonic() + patience
        while not (found := true()):
            assert time.monotonic() < give_up, f"{what} after {patience} s"
            time.sleep(0.05)
        return found

    def invocations(self):
        return len([line for line in self.log() if line.startswith("END RequestId")])


@pytest.fixture(scope="module")
def deployed(ministack):
    return Deployed(ministack)


@pytest.mark.parametrize(("name", "kind"), [
    ("stream-created", "stream-created"),
    ("encryption-stopped", "encryption-stopped"),
    ("encryption-changed", "encryption-changed"),
    ("tags-added", "tags-changed"),
    ("compliance-changed", "compliance-changed"),
    ("configuration-item-changed", "compliance-changed"),
    ("security-finding", "security-finding"),
    ("security-finding-v2", "security-finding"),
    ("security-finding-custom-action", "security-finding"),
])
def test_an_event_on_the_bus_reaches_the_function_which_encrypts_the_stream(deployed, name, kind):
    stream = deployed.stream(name)

    deployed.put(event(name, stream=stream))

    told = deployed.told_of(stream)
    assert told["source"] == "kinesis-encryption-enforcer"
    assert told["detail"]["trigger"]["kind"] == kind
    assert told["detail"]["outcome"]["status"] == "encrypted"
    assert told["resources"] == [f"arn:aws:kinesis:us-east-1:111122223333:stream/{stream}", deployed.key]
    assert deployed.key_of(stream) == deployed.key
    assert deployed.letters() == []


def test_a_failure_is_on_the_dead_letter_queue_and_settled_when_it_is_fed_back(deployed):
    stream = deployed.stream("locked")
    happened = event("stream-created", stream=stream)
    deployed.kms.disable_key(KeyId=deployed.key)

    deployed.put(happened)
    letter = deployed.wait_for_letter()

    deployed.kms.enable_key(KeyId=deployed.key)
    assert letter["error"]["code"] == "KeyDisabled"
    assert letter["event"]["detail"] == happened["detail"]
    assert deployed.invoke(letter).answer["summary"] == {"encrypted": 1}
    assert deployed.key_of(stream) == deployed.key


def test_an_invocation_that_fails_is_tried_twice_more_then_recorded_and_the_record_can_be_fed_back(deployed):
    stream = deployed.stream("late")
    happened = event("stream-created", stream=stream)
    deployed.configure(ENFORCEMENT_MODE="on")
    before = deployed.invocations()

    deployed.invoke_later(happened)
    record = deployed.wait_for_letter()

    # Counted, not taken from the record. docs/contributing/EMULATORS.md: `always-three`.
    assert deployed.invocations() - before == 3
    assert record["requestContext"]["condition"] == "RetriesExhausted"
    assert record["responsePayload"]["errorType"] == "Settings"
    assert record["requestPayload"] == happened
    deployed.configure(ENFORCEMENT_MODE="enforce")
    answer = deployed.invoke(record).answer
    assert (answer["trigger"]["kind"], answer["summary"]) == ("stream-created", {"encrypted": 1})
    assert deployed.key_of(stream) == deployed.key


def test_what_the_schedule_sends_is_a_sweep(deployed, ministack):
    schedule = ministack.client("scheduler").get_schedule(Name=deployed.resources["Schedule"])
    target = schedule["Target"]
    # The scheduler writes these in.
    text = target["Input"].replace("<aws.scheduler.scheduled-time>", "2026-11-24T12:00:00Z").replace("<aws.scheduler.schedule-arn>", schedule["Arn"])

    answer = deployed.invoke(json.loads(text)).answer

    assert target["Arn"] == deployed.outputs["FunctionArn"]
    assert answer["trigger"]["kind"] == "scheduled"
    assert "failed" not in answer["summary"]


def test_a_sweep_goes_through_the_work_queue_whose_poller_brings_it_back(deployed):
    streams = [deployed.stream(f"fleet-{number}") for number in range(12)]

    answer = deployed.invoke({"sweep": True}).answer

    assert answer["summary"]["queued"] >= len(streams)
    for stream in streams:
        deployed.wait_until(lambda: deployed.key_of(stream) == deployed.key, f"{stream} is not encrypted")
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]

    def left():
        attributes = deployed.sqs.get_queue_attributes(QueueUrl=deployed.outputs["WorkQueueUrl"], AttributeNames=counts)["Attributes"]
        return sum(int(attributes[count]) for count in counts)

    # A message that is handed back, on a slow machine, comes back after half a minute.
    deployed.wait_until(lambda: left() == 0, "the work queue is not empty", patience=90)
    assert deployed.letters() == []


@pytest.mark.parametrize("name", ["key-enabled", "key-rotated"])
def test_an_event_about_the_key_on_the_bus_has_every_stream_looked_at_through_the_work_queue(deployed, name):
    stream = deployed.stream(name)

    deployed.put(event(name, key=deployed.key))

    assert deployed.told_of(stream)["detail"]["trigger"]["kind"] == "work-item"
    assert deployed.key_of(stream) == deployed.key


def test_an_alarm_says_the_first_command_with_the_functions_own_arn_and_where_the_runbook_is(ministack, deployed):
    (alarm,) = ministack.client("cloudwatch").describe_alarms(AlarmNames=[deployed.resources["DeadLetterAlarm"]])["MetricAlarms"]

    happened, title, command, runbook = alarm["AlarmDescription"].splitlines()
    assert happened.startswith("Kinesis encryption enforcer deployed: ")
    assert (title, command) == ("First command:", f"enforcer dlq list --function {deployed.outputs['FunctionArn']}")
    assert runbook.startswith("Runbook: https://") and runbook.endswith("/docs/RUNBOOK.md#deadletteralarm")
