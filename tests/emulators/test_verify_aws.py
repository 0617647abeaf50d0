"""tests/aws, the program that asks AWS the open questions, in a dry run with ministack."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import zipfile

import boto3
import pytest
import stack
from account import ACCOUNT, EXAMPLE_KEY, PROJECT, REGION, event
from account import sandbox as aws_sandbox

sys.path[:0] = [str(PROJECT / "deploy"), str(PROJECT / "tests" / "aws")]

import transform  # noqa: E402
from verify import announcement, cli, deployment, page, recorder, removal, results  # noqa: E402
from verify.account import Account  # noqa: E402
from verify.cli import KEYS  # noqa: E402
from verify.evidence import Evidence  # noqa: E402
from verify.experiments import EXPERIMENTS, NOT_RUN, deployed, encryption, happenings  # noqa: E402
from verify.lab import Lab, Patience  # noqa: E402
from verify.names import Names  # noqa: E402
from verify.scrub import Scrubber  # noqa: E402

PREFIX = "kee-verify-dryrun"
# An account that could be a real one: nothing of it may be written.
REAL = "932847561029"


def left(aws):
    """Everything in the account that a run could leave behind."""
    kms, iam, events = aws.client("kms"), aws.client("iam"), aws.client("events")
    keys = [kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    stacks = aws.client("cloudformation").describe_stacks()["Stacks"]
    return {
        "stacks": sorted(each["StackName"] for each in stacks if each["StackStatus"] != "DELETE_COMPLETE"),
        "streams": sorted(aws.client("kinesis").list_streams()["StreamNames"]),
        "queues": sorted(aws.client("sqs").list_queues().get("QueueUrls", [])),
        "rules": sorted(rule["Name"] for rule in events.list_rules()["Rules"]),
        "roles": sorted(role["RoleName"] for role in iam.list_roles()["Roles"]),
        "policies": sorted(policy["PolicyName"] for policy in iam.list_policies(Scope="Local")["Policies"]),
        "functions": sorted(
            function["FunctionName"] for function in aws.client("lambda").list_functions()["Functions"]
        ),
        "mappings": aws.client("lambda").list_event_source_mappings()["EventSourceMappings"],
        "aliases": sorted(
            alias["AliasName"]
            for alias in kms.list_aliases()["Aliases"]
            if not alias["AliasName"].startswith("alias/aws/")
        ),
        "keys": sorted(key["Arn"] for key in keys if key["KeyState"] != "PendingDeletion"),
        "buckets": sorted(bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]),
        "logs": sorted(group["logGroupName"] for group in aws.client("logs").describe_log_groups()["logGroups"]),
        "parameters": sorted(parameter["Name"] for parameter in aws.client("ssm").describe_parameters()["Parameters"]),
        "alarms": sorted(alarm["AlarmName"] for alarm in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]),
        "schedules": sorted(each["Name"] for each in aws.client("scheduler").list_schedules()["Schedules"]),
    }


class Dry:
    """An account with streams of others, and the program in it."""

    def __init__(self, aws, package, template, enforcer):
        self.aws, self._package, self._template, self._enforcer = aws, package, template, enforcer
        kinesis, key = aws.client("kinesis"), aws.client("kms").create_key()["KeyMetadata"]["Arn"]
        # The last two have names that begin almost as those of the run.
        for name in ("orders", "payments", "kee-verify", f"{PREFIX}2-managed-orders"):
            kinesis.create_stream(StreamName=name, ShardCount=1)
        kinesis.start_stream_encryption(StreamName="payments", EncryptionType="KMS", KeyId=key)
        self.before, self.streams_before = left(aws), self.streams()

    def streams(self):
        kinesis = self.aws.client("kinesis")
        seen = [
            kinesis.describe_stream_summary(StreamName=name)["StreamDescriptionSummary"]
            for name in left(self.aws)["streams"]
        ]
        return {stream["StreamName"]: (stream["EncryptionType"], stream.get("KeyId")) for stream in seen}

    def command(self, output, *arguments, account=ACCOUNT, template=None):
        given = [
            "--endpoint-url",
            self.aws.endpoint,
            "--region",
            REGION,
            "--account",
            account,
            "--yes",
            "--prefix",
            PREFIX,
            "--package",
            self._package,
            "--template",
            template or self._template,
            "--enforcer",
            self._enforcer,
            "--output",
            output,
            *arguments,
        ]
        return [sys.executable, "-B", "-m", "verify", *map(str, given)]

    def environment(self):
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        return kept | {
            "PYTHONPATH": str(PROJECT / "tests" / "aws"),
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_CA_BUNDLE": str(self.aws.certificate),
            "NO_PROXY": "127.0.0.1",
        }

    def run(self, output, *arguments, **settings):
        command = self.command(output, *arguments, **settings)
        return subprocess.run(
            command, env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=400
        )

    def start(self, output, *arguments):
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        return subprocess.Popen(self.command(output, *arguments), env=self.environment(), text=True, **pipes)

    def assert_as_before(self):
        assert left(self.aws) == self.before
        assert self.streams() == self.streams_before


@pytest.fixture(scope="module")
def dry(bootstrap, enforcer_binary, tmp_path_factory):
    folder = tmp_path_factory.mktemp("verify")
    with zipfile.ZipFile(folder / "bootstrap.zip", "w") as archive:
        entry = zipfile.ZipInfo("bootstrap")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, pathlib.Path(bootstrap).read_bytes())
    plain, objections = transform.plain()
    assert objections == []
    # Which parameters the conditions see, and not their values, is what matters here.
    shape = {
        "CodeBucket": f"{PREFIX}-code",
        "KmsKeyId": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{EXAMPLE_KEY}",
        "KmsKeyArns": "given",
        "ScheduleExpression": "",
    }
    (folder / "template.json").write_text(json.dumps(stack.adapted(plain, shape)))
    aws = stack.Ministack(folder)
    try:
        yield Dry(aws, folder / "bootstrap.zip", folder / "template.json", enforcer_binary)
    finally:
        aws.process.stop()


def record(name):
    """An event of `events/`, as it would come from a real account."""
    return json.dumps(event(name)).replace(ACCOUNT, REAL)


class Deliveries(threading.Thread):
    """Puts events into the queue of the run, as a rule would: no emulator makes events of calls."""

    def __init__(self, aws):
        super().__init__(daemon=True)
        self._sqs, self._done = aws.client("sqs"), threading.Event()

    def run(self):
        bodies = [
            self._about(name, stream)
            for name, stream in [
                ("stream-created", f"{PREFIX}-events"),
                ("encryption-changed", f"{PREFIX}-events"),
                ("tags-added", f"{PREFIX}-events"),
            ]
        ]
        while not self._done.wait(0.1):
            for url in self._sqs.list_queues(QueueNamePrefix=f"{PREFIX}-events").get("QueueUrls", []):
                for body in bodies:
                    self._sqs.send_message(QueueUrl=url, MessageBody=body)
                return

    @staticmethod
    def _about(name, stream):
        return record(name).replace("orders", stream)

    def stop(self):
        self._done.set()
        self.join()


def test_a_run_answers_records_and_leaves_nothing(dry, tmp_path):
    deliveries = Deliveries(dry.aws)
    deliveries.start()
    try:
        ran = dry.run(tmp_path)
    finally:
        deliveries.stop()

    print(ran.stdout, ran.stderr)
    assert ran.returncode == 0, ran.stderr
    found = results.load(tmp_path)
    assert found.keys() == {experiment.question.id for experiment in EXPERIMENTS}
    shown = {name: result.answer for name, result in found.items() if result.verdict == "holds"}
    assert shown.keys() == {experiment.question.id for experiment in EXPERIMENTS if experiment.emulators_show}
    assert shown["function-encrypts"] == "The outcome is `encrypted`, and the stream shows the configured key."
    assert shown["policy-exempts"] == "The outcome is `exempt`, and the stream's encryption is NONE."
    assert "It shows" in shown["alias-shown"]
    created = {
        call["request"]["StreamName"]
        for each in found.values()
        for call in json.loads((tmp_path / each.evidence).read_text())["calls"]
        if call["call"] == "kinesis:CreateStream"
    }
    # And the one for the plan.
    assert len(created) + 1 == announcement.STREAMS
    others = [result.answer for result in found.values() if result.verdict != "holds"]
    assert all(answer.startswith("Not shown by the emulator") for answer in others)

    evidence = json.loads((tmp_path / found["alias-shown"].evidence).read_text())
    assert {"kinesis:StartStreamEncryption", "kms:CreateAlias"} <= {call["call"] for call in evidence["calls"]}
    assert evidence["calls"][0]["request"] and "ResponseMetadata" not in json.dumps(evidence)
    recorded = json.loads((tmp_path / found["stream-events"].events["stream-created"]).read_text())
    assert recorded["detail"]["requestParameters"]["streamName"] == f"{PREFIX}-events"
    assert "the program reads it as stream-created" in ran.stdout

    written = "\n".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    # The only 12 digits in what is written are those of documentation; ids have numbers instead.
    assert REAL not in written
    numbers = set(re.findall(r"(?<![\da-z])(?<!\d\.)(?<!-8000-)\d{12}(?!\d)", written))
    assert numbers <= {ACCOUNT, "444455556666", "777788889999", "123456789012"}
    assert not re.findall(
        r"\b(?!0{8}-0000-4000-8000-)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", written
    )
    # Nor is a stream of somebody else.
    assert "payments" not in written
    assert "dry run with an emulator: it says nothing about AWS" in (tmp_path / "docs" / "VERIFIED.md").read_text()
    dry.assert_as_before()


def test_the_deployed_role_may_encrypt_no_other_stream_and_the_plan_says_so(dry, tmp_path):
    running = dry.start(tmp_path, "--only", "function-encrypts,policy-exempts")
    lines = []
    denied = None
    for line in running.stdout:
        lines.append(line)
        if line.startswith("function-encrypts:"):
            # The stack stands. The function is told to encrypt a stream of somebody else, without its policy.
            function = next(name for name in left(dry.aws)["functions"] if name.startswith(PREFIX))
            client = dry.aws.client("lambda")
            variables = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
            variables.pop("POLICY")
            client.update_function_configuration(
                FunctionName=function, Environment={"Variables": variables | {"FAILURE_QUEUE_URL": ""}}
            )
            denied = json.load(
                client.invoke(FunctionName=function, Payload=json.dumps({"stream": "orders", "deadLetter": False}))[
                    "Payload"
                ]
            )
    running.wait(timeout=60)

    output = "".join(lines)
    assert f"the plan encrypts {PREFIX}-managed-planned and leaves 4 other streams alone" in output
    assert denied is not None and denied["outcomes"][0]["status"] == "failed", denied
    assert denied["outcomes"][0]["error"]["code"] == "AccessDeniedException"
    dry.assert_as_before()


def test_a_failure_removes_everything(dry, tmp_path):
    template = json.loads(pathlib.Path(dry._template).read_text())
    template["Resources"]["Broken"] = {"Type": "AWS::No::Such", "DependsOn": "Function", "Properties": {}}
    (tmp_path / "broken.json").write_text(json.dumps(template))

    ran = dry.run(tmp_path, template=tmp_path / "broken.json")

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "stopped: " in ran.stdout
    dry.assert_as_before()


@pytest.mark.parametrize("when", ["creating keys", "deploying the stack", "alias-shown:"])
def test_ctrl_c_removes_everything(dry, tmp_path, when):
    running = dry.start(tmp_path)
    output = ""
    for line in running.stdout:
        output += line
        if line.startswith(when):
            running.send_signal(signal.SIGINT)
        if line.startswith("removing everything"):
            # Once more: what was created is removed first.
            running.send_signal(signal.SIGINT)

    assert running.wait(timeout=60) == 130, output
    assert "interrupted" in output
    assert "removing what was created; please wait" in output
    dry.assert_as_before()


def test_what_a_killed_run_left_is_removed_by_its_prefix(dry, tmp_path):
    running = dry.start(tmp_path)
    for line in running.stdout:
        if line.startswith("key-arn-authorised:"):
            break
    running.kill()
    running.wait()
    assert left(dry.aws) != dry.before

    another = dry.run(tmp_path, "--clean", "kee-verify-another")
    assert another.returncode == 0
    assert left(dry.aws) != dry.before
    ran = dry.run(tmp_path, "--clean", PREFIX)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"removed: stack {PREFIX}-stack" in ran.stdout
    assert "which KMS deletes after 7 days" in ran.stdout
    dry.assert_as_before()


def test_the_plan_must_leave_all_other_streams_alone(dry, tmp_path):
    # A program whose plan would change somebody's stream.
    wrong = tmp_path / "enforcer"
    wrong.write_text(f"""#!/bin/sh
