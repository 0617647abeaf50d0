"""Fixtures: an AWS account of emulators for each test, and the function in it."""

import subprocess

import account as aws
import function as hosts
import pytest
import stack
import urllib.request

_PROCESSES = pytest.StashKey()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Shows with a failed test what its programs printed last."""
    report = yield
    if report.failed:
        for process in item.stash.get(_PROCESSES, []):
            report.sections.append((f"{process.name}, last lines", "\n".join(process.log().splitlines()[-60:])))
    return report


def pytest_generate_tests(metafunc):
    """A test in an account is run with every emulator, or with those that `@pytest.mark.emulators` names. Where one differs from AWS so that the
    test cannot pass, `@pytest.mark.differs` says by which row of docs/contributing/EMULATORS.md; it must fail there for as long as it says so."""
    if "emulator" not in metafunc.fixturenames:
        return
    chosen = metafunc.definition.get_closest_marker("emulators")
    differing = {name: marker.args[1] for marker in metafunc.definition.iter_markers("differs") for name in marker.args[0].split()}
    metafunc.parametrize("emulator", [
        pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=differing[name]) if name in differing else ())
        for name in (chosen.args if chosen else aws.EMULATORS)
    ])


@pytest.fixture
def started(request):
    """Takes a started process, and ends it with the test."""
    processes = request.node.stash.setdefault(_PROCESSES, [])

    def keep(process):
        processes.append(process)
        return process

    yield keep
    for process in reversed(processes):
        process.stop()


@pytest.fixture(scope="session")
def moto():
    process = aws.moto()
    yield process
    process.stop()


@pytest.fixture(scope="session")
def open_ministack(tmp_path_factory):
    """ministack as it comes: without authorisation."""
    process = aws.ministack(tmp_path_factory.mktemp("open-ministack"))
    yield process
    process.stop()


@pytest.fixture(scope="session")
def ministack(bootstrap, tmp_path_factory):
    """ministack with authorisation on, and the function's code where templates take it from."""
    emulator = stack.Ministack(tmp_path_factory.mktemp("ministack"))
    try:
        emulator.upload(bootstrap)
        yield emulator
    finally:
        emulator.process.stop()


@pytest.fixture(scope="session")
def bootstrap():
    return hosts.build("bootstrap")


@pytest.fixture(scope="session")
def enforcer_binary():
    return hosts.build("enforcer")


@pytest.fixture
def enforcer_program(account, enforcer_binary):
    """Runs the terminal program with these arguments in the account: what it prints."""

    def run(*arguments):
        ran = subprocess.run([enforcer_binary, *arguments], env=hosts.settings(account, WORK_QUEUE_URL=account.work), capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
        return ran.stdout

    return run


@pytest.fixture
def account(emulator, request, started):
    """An account with a key, its alias and a dead-letter queue. `@pytest.mark.kinesis(creating=…, updating=…)` sets how long streams take, in seconds,
    with an emulator whose streams take any time."""
    marker = request.node.get_closest_marker("kinesis")
    durations = {"creating": 0.3, "updating": 0.3} | (marker.kwargs if marker else {})
    match emulator:
        case "sandbox":
            return aws.Account(started(aws.sandbox(request.getfixturevalue("enforcer_binary"), **durations)))
        case "kinesis-local":
            moto = _emptied(request.getfixturevalue("moto"), "/moto-api/reset")
            # docs/contributing/EMULATORS.md: `no-event-history`.
            return aws.Account(moto, kinesis=started(aws.kinesis_local(**durations)), history=request.getfixturevalue("open_ministack"))
        case "moto":
            moto = _emptied(request.getfixturevalue("moto"), "/moto-api/reset")
            return aws.Account(moto, history=request.getfixturevalue("open_ministack"))
        case "moto-of-several-accounts":
            several = started(aws.moto(several=True))
            credentials = aws.session(several.endpoint, aws.ACCOUNT, "enforcer")
            return aws.Account(several, history=request.getfixturevalue("open_ministack"), credentials=credentials)
        case "ministack":
            return aws.Account(_emptied(request.getfixturevalue("open_ministack"), "/_ministack/reset"))


def _emptied(process, path):
    urllib.request.urlopen(urllib.request.Request(f"{process.endpoint}{path}", method="POST"), timeout=10).close()
    return process


@pytest.fixture
def function(account, bootstrap, started):
    """Starts the function under the runtime interface emulator, with these changes to its environment."""

    def start(*, timeout=30, **changes):
        emulator = hosts.RuntimeEmulator(bootstrap, hosts.settings(account, **changes), timeout=timeout)
        started(emulator.process)
        return emulator

    return start


@pytest.fixture
def cargo_lambda(account, bootstrap, started):
    """The function under `cargo lambda watch`."""
    watch = hosts.CargoLambda(hosts.settings(account))
    started(watch.process)
    return watch
