"""What can go wrong, grouped by what the caller must do.

::

    VoipsyncError                 one clear line, safe to show: no secret, no personal data
    ├── ConfigurationError        the user mends the configuration; nothing was started      exit 2
    ├── Fatal                     this run cannot do its work; what it did is recorded       exit 1
    │   ├── Unauthorized          a credential was refused
    │   ├── ServiceUnavailable    a service gave no useful answer for too long
    │   ├── QuotaSpent            the day's request budget is used up
    │   ├── Busy                  another run holds the account
    │   └── LedgerUnavailable     the state database cannot be written
    ├── RejectedRecord            this one record was refused; keep it, go on with the others
    │   ├── NotFound              the thing addressed does not exist (any more)
    │   └── DuplicateContact      another contact of the location holds this e-mail or phone
    ├── OutcomeUnknown            a write may have happened: ask the destination before anything else
    └── NotPlanned                a plan does not foresee this write: leave the record as it is
"""

from __future__ import annotations

from enum import StrEnum


class Effect(StrEnum):
    """Whether a failed write took effect at the service."""

    NONE = "certainly not"
    DONE = "certainly"
    UNKNOWN = "perhaps"


class VoipsyncError(Exception):
    """Base of all our errors; its text is one line that may be shown to anyone."""

    exit_code = 1


class ConfigurationError(VoipsyncError):
    """A setting or argument is wrong; the text names it and what is allowed."""

    exit_code = 2


class Fatal(VoipsyncError):  # noqa: N818 - named by what the caller must do
    """The run cannot do its work."""


class Unauthorized(Fatal):
    """A service refused the credential; the text says which, and what to check."""


class ServiceUnavailable(Fatal):
    """A service gave no useful answer within the time a run waits for one."""


class QuotaSpent(Fatal):
    """The day's request budget (less its reserve) is used up; the next day's run goes on."""


class Busy(Fatal):
    """Another run holds the account's lease."""


class LedgerUnavailable(Fatal):
    """The state database cannot be read or written; what was sent is settled by the next run."""


class ApiError(VoipsyncError):
    """A service answered with an error.

    Attributes:
        status: HTTP status, or 0 where none arrived.
        reason: short code for reports, such as ``http_422``.
        effect: whether the write, if it was one, took effect.
    """

    effect = Effect.NONE

    def __init__(self, message: str, *, status: int = 0, reason: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason or f"http_{status}"


class RejectedRecord(ApiError):  # noqa: N818
    """The service refused this record; it certainly did not take effect."""


class NotFound(RejectedRecord):
    """The addressed record does not exist (HighLevel says 400 for a contact, 404 elsewhere)."""


class DuplicateContact(RejectedRecord):
    """HTTP 400 with ``meta``: the location forbids duplicates and another contact holds the key.

    Attributes:
        contact_id: the contact that holds it.
        field: ``email`` or ``phone`` (others are possible: the API documents no list).
    """

    def __init__(self, message: str, *, status: int, contact_id: str, field: str) -> None:
        super().__init__(message, status=status, reason=f"duplicate_{field}")
        self.contact_id = contact_id
        self.field = field


class OutcomeUnknown(ApiError):  # noqa: N818
    """A write left the process and its answer never came, or does not say what came of it.

    Attributes:
        effect: `Effect.DONE` where the service said that it succeeded and only the id is not known.
    """

    effect = Effect.UNKNOWN

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", effect: Effect = Effect.UNKNOWN
    ) -> None:
        super().__init__(message, status=status, reason=reason)
        self.effect = effect


class NotPlanned(VoipsyncError):  # noqa: N818
    """The plan that is carried out does not foresee this: nothing was sent, the record stays as it was."""