"{dry._enforcer}" "$@" | sed 's/"status": "exempt"/"status": "would-encrypt"/'
""")
    wrong.chmod(0o755)

    ran = dry.run(tmp_path, "--enforcer", wrong)

    assert "stopped: the plan does not leave all other streams alone: kee-verify (would-encrypt)" in ran.stdout
    assert "deploying" not in ran.stdout
    assert ran.returncode == 1
    dry.assert_as_before()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--account", REAL], f"the credentials are those of account {ACCOUNT}, not of {REAL}"),
        (["--prefix", "orders"], "'orders' is not a prefix of this program"),
        (["--clean", "kee-verify-"], "'kee-verify-' is not a prefix of this program"),
        # What a shell makes of a variable that is not set must not become a run.
        (["--clean", ""], "'' is not a prefix of this program"),
        (["--prefix", ""], "'' is not a prefix of this program"),
        (["--only", "nothing"], "no such question: nothing"),
        (["--package", "missing.zip"], "missing.zip does not exist"),
    ],
)
def test_a_run_is_refused_before_anything_is_created(dry, tmp_path, arguments, error):
    ran = dry.run(tmp_path, *arguments)

    assert ran.returncode == 2
    assert error in ran.stderr
    dry.assert_as_before()


def test_an_emulator_that_the_environment_names_is_not_taken_for_aws(dry, tmp_path):
    command = dry.command(tmp_path)
    at = command.index("--endpoint-url")
    del command[at : at + 2]
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS"):
        environment = dry.environment() | {name: dry.aws.endpoint}

        ran = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
        )

        assert ran.returncode == 2
        assert f"the configured endpoint {dry.aws.endpoint} is not AWS: pass it as --endpoint-url" in ran.stderr
    dry.assert_as_before()


@pytest.mark.parametrize(
    ("left_out", "error"), [("--yes", "cannot prompt: pass --yes"), ("--account", "cannot prompt: pass --account")]
)
def test_without_a_terminal_account_and_consent_are_arguments(dry, tmp_path, left_out, error):
    command = dry.command(tmp_path)
    at = command.index(left_out)
    del command[at : at + (1 if left_out == "--yes" else 2)]

    ran = subprocess.run(
        command, env=dry.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60
    )

    assert ran.returncode == 2
    assert error in ran.stderr
    assert left_out == "--account" or "costs about $" in ran.stdout
    dry.assert_as_before()


def test_the_parameters_are_those_of_the_template_and_the_pattern_is_not_too_long():
    account = Account(boto3.Session(region_name=REGION), None, Evidence())
    names = Names("kee-verify-0123456789ab")
    heard = recorder.Recorder(account, names, ACCOUNT, "aws")
    keys = {name: f"arn:aws:kms:ap-southeast-2:{ACCOUNT}:key/{EXAMPLE_KEY}" for name in KEYS}
    made = Lab(account, ACCOUNT, "aws", names, Patience(), heard, print, keys=keys)
    template, _ = transform.plain()

    given = deployment.parameters(made, "bucket", "code", "arm64")

    for name, value in given.items():
        parameter = template["Parameters"][name]
        assert re.search(parameter.get("AllowedPattern", ""), value), name
        assert value in parameter.get("AllowedValues", [value]) or int(value) in parameter["AllowedValues"], name
        assert len(value) <= parameter.get("MaxLength", 4096), name
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
    assert len(json.dumps(heard.pattern(list(keys.values())))) <= 4096
    # CloudFormation accepts 1 MB from a bucket:
    # https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/cloudformation-limits.html
    restricted = deployment.restricted(template, made)
    assert len(json.dumps(restricted)) < 700_000
    assert {"Ref": deployment.RESTRICTION} in restricted["Resources"]["Role"]["Properties"]["ManagedPolicyArns"]


@pytest.fixture
def with_transitions(enforcer_binary, started):
    """The sandbox: its streams take time, and its refusals are those of AWS's references."""
    endpoint = started(aws_sandbox(enforcer_binary, creating=0.1, updating=0.1)).endpoint
    session = boto3.Session("AKIDSANDBOX", "secret", region_name=REGION)
    account, names = Account(session, endpoint, Evidence()), Names(PREFIX)
    patience = Patience(stream=30, history=10, data_key=0.1, records=7, watch=1, pause=0.05)
    made = Lab(account, ACCOUNT, "aws", names, patience, recorder.Recorder(account, names, ACCOUNT, "aws"), print)
    for key in KEYS:
        made.create_key(key)
    return made


