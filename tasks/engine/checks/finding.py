"""What a check finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from tasks.redaction import redact_text

Result = Literal["ok", "warning", "wrong"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one check says; ``remedy`` is what to do, where anything is to be done."""

    result: Result
    says: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, by whom and about what; without secrets and personal data.

    Attributes:
        account: whose; None where it is about all of them.
        check: its name.
    """

    account: str | None
    check: str
    result: Result
    says: str
    remedy: str | None

    @classmethod
    def of(cls, account: str | None, check: str, verdict: Verdict) -> Finding:
        """A verdict with its names, redacted."""
        says, remedy = redact_text(verdict.says), verdict.remedy and redact_text(verdict.remedy)
        return cls(account, check, verdict.result, says, remedy)

    def as_json(self) -> dict[str, Any]:
        """What ``voipsync doctor --json`` shows."""
        return asdict(self)


class NotKnown(Exception):  # noqa: N818 - control flow between a check and who runs it
    """A check needs what another one could not get; that one says why."""

    def __init__(self, other: str) -> None:
        super().__init__(other)
        self.other = other


def listed(names: object) -> str:
    """Names for people; "none" where there are none."""
    return ", ".join(names) if isinstance(names, list | tuple) and names else "none"
