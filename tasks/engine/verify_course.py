"""How far a verification is: kept with what it found, so that a later run can go on with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Connection

from tasks.ledger import facts
from tasks.ledger.clock import now
from tasks.ledger.deviations import COURSE

RESUMED_SECONDS = 86_400.0
"""How long a complete verification that was stopped is gone on with; after that it begins anew."""


@dataclass(slots=True)
class Course:
    """How far a verification is.

    Attributes:
        number: of the walk of the run that began it: its name in the ledger.
        stages: what is still to be done, the first being done now.
        cursor: where the first stage goes on.
        read: contacts of the location that the search index showed.
        total: contacts that it has.
        done: contacts that the stage is through with.
        asked: contacts and activities that looked wrong and were asked for by id.
        unsure: those of the location that were not, as there were too many of them.
        kept: contacts in which somebody else's value stands by rule.
        sampled: contacts of a sample that were looked at.
        deviating: those of them that deviate, or whose activities do.
        unseen: mapped fields that the search does not show.
    """

    number: int
    entities: tuple[str, ...]
    stages: tuple[str, ...]
    cursor: Any = None
    read: int = 0
    total: int = 0
    done: int = 0
    asked: int = 0
    unsure: int = 0
    kept: int = 0
    sampled: int = 0
    deviating: int = 0
    unseen: list[str] = field(default_factory=list)

    def save(self, connection: Connection, account: str) -> None:
        """Keep it."""
        facts.put(connection, account, COURSE, asdict(self))


def kept(connection: Connection, account: str) -> tuple[Course | None, bool]:
    """The course that was kept last, and whether something of it is left that is worth going on with."""
    known = facts.get(connection, account, COURSE)
    if known is None:
        return None, False
    value, at = known
    named = {name: tuple(value[name]) for name in ("entities", "stages")}
    course = Course(**{**value, **named})
    return course, bool(course.stages) and now(connection) - at < RESUMED_SECONDS