def test_experiments_answer_what_an_account_with_transitions_does(with_transitions):
    def ask(experiment):
        asked = experiment()
        asked.prepare(with_transitions)
        finding = asked.observe(with_transitions)
        return finding.verdict.value, finding.answer

    # In this order: the second question about the quota is about the stream of the first.
    answers = {
        each.question.id: ask(each)
        for each in (
            encryption.AliasShown,
            encryption.SameKeyRestarts,
            encryption.StateWhileUpdating,
            encryption.RecordsAfterActive,
            encryption.BusyStream,
            encryption.RefusedKeys,
            encryption.SameKeyAgain,
            encryption.QuotaPerStream,
            deployed.TagLag,
            happenings.HistoryOfStart,
        )
    }

    verdicts, texts = (
        {name: verdict for name, (verdict, _) in answers.items()},
        {name: text for name, (_, text) in answers.items()},
    )
    assert set(verdicts.values()) == {"holds"}, answers
    assert texts["same-key-restarts"] == "It is accepted, and the stream is UPDATING directly afterwards."
    assert texts["state-while-updating"].startswith("While UPDATING, EncryptionType is NONE; ACTIVE after ")
    assert re.fullmatch(
        r"The last record without `KMS` was sent 4\.\d+ s after ACTIVE was seen\.", texts["records-after-active"]
    )
    assert texts["busy-stream"] == "UPDATING: ResourceInUseException; DELETING: ResourceInUseException."
    assert (
        texts["refused-keys"]
        == "missing: KMSNotFoundException; disabled: KMSDisabledException; deleted: KMSInvalidStateException."
    )
    assert texts["same-key-quota"] == "It counts: application 26 was refused with LimitExceededException."
    assert texts["quota-per-stream"] == "Another stream is accepted while the first one is refused."
    assert texts["history-of-start"] == "It shows the call of a caller of type IAMUser."


