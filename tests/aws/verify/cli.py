"""The command."""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from verify import deployment, page, reading, recorder, results, safety
from verify.account import Account
from verify.announcement import announcement
from verify.deployment import Package, Refused
from verify.evidence import Evidence
from verify.experiments import EXPERIMENTS, Experiment
from verify.lab import PATIENCE_WITH_EMULATOR, Lab, Patience, TimedOut
from verify.names import Names
from verify.question import Finding, Question, Verdict
from verify.recorder import Recorder
from verify.removal import Removal
from verify.scrub import Scrubber

ROOT = pathlib.Path(__file__).resolve().parents[3]
OK, INCOMPLETE, USAGE, INTERRUPTED = 0, 1, 2, 130
# Keys of a run: the one that the function applies, one for the experiments' streams, one to disable
# and delete, one to rotate. Nothing changes the first one: the function would look at every stream.
KEYS = ("applied", "second", "spare", "rotated")

DESCRIPTION = """\
Ask AWS the open questions of docs/VERIFIED.md, by experiments with streams and keys of their own.
The command says what it creates and what that costs, asks, deploys the stack, runs the
experiments, and removes everything."""
EPILOG = """\
exit codes:
  0    everything was asked and removed, and every assumption holds
  1    a question is undecided, an assumption does not hold, or something could not be removed
  2    the usage is wrong, or the run was refused
  130  interrupted; what had been created is removed
"""


