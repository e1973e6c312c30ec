"""The model of docs/scaling.md: what an account costs in requests and rows, against what it really does."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Any

from sqlalchemy import Connection, func, select

from bench.scene import UNLIMITED, Scene, Sizes, Tell, scene
from bench.table import Row
from tasks.ledger.database import opened
from tasks.ledger.tables import directory, history, records, runs
from tasks.settings import ACTIVITIES

PAGE = 100
"""Rows of a page, at both services."""
LEARNT = 5
"""Requests that learn a new location: itself, its fields, its calendars, and our two fields' creation."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account with activities, of up to 2,000 contacts, so that every list is read by every run.

    Attributes:
        contacts: at the source.
        listed: of these, how many may have activities: all but VoIPstudio's own users.
        delivered: how many are brought to the destination.
        activities: at the source, of those listed.
        written: of these, how many are brought to the destination.
        strangers: contacts that the location had before.
    """

    contacts: int
    listed: int
    delivered: int
    activities: int
    written: int
    strangers: int = 0

    def source_requests(self, *, first: bool) -> int:
        """Pages and an empty one; the lists of each contact; of one more, to know whether there are lists."""
        asked = self.listed if first else self.delivered
        return ceil(self.contacts / PAGE) + 1 + len(ACTIVITIES) * (asked + 1)

    def destination_requests(self, *, first: bool) -> int:
        """What there is to learn, the pages of the location's contacts, and one request a record."""
        known = ceil((self.strangers + 1) / PAGE)
        return LEARNT + known + self.delivered + self.written if first else 0

    def rows(self, *, runs_so_far: int) -> dict[str, int]:
        """Rows of the tables that grow."""
        return {
            "records": self.contacts + self.activities,
            "directory": self.strangers + self.delivered,
            "history": self.delivered + self.written,
            "runs": runs_so_far,
        }


def checked(sizes: Sizes, tell: Tell) -> list[Row]:
    """Two runs of one account, and what the model says of them."""
    with scene(contacts=sizes.modelled, **UNLIMITED) as made:
        said, was = list[int](), list[int]()
        for number in (1, 2):
            tell(f"run {number} of {sizes.modelled:,} contacts with activities")
            made.box.reset_counters()
            report = made.sync()["report"]
            if number == 1:
                account = _account(made, report)
            counters = made.box.counters()
            said += [
                account.source_requests(first=number == 1),
                account.destination_requests(first=number == 1),
                *account.rows(runs_so_far=number).values(),
            ]
            was += [counters[service]["requests"] for service in ("voipstudio", "highlevel")] + _rows(made)
    return [
        Row(
            f"the model of docs/scaling.md, {sizes.modelled:,} contacts with activities, two runs",
            "requests to source and destination, rows of "
            + ", ".join(account.rows(runs_so_far=0))
            + ": "
            + _told(said),
            _told(was),
            "equal",
            said == was,
        )
    ]


def _account(made: Scene, report: dict[str, Any]) -> Account:
    counts = report["entities"]
    return Account(
        contacts=counts["contacts"]["read"],
        listed=sum(not row["internal"] for row in made.box.source()),
        delivered=counts["contacts"]["created"],
        activities=sum(counts[one]["read"] for one in ACTIVITIES),
        written=sum(counts[one]["created"] for one in ACTIVITIES),
    )


def _rows(made: Scene) -> list[int]:
    def look(connection: Connection) -> list[int]:
        tables = (records, directory, history, runs)
        return [connection.execute(select(func.count()).select_from(one)).scalar_one() for one in tables]

    with opened(made.ledger) as database:
        return database.now_look(look)


def _told(numbers: list[int]) -> str:
    half = len(numbers) // 2
    return "; ".join(", ".join(f"{one:,}" for one in part) for part in (numbers[:half], numbers[half:]))