def test_a_removal_goes_on_after_a_failure_and_waits_for_streams_in_use(with_transitions):
    lab, said = with_transitions, []
    kinesis, kms = lab.kinesis, lab.kms
    for name in ("creating", "updating"):
        lab.create_stream(name)
    lab.start(lab.names.of("updating"), lab.keys["second"])
    lab.create_stream("new", wait=False)
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    kms.create_alias(AliasName=lab.names.alias("shown"), TargetKeyId=lab.keys["second"])
    kms.create_alias(AliasName="alias/orders", TargetKeyId=lab.keys["second"])
    theirs = [
        kms.create_key(Description=description)["KeyMetadata"]["Arn"]
        for description in ("", f"instead of {lab.names.of('second')}", f"{lab.names.of('second')}")
    ]

    # The sandbox knows no rules, stacks, roles and buckets, so these steps fail.
    removed = removal.Removal(lab.account, lab.names, said.append, pause=0.05).run()

    assert not removed
    failures = [line.split(":")[1].strip() for line in said if line.startswith("  not removed:")]
    assert failures == ["rule", "stack", "roles", "bucket"], said
    # The removal has used up what an account may list in a second, so this client retries.
    assert lab.account.client("kinesis").list_streams()["StreamNames"] == ["orders"]
    assert [alias["AliasName"] for alias in kms.list_aliases()["Aliases"]] == ["alias/orders"]
    described = [kms.describe_key(KeyId=key["KeyArn"])["KeyMetadata"] for key in kms.list_keys()["Keys"]]
    states = {key["Arn"]: key["KeyState"] for key in described}
    assert states == {key: "Enabled" for key in theirs} | {key: "PendingDeletion" for key in lab.keys.values()}