def say(text: str) -> None:
    print(text, flush=True)


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "verify", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--region", help="the Region; without it, that of the profile or the environment")
    parser.add_argument("--profile", help="the AWS profile")
    parser.add_argument(
        "--account", metavar="ID", help="confirm the account by its ID; without it, the command asks for the ID"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask before creating anything")
    parser.add_argument(
        "--prefix",
        help="the beginning of all names: kee-verify- and 4 to 12 lowercase letters and digits; random without it",
    )
    parser.add_argument("--clean", metavar="PREFIX", help="only remove what an earlier run with this prefix left")
    parser.add_argument(
        "--only", metavar="IDS", help="ask only these questions of docs/VERIFIED.md, separated by commas"
    )
    parser.add_argument(
        "--package",
        type=pathlib.Path,
        default=ROOT / "target/lambda/bootstrap/bootstrap.zip",
        help="the function's zip",
    )
    parser.add_argument(
        "--architecture", choices=("arm64", "x86_64"), default="arm64", help="the architecture of the zip"
    )
    parser.add_argument(
        "--template",
        type=pathlib.Path,
        default=ROOT / "target/deploy/template.cfn.json",
        help="what `make stackset-template` writes",
    )
    parser.add_argument(
        "--enforcer",
        type=pathlib.Path,
        default=ROOT / "target/debug/enforcer",
        help="the terminal program, for the plan before",
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        help="the folder for docs/VERIFIED.md and tests/aws/recorded; without it, the project's",
    )
    parser.add_argument("--endpoint-url", help="an emulator: a dry run, of which nothing is written into the project")
    parser.add_argument(
        "--page", action="store_true", help="only write docs/VERIFIED.md again, from the recorded results"
    )
    return parser.parse_args(given)


@dataclass
class Run:
    """One run, from the plan to the results."""

    lab: Lab
    package: Package
    enforcer: pathlib.Path
    chosen: list[type[Experiment]]
    store: results.Store
    emulated: bool

    def run(self) -> bool:
        """Whether every question is answered and every assumption holds."""
        lab = self.lab
        say("creating keys, and a rule with a queue that records events")
        for suffix in KEYS:
            lab.create_key(suffix)
        lab.recorder.start(list(lab.keys.values()))
        own = lab.create_stream("managed-planned")
        say("planning: the settings must change no other stream")
        before = safety.check(lab, self.enforcer, own)
        say(f"  the plan encrypts {own} and leaves {len(before)} other streams alone")
        say("deploying the stack: minutes")
        deployment.deploy(lab, self.package)
        answered = self._experiments()
        changed = safety.changed(before, safety.others_of(lab, safety.plan(lab, self.enforcer)))
        if changed:
            names = ", ".join(changed)
            say(f"WARNING: the encryption of these streams changed meanwhile; see CloudTrail for who did it: {names}")
        return answered and not changed

    def _experiments(self) -> bool:
        experiments = [chosen() for chosen in self.chosen]
        failed: dict[str, Finding] = {}
        for experiment in experiments:
            if not self._skipped(experiment):
                self._guarded(experiment.question, partial(experiment.prepare, self.lab), failed)
        good = True
        for experiment in experiments:
            question = experiment.question
            say(f"{question.id}: {question.text}")
            finding = self._skipped(experiment) or failed.get(question.id)
            if finding is None:
                finding = self._guarded(question, partial(experiment.observe, self.lab), failed) or failed[question.id]
            if self.emulated and not experiment.emulators_show:
                finding.verdict = Verdict.NOT_SHOWN
                finding.answer = f"Not shown by the emulator, which answers: {finding.answer}"
            self.store.keep(question, finding, self.lab.account.evidence.calls(question.id))
            self._read(question)
            shown = (
                finding.answer if finding.verdict is Verdict.NOT_SHOWN else f"{finding.verdict.value}: {finding.answer}"
            )
            say(f"  {shown}")
            good = good and finding.verdict in (Verdict.HOLDS, Verdict.NOT_SHOWN)
        return good

    def _skipped(self, experiment: Experiment) -> Finding | None:
        if experiment.by_events and self.lab.no_events and not self.emulated:
            return Finding(Verdict.NOT_RUN, f"Not run: {self.lab.no_events}.")
        return None

    def _guarded(
        self, question: Question, step: Callable[[], Finding | None], failed: dict[str, Finding]
    ) -> Finding | None:
        """A step of an experiment, whose failure is that of its question alone."""
        try:
            with self.lab.account.evidence.of(question.id):
                return step()
        except (ClientError, BotoCoreError, TimedOut, LookupError, AttributeError) as error:
            answer = f"The experiment failed: {type(error).__name__}: {error}."
            failed[question.id] = Finding(Verdict.UNDECIDED, answer)
            return None

    def _read(self, question: Question) -> None:
        """Shows whether the program understands the recorded events."""
        for path in self.store.results[question.id].events.values():
            kind = reading.understood(self.enforcer, self.store.root / path)
            say(f"  recorded {path}: the program reads it as {kind}")


def main(given: list[str] | None = None) -> int:
    options = arguments(given)
    try:
        return command(options)
    except (Refused, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return USAGE
    except (ClientError, BotoCoreError) as error:
        print(f"error: AWS cannot be used: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


def command(options: argparse.Namespace) -> int:
    emulated = options.endpoint_url is not None
    output = options.output or (ROOT / "target/verify-aws" if emulated else ROOT)
    if options.page:
        write_page(output, emulated)
        return OK
    # An empty text is no prefix either: a variable that is not set must not turn a removal into a run.
    prefix = options.clean if options.clean is not None else options.prefix
    names = Names.random() if prefix is None else Names(prefix)
    session = boto3.Session(profile_name=options.profile, region_name=options.region)
    if session.region_name is None:
        raise Refused("no Region: pass --region")
    if not emulated:
        check_endpoints(session)
    account = Account(session, options.endpoint_url, Evidence(lambda record: f"{names.prefix}-" in record))
    identity = account.identity()
    confirm_account(identity["Account"], options.account)
    patience = PATIENCE_WITH_EMULATOR if emulated else Patience()
    removal = Removal(account, names, say, patience.pause)
    if options.clean is not None:
        return OK if removal.run() else INCOMPLETE

    package = Package(options.package, options.architecture, options.template)
    package.check()
    if not options.enforcer.is_file():
        raise Refused(
            f"{options.enforcer} does not exist: build it with `cargo build --locked --bin enforcer`, or name "
            f"another file (--enforcer)"
        )
    chosen = choose(options.only)
    say(announcement(names, identity["Account"], account.region))
    confirm(options.yes)

    partition = identity["Arn"].split(":")[1]
    lab = Lab(
        account,
        identity["Account"],
        partition,
        names,
        patience,
        Recorder(account, names, identity["Account"], partition),
        say,
        no_events=recorder.why_no_events(account),
    )
    if lab.no_events and not emulated:
        say(f"questions about events are not asked: {lab.no_events}")
    store = results.Store(output, account.region, Scrubber(identity["Account"], personal(identity)))
    code = run_and_remove(Run(lab, package, options.enforcer, chosen, store, emulated), removal)
    write_page(output, emulated)
    return code


def run_and_remove(run: Run, removal: Removal) -> int:
    """Removes what the run created, however it ends: the exit code."""
    code, removed, interrupts = INCOMPLETE, False, Interrupts()
    try:
        try:
            code = OK if run.run() else INCOMPLETE
        except (Refused, ClientError, BotoCoreError, TimedOut) as error:
            say(f"stopped: {error}")
        interrupts.hold()
    except KeyboardInterrupt:
        say("interrupted")
        code = INTERRUPTED
    finally:
        interrupts.hold()
        removed = removal.run()
        if not removed:
            say(f"try again to remove the rest with: --clean {run.lab.names.prefix}")
    return code if removed or code == INTERRUPTED else INCOMPLETE


def choose(only: str | None) -> list[type[Experiment]]:
    if only is None:
        return list(EXPERIMENTS)
    wanted = set(only.split(","))
    known = {experiment.question.id for experiment in EXPERIMENTS}
    if wanted - known:
        raise Refused(
            f"no such question: {', '.join(sorted(wanted - known))}; the questions are {', '.join(sorted(known))}"
        )
    wanted |= {experiment.after for experiment in EXPERIMENTS if experiment.question.id in wanted and experiment.after}
    return [experiment for experiment in EXPERIMENTS if experiment.question.id in wanted]


# The services that a run calls.
SERVICES = (
    "cloudformation",
    "cloudtrail",
    "events",
    "iam",
    "kinesis",
    "kms",
    "lambda",
    "resourcegroupstaggingapi",
    "s3",
    "sqs",
    "sts",
)


def check_endpoints(session: boto3.Session) -> None:
    """What an emulator that the environment or the profile names answers is not to be written down as AWS's.

    https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
    """
    for service in SERVICES:
        used = session.client(service).meta.endpoint_url
        if used != session.client(service, config=Config(ignore_configured_endpoint_urls=True)).meta.endpoint_url:
            raise Refused(f"the configured endpoint {used} is not AWS: pass it as --endpoint-url, or unset it")


def confirm_account(number: str, confirmed: str | None) -> None:
    """The account that the credentials belong to must be the one that the person means."""
    if confirmed is None:
        if not sys.stdin.isatty():
            raise Refused("not a terminal, cannot prompt: pass --account with the account's ID")
        confirmed = input(f"The credentials are those of account {number}. Type its ID to confirm: ").strip()
    if confirmed != number:
        raise Refused(f"the credentials are those of account {number}, not of {confirmed}")


def confirm(yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("not a terminal, cannot prompt: pass --yes")
    if input("Create it? [y/N] ").strip().lower() not in ("y", "yes"):
        raise Refused("nothing was created")


def personal(identity: dict[str, str]) -> list[tuple[str, str]]:
    """What names the caller: the user or role, and the session."""
    _, _, resource = identity["Arn"].rpartition(":")
    # The root user has no name, and its id is the account's.
    return [
        (name, "verifier")
        for name in [*resource.split("/")[1:], *identity["UserId"].split(":")]
        if name != identity["Account"]
    ]


class Interrupts:
    """Turns the first Ctrl-C, or SIGTERM, into a KeyboardInterrupt, and no further one: what was
    created is removed first."""

    def __init__(self) -> None:
        self._held = False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._handle)

    def hold(self) -> None:
        """From here on, none is an interrupt."""
        self._held = True

    def _handle(self, *_: object) -> None:
        if self._held:
            # Not `print`, which the signal may have interrupted.
            os.write(sys.stderr.fileno(), b"removing what was created; please wait\n")
            return
        self._held = True
        raise KeyboardInterrupt


def write_page(output: pathlib.Path, emulated: bool) -> None:
    path = output / page.PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page.page(results.load(output), emulated=emulated), encoding="utf-8")
    say(f"wrote {path}")
