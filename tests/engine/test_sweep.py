"""The rolling sweep: everybody's activities are read within its hours, an even share by each run."""

from __future__ import annotations

import time
from collections import Counter

import pytest

from tasks.engine.read import HOUR, swept
from tests.support.accounts import sync

DAY = 24 * HOUR
START = 1_800_000_000.0


def a_day(contacts, *, every, sweep, read_at):
    """How many contacts each run of a day reads, and how often each contact is read."""
    reads: Counter[str] = Counter()
    shares = []
    last = dict.fromkeys(contacts, read_at)
    for run in range(1, int(DAY // every) + 1):
        now = START + run * every
        due = [one for one in contacts if swept(one, last[one], now, sweep)]
        last |= dict.fromkeys(due, now)
        reads.update(due)
        shares.append(len(due))
    return shares, reads


@pytest.mark.parametrize("first", [1, 51_000_000])
def test_who_was_read_together_is_spread_over_the_next_day_and_read_once(first):
    contacts = [str(number) for number in range(first, first + 6_000)]
    shares, reads = a_day(contacts, every=600, sweep=DAY, read_at=START)
    even = len(contacts) / len(shares)
    assert max(shares) < 2 * even
    assert min(shares) > even / 2
    assert set(reads.values()) == {1}
    assert len(reads) == len(contacts)


def test_nobody_is_unread_for_longer_than_the_sweep_and_a_run():
    contacts = [str(number) for number in range(500)]
    for sweep in (HOUR, 6 * HOUR):
        _, reads = a_day(contacts, every=600, sweep=sweep, read_at=START)
        assert set(reads.values()) == {DAY / sweep}


def test_after_a_pause_longer_than_the_sweep_it_is_everybodys_turn():
    assert all(swept(str(number), START, START + DAY, DAY) for number in range(1_000))


async def test_requests_of_a_day(box, url, monkeypatch):
    """40 contacts, a sync every two hours: the lists of all are read once in the day, some by each run."""
    hours = iter(range(0, 100, 2))
    begun = time.time()
    box.record()
    for number in range(40):
        box.insert_source("contacts", first_name=f"P{number}", email=f"p{number}@example.com")
    source = {"activity_scan": "recent", "activity_sweep_hours": 24}

    async def run():
        clock = begun + next(hours) * HOUR
        monkeypatch.setattr(time, "time", lambda: clock)
        already = len(box.requests("voipstudio"))
        report = await sync(box, url, source=source)
        assert report.status == "ok"
        monkeypatch.undo()
        sent = [one["path"] for one in box.requests("voipstudio")[already:]]
        return [path for path in sent if path.endswith("/notes")]

    everybody = set(await run())
    runs = [set(await run()) for _ in range(12)]
    assert len(everybody) == 40
    assert set().union(*runs) == everybody
    assert sum(map(len, runs)) == 40
    assert max(map(len, runs)) <= 10
