"""What a backfill will cost: contacts, activities, requests of both services, time and days."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from tasks.engine.chosen import OLDEST, Chosen, date_of_activity
from tasks.engine.run import Run
from tasks.ledger import backfills

SAMPLED = 20
"""Contacts whose activities are counted before the start."""
SAMPLED_FROM = 100
"""Contacts from which on that is worth its requests."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is to be expected of a backfill, as far as is known before it starts.

    Attributes:
        account: whose.
        contacts: that are to be looked at.
        new: of those, the contacts that are not at the destination yet.
        oldest: the first day of theirs, where they have one.
        newest: the last.
        windows: about how many there are.
        activities: about how many there are of each entity that are not there yet; None: nobody knows yet.
        sampled: contacts whose activities were counted for that.
        requests: about how many each service will be asked.
        seconds: about how long it takes at the quota.
        days: on how many days the quota of the day allows that.
    """

    account: str
    contacts: int
    new: int
    oldest: str | None
    newest: str | None
    windows: int
    activities: dict[str, int] | None
    sampled: int
    requests: dict[str, int]
    seconds: float
    days: int
    mode: str = "estimate"
    status: str = "ok"

    def as_json(self) -> dict[str, Any]:
        """The JSON document of ``voipsync backfill --estimate --json``."""
        return asdict(self)

    def __str__(self) -> str:
        if not self.contacts:
            return f"backfill of {self.account}: no contacts to look at"
        dates = f", of {self.oldest} to {self.newest}" if self.newest else ""
        if self.activities is None:
            said = "activities not counted"
        elif not self.activities:
            said = "no lists of activities"
        else:
            kinds = (f"{number:,} {entity}" for entity, number in self.activities.items())
            said = f"about {', '.join(kinds)} to bring, going by {self.sampled} of them"
        days = "" if self.days == 1 else f"; the quota of the day spreads it over {self.days} days"
        return (
            f"backfill of {self.account}: {self.contacts:,} contacts to look at{dates}, {self.new:,} of them "
            f"not in yet; {said}; about {self.requests['source']:,} requests to VoIPstudio and "
            f"{self.requests['destination']:,} to HighLevel, {in_words(self.seconds)} at the quota{days}"
        )


async def estimate(run: Run, feed: Chosen, key: str, window: float) -> Estimate:
    """Say what is left of a backfill whose contacts are staged; costs some requests to the source only."""
    rest = await run.database.look(partial(backfills.rest, account=run.name, key=key))
    new = await run.database.look(partial(backfills.not_in_yet, account=run.name, key=key))
    sampled, found, took = 0, Counter[str](), 0.0
    if feed.streams.wanted() and rest.number >= SAMPLED_FROM:
        started = time.monotonic()
        sampled, found = await _count(run, feed, key)
        took = time.monotonic() - started
    streams = feed.streams.on()
    activities = {one: found[one] * rest.number // sampled for one in streams} if sampled else None
    settings, quota = run.account.destination.quota, run.quota
    sending = (new if "contacts" in run.entities else 0) + sum((activities or {}).values())
    reading = rest.number * (1 + len(streams))
    waiting = took * rest.number / sampled if sampled else 0.0
    today = max(0, quota.day_left - settings.daily_reserve)
    a_day = max(1, settings.per_day - settings.daily_reserve)
    return Estimate(
        account=run.name,
        contacts=rest.number,
        new=new,
        oldest=_day(rest.dated),
        newest=_day(rest.newest),
        windows=_windows(rest, window),
        activities=activities,
        sampled=sampled,
        requests={"source": reading, "destination": sending},
        seconds=round(sending * quota.window / quota.limit + waiting, 1),
        days=1 + math.ceil(max(0, sending - today) / a_day),
    )


def in_words(seconds: float) -> str:
    """A duration as people say it."""
    if seconds < 90:  # noqa: PLR2004 - a minute and a half
        return f"{math.ceil(seconds)} s"
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} min"  # noqa: PLR2004


async def _count(run: Run, feed: Chosen, key: str) -> tuple[int, Counter[str]]:
    """Count, of some contacts, the activities that are to be brought."""
    ids = await run.database.look(partial(backfills.sample, account=run.name, key=key, number=SAMPLED))
    lists = await feed.streams.read({one: {} for one in ids})
    if lists is None:
        return len(ids), Counter()
    known = await feed.streams.known(lists.rows)
    zone = run.rules.zone
    return len(ids), Counter(
        one["entity"]
        for one in lists.rows
        if (one["entity"], one["source_id"]) not in known and feed.span.holds(date_of_activity(one, zone))
    )


def _windows(rest: backfills.Rest, window: float) -> int:
    """One for what has no date, and those of the others."""
    undated = rest.number > 0 and rest.oldest == OLDEST
    return undated + (math.ceil((rest.newest - rest.dated) / window + 1) if rest.dated else 0)


def _day(at: float) -> str | None:
    return None if at == OLDEST else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"
