"""A day at work, shortened: a sync every minute by a supervised server, worker and databases, sudden deaths.

Not part of `make bench`, for it takes as long as it is told to: ``python -m bench operate --minutes 30``.
"""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime

from bench.deployed import PATIENCE
from bench.scene import Sizes, Tell
from bench.stage import Stage, staged
from bench.supervised import RESTART
from bench.table import Row

P95, RECOVERY = 75.0, 150.0
"""Seconds within which a new contact must be in the CRM, and after a sudden death."""
ZOMBIE = 150.0
"""Seconds within which a run that died must not be shown as running any more."""
AWAY = 240.0
"""Seconds without a worker."""
LATE = 60.0
"""Seconds after which a run that was due and has not begun is called piled up."""
CROWD = 200
"""Contacts that are on their way when something dies."""


def live(sizes: Sizes, tell: Tell) -> list[Row]:
    """New contacts while all is well; then each part dies in the middle of a run."""
    with staged(tell) as stage:
        tell(f"{sizes.minutes:g} minutes of one-minute schedules")
        took = _arrivals(stage, sizes.minutes * 60, tell)
        rows = [_latency(took, sizes)]
        for what, which in (
            ("the worker", stage.worker),
            ("Prefect's server", stage.server),
            ("the ledger's PostgreSQL", stage.ledger),
            ("Prefect's PostgreSQL", stage.database),
        ):
            tell(f"{what} dies in the middle of a run")
            rows.append(_death(stage, what, which.kill))
        tell(f"the worker is away for {AWAY / 60:.0f} minutes")
        rows.append(_return(stage))
        tell("what has become of the runs")
        time.sleep(max(0.0, ZOMBIE - 60))
        rows.append(_left(stage))
    return rows


def _arrivals(stage: Stage, seconds: float, tell: Tell) -> list[float]:
    """Enter contacts at odd moments; return how long each took to be delivered."""
    until, after = time.monotonic() + seconds, 0.0
    waiting, took = dict[str, float](), list[float]()
    while (now := time.monotonic()) < until or (waiting and now < until + PATIENCE):
        if now < until and now >= after:
            waiting[stage.new_contact()] = now
            after = now + random.uniform(5, 25)  # noqa: S311 - moments, not secrets
        there = stage.delivered()
        for email in [one for one in waiting if one in there]:
            took.append(time.monotonic() - waiting.pop(email))
            if len(took) % 10 == 0:
                tell(f"{len(took)} contacts, the slowest after {max(took):.0f} s")
        time.sleep(0.5)
    return took + [PATIENCE] * len(waiting)


def _latency(took: list[float], sizes: Sizes) -> Row:
    ordered = sorted(took)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    return Row(
        f"new contacts, {sizes.minutes:g} minutes of one-minute schedules",
        f"≤ {P95:.0f} s for 95 of 100",
        f"{len(took)} contacts: median {statistics.median(took):.0f} s, 95 of 100 within {p95:.0f} s, "
        f"slowest {ordered[-1]:.0f} s",
        "a minute between two runs: half of them within 30 s",
        p95 <= P95,
    )


def _death(stage: Stage, what: str, kill: Callable[[], int]) -> Row:
    """Kill while contacts are on their way; time until all of them are delivered."""
    crowd = {stage.new_contact() for _ in range(CROWD)}
    there = _until(stage, lambda found: len(found & crowd) > 0)
    killed, at = kill(), time.monotonic()
    _until(stage, lambda found: found >= crowd)
    took, end = time.monotonic() - at, stage.delivered()
    lost, twice = len(crowd - end.keys()), sum(end[one] > 1 for one in crowd)
    return Row(
        f"kill -9 of {what} and all below it, mid-run",
        f"≤ {RECOVERY:.0f} s until new contacts are delivered, 0 duplicates",
        f"{took:.0f} s ({killed} processes killed, started again after {RESTART:.0f} s); of {CROWD} contacts "
        f"{len(there & crowd)} were there before; {twice} duplicates, {lost} lost",
        "the next minute",
        took <= RECOVERY and not twice and not lost,
    )


def _until(stage: Stage, enough: Callable[[set[str]], bool]) -> set[str]:
    """Wait for what is delivered to be enough; return it."""
    until = time.monotonic() + PATIENCE
    while not enough(found := set(stage.delivered())) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _return(stage: Stage) -> Row:
    """No worker for some minutes: one of the runs that came due meanwhile does the work of them all."""
    stage.worker.stop()
    email, before = stage.new_contact(), {one["id"] for one in stage.runs()}
    time.sleep(AWAY)
    stage.worker.start()
    at = time.monotonic()
    while email not in stage.delivered() and time.monotonic() < at + PATIENCE:
        time.sleep(0.5)
    took = time.monotonic() - at
    time.sleep(LATE / 2)
    names = Counter(one["state_name"] for one in stage.runs() if one["id"] not in before)
    return Row(
        f"no worker for {AWAY / 60:.0f} minutes",
        f"≤ {P95:.0f} s after its return; late runs are collapsed",
        f"{took:.0f} s; " + ", ".join(f"{number} {name}" for name, number in names.most_common()),
        "the start of a worker and of one run",
        took <= P95 and names["Collapsed"] + names["Skipped"] > 0,
    )


def _left(stage: Stage) -> Row:
    """What the server shows of all runs: none may run for ever, or wait though it was due long ago."""
    found, now = stage.runs(), time.time()
    names = Counter(one["state_name"] for one in found)
    late = [
        one
        for one in found
        if one["state_type"] in ("SCHEDULED", "PENDING") and now - _seconds(one["expected_start_time"]) > LATE
    ]
    stuck = [
        one
        for one in found
        if one["state_type"] in ("RUNNING", "CANCELLING") and now - _seconds(one["start_time"]) > ZOMBIE
    ]
    told = ", ".join(f"{number} {name}" for name, number in names.most_common())
    return Row(
        "flow runs at the end",
        "none stuck, none piled up",
        f"{len(stuck)} stuck, {len(late)} waiting for more than a minute; {told}",
        "",
        not stuck and not late,
    )


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment).timestamp() if moment else time.time()
