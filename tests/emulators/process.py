"""Programs that a test starts and that end with it."""

import os
import signal
import socket
import subprocess
import tempfile
import time


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A running program with its children, and everything it printed."""

    def __init__(self, name, command, *, port, environment=None, directory=None, patience=30):
        """Starts `command` and returns when it listens on `port`. `environment` is added to a small one: nothing of the person's is inherited."""
        self.name = name
        self._output = tempfile.TemporaryFile("w+", errors="replace")
        self._process = subprocess.Popen(
            [str(part) for part in command],
            cwd=directory,
            env=_inherited() | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            self._wait_until_it_listens(port, patience)
        except BaseException:
            self.stop()
            raise

    def _wait_until_it_listens(self, port, patience):
        give_up = time.monotonic() + patience
        while True:
            if (code := self._process.poll()) is not None:
                raise AssertionError(f"{self.name} ended with {code}:\n{self.log()}")
            with socket.socket() as probe:
                probe.settimeout(1)
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            if time.monotonic() > give_up:
                raise AssertionError(f"{self.name} does not listen on port {port} after {patience} s:\n{self.log()}")
            time.sleep(0.05)

    def log(self):
        """What it has printed so far."""
        self._output.flush()
        with open(f"/proc/self/fd/{self._output.fileno()}", errors="replace") as output:
            return output.read()

    def stop(self):
        """Ends it and everything it started. None of these programs has anything to save, and some take their time when asked politely."""
        for pid in self._session():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait(timeout=5)

    def _session(self):
        """The processes of its session: both Lambda hosts give the function a process group of its own."""
        for entry in os.listdir("/proc"):
            try:
                if entry.isdecimal() and os.getsid(int(entry)) == self._process.pid:
                    yield int(entry)
            except ProcessLookupError:
                pass


def _inherited():
    """What programs need of the environment. AWS settings of whoever runs the tests are not among it."""
    wanted = ("PATH", "HOME", "LANG", "TMPDIR", "CARGO_HOME", "CARGO_TARGET_DIR", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "RUSTFLAGS")
    return {name: os.environ[name] for name in wanted if name in os.environ}
