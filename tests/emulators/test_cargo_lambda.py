"""The function under `cargo lambda watch` and `cargo lambda invoke`: the manual test of README."""

import pytest
from account import PROJECT


@pytest.mark.emulators("kinesis-local")
def test_manual_and_created_events_work_although_the_deadline_lies_in_1970(account, cargo_lambda):
    account.create_stream()

    manual = cargo_lambda.invoke_file(PROJECT / "events" / "manual-stream.json")

    assert manual["trigger"]["kind"] == "manual"
    assert manual["summary"] == {"encrypted": 1}
    assert account.state() == ("ACTIVE", account.key)

    created = cargo_lambda.invoke_file(PROJECT / "events" / "stream-created.json")

    assert created["trigger"]["kind"] == "stream-created"
    assert created["summary"] == {"compliant": 1}