def test_experiments_read_what_events_say():
    denied = {
        "access-denied-producer": event("access-denied-of-stream"),
        "access-denied-consumer": event("access-denied"),
    }
    finding = happenings.DeniedKmsCall().answer(denied)
    assert finding.verdict.value == "holds"
    assert "with an encryption context" in finding.answer
    assert finding.observed["shown"]["access-denied-consumer"]["encryptionContext"] is None
    other = event("access-denied")
    other["detail"] |= {"userIdentity": {}, "sourceIPAddress": "192.0.2.1", "userAgent": "aws-cli"}
    assert happenings.DeniedKmsCall().answer({"access-denied-producer": other}).verdict.value == "does not hold"

    finding = happenings.DeniedStart().answer({"encryption-change-denied": event("encryption-stop-denied")})
    assert (finding.verdict.value, finding.answer) == (
        "holds",
        "`requestParameters` is null, `errorCode` is `AccessDenied`.",
    )
    finding = happenings.DeniedStart().answer({"encryption-change-denied": event("encryption-stopped")})
    assert finding.verdict.value == "does not hold"

    finding = happenings.KeyEvents().answer({"key-rotated": event("key-rotated")})
    assert finding.verdict.value == "holds" and "key-id" in finding.answer
    finding = happenings.StreamEvents().answer({"stream-created": event("stream-created")})
    assert finding.verdict.value == "holds"
    finding = happenings.StreamEvents().answer({"stream-created": event("stream-creation-failed")})
    assert finding.verdict.value == "does not hold"


