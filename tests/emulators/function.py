"""The function, as the two local Lambda hosts run it: the same `bootstrap` that is deployed."""

import json
import os
import subprocess
import urllib.request

from account import ACCOUNT, ALIAS, PROJECT, REGION, TOOLS
from process import Process, free_port


class FunctionError(Exception):
    """The invocation failed, as Lambda tells it."""

    def __init__(self, error):
        super().__init__(f"{error['errorType']}: {error['errorMessage']}")
        self.type = error["errorType"]
        self.message = error["errorMessage"]


def settings(account, **changes):
    """The function's environment; a variable that is changed to None is left out."""
    environment = account.credentials | account.endpoints | {
        "AWS_REGION": REGION,
        "AWS_LAMBDA_LOG_FORMAT": "JSON",
        "AWS_LAMBDA_LOG_LEVEL": "DEBUG",
        "KMS_KEY_ID": ALIAS,
        "FAILURE_QUEUE_URL": account.queue,
        "ENFORCEMENT_MODE": "enforce",
        "OWN_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/enforcer",
        # Every stream here is young, and nobody waits a minute for each.
        "IAC_GRACE_SECONDS": "0",
    } | changes
    return {name: value for name, value in environment.items() if value is not None}


def build(program):
    """Builds `bootstrap`, the function, or `enforcer`, the terminal program: the path of it. BOOTSTRAP or ENFORCER names one that is built already,
    to be tried itself."""
    if given := os.environ.get(program.upper()):
        return given
    command = ["cargo", "build", "--locked", "--bin", program, "--message-format", "json-render-diagnostics"]
    built = subprocess.run(command, cwd=PROJECT, stdout=subprocess.PIPE, check=True, text=True).stdout
    return next(path for message in map(json.loads, built.splitlines()) if (path := message.get("executable")))


class RuntimeEmulator:
    """The function under AWS's runtime interface emulator, with a true deadline."""

    def __init__(self, bootstrap, environment, *, timeout):
        port = free_port()
        command = [TOOLS / "aws-lambda-rie", "--runtime-interface-emulator-address", f"127.0.0.1:{port}",
                   "--runtime-api-address", f"127.0.0.1:{free_port()}", bootstrap]
        environment = environment | {"AWS_LAMBDA_FUNCTION_TIMEOUT": str(timeout), "AWS_LAMBDA_FUNCTION_NAME": "enforcer"}
        self.process = Process("the function under aws-lambda-rie", command, port=port, environment=environment)
        self._url = f"http://127.0.0.1:{port}/2015-03-31/functions/function/invocations"

    def invoke(self, payload):
        """The answer; a failed invocation raises."""
        request = urllib.request.Request(self._url, json.dumps(payload).encode())
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
            answer = json.load(response)
        # docs/contributing/EMULATORS.md: `errors-with-200`.
        if "errorType" in answer:
            raise FunctionError(answer)
        return answer


class CargoLambda:
    """The function under `cargo lambda watch`."""

    # docs/contributing/EMULATORS.md: `deadline-of-1970`.

    def __init__(self, environment):
        self._port = free_port()
        self._environment = os.environ | {"PATH": f"{TOOLS / 'python' / 'bin'}:{os.environ['PATH']}"}
        command = ["cargo", "lambda", "watch", "--ignore-changes", "--bin", "bootstrap", *self._address()]
        environment = environment | {"PATH": self._environment["PATH"]}
        self.process = Process("the function under cargo lambda watch", command, port=self._port, environment=environment, directory=PROJECT)

    def invoke_file(self, path):
        """The answer to the payload in a file, by `cargo lambda invoke`."""
        command = ["cargo", "lambda", "invoke", *self._address(), "bootstrap", "--data-file", path]
        invoked = subprocess.run(command, cwd=PROJECT, env=self._environment, capture_output=True, text=True, timeout=300)
        assert invoked.returncode == 0, f"{invoked.stdout}{invoked.stderr}"
        return json.loads(invoked.stdout)

    def _address(self):
        return ["--invoke-address", "127.0.0.1", "--invoke-port", str(self._port)]
