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


@pytest.fixture
def enforcer_program(account):
    """Runs the terminal program with these arguments in the account: what it prints."""
    program = hosts.build("enforcer")

    def run(*arguments):
        ran = subprocess.run([program, *arguments], env=hosts.settings(account, WORK_QUEUE_URL=account.work), capture_output=True, text=True, timeout=120)
        assert ran.returncode == 0, f"{ran.stdout}{ran.stderr}"
        return ran.stdout

    return run


@pytest.fixture
def account(request, moto, started):
    """An account with a key, its alias and a dead-letter queue. `@pytest.mark.kinesis(creating=…, updating=…)` sets how long streams take, in seconds;
    `by="moto"` takes moto's Kinesis instead, where a stream is ACTIVE at once."""
    urllib.request.urlopen(urllib.request.Request(f"{moto.endpoint}/moto-api/reset", method="POST"), timeout=10).close()
    marker = request.node.get_closest_marker("kinesis")
    options = {"creating": 0.3, "updating": 0.3} | (marker.kwargs if marker else {})
    if options.pop("by", None) == "moto":
        return aws.Account(moto, moto)
    durations = options
    return aws.Account(started(aws.kinesis_local(**durations)), moto)


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