def test_experiments_find_their_own_calls():
    created = event("stream-created")
    assert happenings.call("CreateStream", streamName="orders")(created)
    assert not happenings.call("CreateStream", streamName="clicks")(created)
    assert not happenings.call("DeleteStream")(created)
    assert happenings.call("CreateStream", failed=False)(created)
    assert not happenings.call("CreateStream", failed=True)(created)
    denied = event("access-denied")
    role = denied["detail"]["userIdentity"]["sessionContext"]["sessionIssuer"]["arn"].rsplit("/", 1)[1]
    assert happenings.call(denied["detail"]["eventName"], by=role, failed=True)(denied)
    assert not happenings.call(denied["detail"]["eventName"], by=f"not-{role}", failed=True)(denied)


def test_a_question_is_asked_with_the_one_that_it_depends_on():
    assert [each.question.id for each in cli.choose("quota-per-stream,alias-shown")] == [
        "alias-shown",
        "same-key-quota",
        "quota-per-stream",
    ]
    assert [each.question.id for each in cli.choose("history-by-key")] == ["denied-caller", "history-by-key"]
    assert cli.choose(None) == list(EXPERIMENTS)


@pytest.mark.parametrize(
    ("arn", "user", "named"),
    [
        (
            "arn:aws:iam::932847561029:user/ops/jane.doe",
            "AIDAABCDEFGHIJKLMNOP",
            ["ops", "jane.doe", "AIDAABCDEFGHIJKLMNOP"],
        ),
        (
            "arn:aws:sts::932847561029:assumed-role/Admin/jane.doe",
            "AROAABCDEFGHIJKLMNOP:jane.doe",
            ["Admin", "jane.doe", "AROAABCDEFGHIJKLMNOP", "jane.doe"],
        ),
        ("arn:aws:iam::932847561029:root", REAL, []),
    ],
)
def test_the_names_of_the_caller_are_not_written(arn, user, named):
    assert [name for name, _ in cli.personal({"Arn": arn, "UserId": user, "Account": REAL})] == named


