"""An account's runs over time, from the ledger: what they wrote, what was open, what they cost, how fresh."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, select

from tasks.engine.report import OPEN, sent
from tasks.ledger.tables import runs

HOUR, DAY = 3_600.0, 86_400.0
KINDS = ("created", "adopted", "updated", "deleted")
"""What a run may have done to a record at the destination."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A run that has ended; instants are UTC seconds since 1970."""

    kind: str
    status: str
    started: float
    finished: float
    done: dict[str, int]
    open: dict[str, int]
    requests: int

    @property
    def good(self) -> bool:
        """Whether it brought the destination up to date."""
        return self.kind == "sync" and self.status != "failed"


def entries(connection: Connection, account: str, since: float) -> list[Entry]:
    """Return the runs of an account that began after an instant, in order."""
    rows = connection.execute(
        select(runs.c.kind, runs.c.status, runs.c.started_at, runs.c.finished_at, runs.c.report)
        .where(runs.c.account == account, runs.c.started_at >= since, runs.c.finished_at.is_not(None))
        .order_by(runs.c.started_at)
    )
    return [
        Entry(
            row.kind,
            row.status,
            row.started_at,
            row.finished_at,
            _sums(row.report or {}, KINDS),
            _sums(row.report or {}, OPEN),
            sent(row.report or {}),
        )
        for row in rows
    ]


def _sums(report: dict[str, Any], names: Iterable[str]) -> dict[str, int]:
    counts = report.get("entities", {}).values()
    return {name: sum(one.get(name, 0) for one in counts) for name in names}


def by_time(found: Iterable[Entry], width: float) -> dict[float, list[Entry]]:
    """Group runs by the day or hour (in UTC) in which they began."""
    groups: dict[float, list[Entry]] = {}
    for entry in found:
        groups.setdefault(entry.started - entry.started % width, []).append(entry)
    return groups


def ages(found: Iterable[Entry]) -> Iterator[tuple[float, float]]:
    """Each good sync's end, and how old was by then what the destination showed: that is how stale it got."""
    good = [entry for entry in found if entry.good]
    for before, after in pairwise(good):
        yield after.finished, after.finished - before.started


def steps(found: Iterable[Entry], state: str) -> list[tuple[float, int]]:
    """How many records were in an open state, run after run, where that changed, and at the end."""
    points = [(entry.finished, entry.open[state]) for entry in found if entry.kind != "link"]
    changed = [
        point
        for before, point in zip([None, *points], points, strict=False)
        if not before or before[1] != point[1]
    ]
    return changed + points[-1:] if changed[-1:] != points[-1:] else changed
