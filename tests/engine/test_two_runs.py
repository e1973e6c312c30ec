"""Two processes on one account at once: one quota, one writer; and a dead one is replaced at once."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import select

from sandbox.client import Box
from tasks.ledger.database import opened
from tasks.ledger.tables import runs
from tests.support.truth import check
from tests.support.workers import Workers, wait_for

BURST = 40
SCENARIO: dict[str, Any] = {"contacts": 16, "burst": BURST, "interval": 1.0, "latency": 0.02}
QUICK = {
    "destination": {
        "settle_seconds": 0.3,
        "search_lag_seconds": 0.3,
        "quota": {"requests": BURST, "seconds": 1.0},
    }
}


def run_rows(url: str) -> list[Any]:
    with opened(url) as database:
        query = select(runs).order_by(runs.c.started_at)
        return database.now_do(lambda connection: list(connection.execute(query)))


def assert_within_quota(box: Box) -> None:
    assert box.peak() <= BURST
    assert "429" not in box.counters()["highlevel"]["statuses"]


def test_two_at_once_share_the_quota_and_write_everything_once(box, ledger_url, tmp_path):
    workers = Workers(box, ledger_url, tmp_path, QUICK)
    both = [workers.start(), workers.start()]
    assert [worker.end() for worker in both] == [0, 0]
    assert check(box, ledger_url, **QUICK) == []
    assert_within_quota(box)
    wrote = sorted(worker.report["requests"]["destination_writes"] for worker in both)
    assert wrote == [0, sum(box.writes().values())]
    assert {row.status for row in run_rows(ledger_url)} == {"ok"}


def test_who_waits_takes_over_at_once_from_an_owner_that_is_killed(box, ledger_url, tmp_path):
    workers = Workers(box, ledger_url, tmp_path, QUICK)
    owner = workers.start()
    wait_for(box, owner, 25)
    waiting = workers.start()
    time.sleep(0.3)
    assert len(run_rows(ledger_url)) == 1
    assert owner.kill()
    killed = time.time()
    assert waiting.end() == 0
    assert check(box, ledger_url, **QUICK) == []
    assert_within_quota(box)
    dead, alive = run_rows(ledger_url)
    assert (dead.status, alive.status) == ("failed", "ok")
    assert dead.finished_at is not None
    assert alive.started_at - killed < 2.0


def test_who_does_not_wait_is_told_who_is_at_work(box, url, tmp_path):
    workers = Workers(box, url, tmp_path, QUICK)
    owner = workers.start()
    wait_for(box, owner, 1)
    hasty = workers.start(wait_seconds=0)
    assert hasty.end() == 1
    assert hasty.report["kind"] == "Busy"
    assert f"process {owner.process.pid} " in hasty.report["error"]
    assert owner.end() == 0
    assert check(box, url, **QUICK) == []


def test_many_at_once_on_a_ledger_that_does_not_exist_yet(box, ledger_url, tmp_path):
    box.reset(**SCENARIO | {"contacts": 3, "burst": 400, "interval": 0.3})
    more = {"destination": {**QUICK["destination"], "quota": {"requests": 400, "seconds": 0.3}}}
    workers = Workers(box, ledger_url, tmp_path, more)
    crowd = [workers.start() for _ in range(5)]
    assert [worker.end() for worker in crowd] == [0] * 5
    assert check(box, ledger_url, **QUICK) == []
    assert len(run_rows(ledger_url)) == 5