def test_a_person_types_the_account_and_agrees(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    answers = iter([REAL, ACCOUNT, "", "n", "y"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(answers))

    cli.confirm_account(REAL, None)
    with pytest.raises(deployment.Refused, match=f"not of {ACCOUNT}"):
        cli.confirm_account(REAL, None)
    for _ in range(2):
        with pytest.raises(deployment.Refused, match="nothing was created"):
            cli.confirm(False)
    cli.confirm(False)


def test_verified_is_what_the_program_writes():
    written = (PROJECT / page.PATH).read_text(encoding="utf-8")
    assert written == page.page(results.load(PROJECT)), "write it again: make verify-aws VERIFY=--page"


def test_without_results_every_question_is_not_run():
    document = page.page({})

    assert page.NEVER in document
    for experiment in EXPERIMENTS:
        question = experiment.question
        assert f"{question.text} | not run | " in document
        assert question.assumes and question.either and question.matters
    for asked in NOT_RUN:
        assert f"{asked.question.text} | {asked.why} | " in document
    ids = [experiment.question.id for experiment in EXPERIMENTS] + [asked.question.id for asked in NOT_RUN]
    assert len(ids) == len(set(ids))


def test_what_others_did_is_not_kept(dry):
    evidence = Evidence(lambda record: f"{PREFIX}-" in record)
    session = boto3.Session(ACCOUNT, "test", region_name=REGION)
    cloudtrail = session.client("cloudtrail", endpoint_url=dry.aws.endpoint, verify=str(dry.aws.certificate))
    evidence.listen(cloudtrail, "you")
    dry.aws.client("kinesis").create_stream(StreamName=f"{PREFIX}-history", ShardCount=1)
    dry.aws.client("kinesis").delete_stream(StreamName=f"{PREFIX}-history")
    try:
        dry.aws.client("kinesis").create_stream(StreamName="clicks", ShardCount=1)

        with evidence.of("a question"):
            cloudtrail.lookup_events(LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "CreateStream"}])
        cloudtrail.lookup_events()
    finally:
        dry.aws.client("kinesis").delete_stream(StreamName="clicks")

    (call,) = evidence.calls("a question")
    assert call["response"]["eventsOfOthers"] >= 1
    assert [event["Resources"][0]["ResourceName"] for event in call["response"]["Events"]][0] == f"{PREFIX}-history"
    assert "clicks" not in str(call)


