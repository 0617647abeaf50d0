"""The account that a run works in, as one principal sees it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config

from verify.evidence import Evidence

# Longer than the function's timeout of five minutes, for as long as an invocation may take.
_LONGEST = 320
# Only throttled calls, and calls that no server answered, are sent again:
# https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html
_CONFIG = Config(retries={"mode": "standard", "total_max_attempts": 5}, connect_timeout=10, read_timeout=_LONGEST)
# Of calls whose refusals are the evidence, every single response is recorded.
_ONCE = Config(retries={"mode": "standard", "total_max_attempts": 1}, connect_timeout=10, read_timeout=_LONGEST)


@dataclass
class Account:
    """Clients of one principal, in one account and Region, of AWS or of the emulator at `endpoint`."""

    session: boto3.Session
    endpoint: str | None
    evidence: Evidence
    actor: str = "you"
    _clients: dict[tuple[str, bool], Any] = field(default_factory=dict, repr=False)

    def client(self, service: str, *, once: bool = False) -> Any:
        if (service, once) not in self._clients:
            client = self.session.client(service, endpoint_url=self.endpoint, config=_ONCE if once else _CONFIG)
            self.evidence.listen(client, self.actor)
            self._clients[service, once] = client
        return self._clients[service, once]

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    def identity(self) -> dict[str, str]:
        """https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html"""
        return dict(self.client("sts").get_caller_identity())

    def assume(self, role_arn: str, name: str) -> Account:
        """The same account as a role sees it.
        https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html"""
        given = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="verification", DurationSeconds=3600)[
            "Credentials"
        ]
        session = boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], self.region)
        return Account(session, self.endpoint, self.evidence, actor=name)

    def environment(self) -> dict[str, str]:
        """The credentials for a program that this one starts."""
        credentials = self.session.get_credentials().get_frozen_credentials()
        given = {
            "AWS_ACCESS_KEY_ID": credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_key,
            "AWS_SESSION_TOKEN": credentials.token,
            "AWS_REGION": self.region,
            "AWS_ENDPOINT_URL": self.endpoint,
        }
        return {name: value for name, value in given.items() if value}


def pages(client: Any, operation: str, key: str, **arguments: Any) -> list[Any]:
    """All items of a paginated call."""
    return [item for page in client.get_paginator(operation).paginate(**arguments) for item in page.get(key, [])]
