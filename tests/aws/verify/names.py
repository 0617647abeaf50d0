"""The prefix of a run, and the names of everything that it creates. Removal finds resources by these names."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

# KMS keys have no name, so they have this tag; its value is the prefix.
TAG = "kinesis-encryption-enforcer:verification"
PATTERN = re.compile(r"kee-verify-[a-z0-9]{4,12}")


@dataclass(frozen=True)
class Names:
    """Every name begins with the prefix and a hyphen, so that no prefix is the beginning of another one's names."""

    prefix: str

    def __post_init__(self) -> None:
        if not PATTERN.fullmatch(self.prefix):
            raise ValueError(f"{self.prefix!r} is not a prefix of this program: {PATTERN.pattern}")

    @classmethod
    def random(cls) -> Names:
        return cls(f"kee-verify-{secrets.token_hex(4)}")

    def of(self, suffix: str) -> str:
        return f"{self.prefix}-{suffix}"

    def owns(self, name: str) -> bool:
        return name.startswith(f"{self.prefix}-")

    @property
    def managed(self) -> str:
        """The pattern of the streams that the deployed function may encrypt; the experiments' streams
        are not among them."""
        return self.of("managed-*")

    def description(self, suffix: str) -> str:
        """That of a key, which has no name."""
        return f"kinesis-encryption-enforcer, make verify-aws: {self.of(suffix)}"

    def describes(self, description: str) -> bool:
        """Whether a key's description is one of the run's own; others may mention it."""
        return description.startswith(self.description(""))

    def alias(self, suffix: str) -> str:
        return f"alias/{self.of(suffix)}"