def test_scrubbing_keeps_what_differs_different():
    key, other = "0fedcba9-1111-2222-3333-444444444444", "0fedcba9-1111-2222-3333-555555555555"
    scrubber = Scrubber(REAL, [("jane.doe", "verifier")])

    shown = scrubber.value(
        {
            "arn": f"arn:aws:kms:us-east-1:{REAL}:key/{key}",
            "again": key.upper(),
            "other": other,
            "principal": "AROAABCDEFGHIJKLMNOP:jane.doe",
            "accessKeyId": "ASIAABCDEFGHIJKLMNOP",
            "sourceIPAddress": "203.0.113.77",
            "v6": "2a02:8071:1234:5678:1:2:3:4",
            "organization": "o-a1b2c3d4e5",
            "userAgent": "[Boto3/1.43.106 md/Botocore#1.43.106 ua/2.1 os/linux#6.1.0-laptop-of-jane]",
            "owner": "210987654321",
            "SequenceNumber": "49590338271490256608559692538361571095921575989136588898",
            "CloudTrailEvent": json.dumps(
                {"recipientAccountId": REAL, "requestID": other, "userAgent": "aws-cli/2 os/linux"}
            ),
            "ShardIterator": "AAAA",
            "at": "2026-11-27T00:00:00.123Z",
            "clientProvidedHostHeader": f"{REAL}.control-kinesis.us-east-1.amazonaws.com",
            "bucket": "logs-210987654321-x",
            "odd": f"arn:aws:kinesis:us-east-1:{PREFIX}-events:stream/null",
        }
    )

    text = json.dumps(shown)
    for secret in (
        REAL,
        key,
        other,
        "jane",
        "ABCDEFGHIJKLMNOP",
        "203.0.113.77",
        "2a02",
        "o-a1b2c3d4e5",
        "210987654321",
        "laptop",
        "AAAA",
        "os/linux",
    ):
        assert secret not in text.lower() if secret.islower() else secret not in text, secret
    assert shown["arn"] == "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-4000-8000-000000000001"
    assert shown["again"] == "00000000-0000-4000-8000-000000000001"
    assert shown["other"] == json.loads(shown["CloudTrailEvent"])["requestID"] == "00000000-0000-4000-8000-000000000002"
    assert shown["SequenceNumber"].startswith("4959033827149025660855969253836157109592")
    assert (shown["at"], shown["odd"]) == (
        "2026-11-27T00:00:00.123Z",
        f"arn:aws:kinesis:us-east-1:{PREFIX}-events:stream/null",
    )
    with pytest.raises(ValueError, match="identifies the account"):
        scrubber.check(f"account {REAL}")


def test_the_recorder_hears_of_no_stream_or_key_of_others(dry):
    names, key = Names(PREFIX), f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{EXAMPLE_KEY}"
    account = Account(boto3.Session(region_name=REGION), None, Evidence())
    pattern = json.dumps(recorder.Recorder(account, names, ACCOUNT, "aws").pattern([key]))
    events = dry.aws.client("events")

    def hears(name, old=None, new=None):
        text = json.dumps(event(name))
        return events.test_event_pattern(EventPattern=pattern, Event=text.replace(old, new) if old else text)["Result"]

    own = f"{PREFIX}-events"
    for name in (
        "stream-created",
        "encryption-changed",
        "encryption-stopped",
        "encryption-stopped-by-arn",
        "tags-added",
        "access-denied-of-stream",
    ):
        assert hears(name, "orders", own), name
        other = event(name)
        if EXAMPLE_KEY not in json.dumps(other):
            assert not hears(name), name
    for name in ("key-disabled", "key-rotated", "access-denied"):
        assert hears(name), name
        assert not hears(name, EXAMPLE_KEY, "9999abcd-12ab-34cd-56ef-1234567890ab"), name


@pytest.mark.parametrize(
    ("trails", "selectors", "heard"),
    [
        ([], {}, False),
        (["logging"], {"EventSelectors": [{"IncludeManagementEvents": True}]}, True),
        (["stopped"], {"EventSelectors": [{"IncludeManagementEvents": True}]}, False),
        (["logging"], {"EventSelectors": [{"IncludeManagementEvents": False}]}, False),
        (
            ["logging"],
            {
                "EventSelectors": [
                    {"IncludeManagementEvents": True, "ExcludeManagementEventSources": ["kms.amazonaws.com"]}
                ]
            },
            False,
        ),
        (
            ["logging"],
            {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Management"]}]}]},
            True,
        ),
        (
            ["logging"],
            {"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]}]},
            False,
        ),
    ],
)
def test_events_are_expected_only_with_a_trail(trails, selectors, heard):
    class CloudTrail:
        exceptions = type("exceptions", (), {"ClientError": RuntimeError})

        def describe_trails(self, includeShadowTrails):
            return {"trailList": [{"TrailARN": name} for name in trails]}

        def get_trail_status(self, Name):
            return {"IsLogging": Name == "logging"}

        def get_event_selectors(self, TrailName):
            return selectors

    class Aws:
        def client(self, service):
            return CloudTrail()

    assert (recorder.why_no_events(Aws()) is None) == heard
