"""Machines whose clocks are an hour apart share a ledger on PostgreSQL: they do what one machine would do."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import func, select, update

from sandbox.client import Box
from tasks.engine import outcome
from tasks.engine.status import standings
from tasks.ledger.database import opened
from tasks.ledger.tables import history, records, runs
from tests.support.accounts import settings_of
from tests.support.truth import check
from tests.support.workers import Worker, Workers, wait_for

BURST = 40
SETTLE = 2.0
SCENARIO: dict[str, Any] = {"contacts": 32, "burst": BURST, "interval": 1.0, "latency": 0.02}
QUICK: dict[str, Any] = {
    "state": {"history_days": 1},
    "destination": {
        "settle_seconds": SETTLE,
        "search_lag_seconds": 0.3,
        "quota": {"requests": BURST, "seconds": 1.0},
    },
}
HOUR = 3600.0
pytestmark = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
both_ways = pytest.mark.parametrize("ahead", [HOUR, -HOUR], ids=["ahead", "behind"])


@pytest.fixture
def workers(box: Box, ledger_url: str, tmp_path: Any) -> Workers:
    return Workers(box, ledger_url, tmp_path, QUICK)


def start(workers: Workers, ahead: float) -> Worker:
    """Start a run on a machine whose clock is so many seconds ahead."""
    return workers.start(trouble={"clock_ahead": ahead})


def rows(url: str, query: Any) -> list[Any]:
    with opened(url) as database:
        return list(database.now_look(lambda connection: connection.execute(query).all()))


def ann(box: Box) -> int:
    """The only contact of the source."""
    box.reset(**SCENARIO | {"contacts": 0})
    row = box.insert_source("contacts", first_name="Ann", last_name="Zero", email="ann@example.com")
    return int(row["id"])


@both_ways
def test_a_killed_run_is_taken_over_within_one_quota(box, workers, ledger_url, ahead):
    owner = start(workers, 0.0)
    wait_for(box, owner, BURST + 5)
    waiting = start(workers, ahead)
    time.sleep(0.3)
    assert owner.kill()
    assert waiting.end() == 0
    assert check(box, ledger_url, **QUICK) == []
    assert box.peak() <= BURST
    assert "429" not in box.counters()["highlevel"]["statuses"]
    dead, alive = rows(ledger_url, select(runs).order_by(runs.c.started_at))
    assert (dead.status, alive.status) == ("failed", "ok")
    assert dead.started_at < dead.finished_at <= alive.started_at < alive.finished_at


def test_a_clock_that_is_ahead_does_not_make_what_is_still_on_its_way_lost(box, ledger_url, tmp_path):
    patient = {**QUICK, "destination": {**QUICK["destination"], "settle_seconds": 6.0}}
    workers = Workers(box, ledger_url, tmp_path, patient)
    contact_id = ann(box)
    assert start(workers, 0.0).end() == 0
    box.insert_source("notes", contact_id, body="Said")
    box.fault("hang", method="POST", path="/notes", count=1, seconds=4.5)
    owner = start(workers, 0.0)
    while owner.running and not box.faults()[0]["fired"]:
        time.sleep(0.005)
    assert owner.kill()
    successor = start(workers, HOUR)
    assert successor.end() == 0
    assert successor.report["entities"]["notes"]["recovered"] == 1
    assert len(box.notes()) == 1
    assert check(box, ledger_url, **QUICK) == []


@both_ways
def test_what_certainly_did_not_arrive_is_sent_again_after_the_same_seconds(box, workers, ledger_url, ahead):
    contact_id = ann(box)
    assert start(workers, 0.0).end() == 0
    box.insert_source("notes", contact_id, body="Said")
    box.fault("hang", method="POST", path="/notes", count=1)
    owner = start(workers, ahead)
    while owner.running and not box.faults()[0]["fired"]:
        time.sleep(0.005)
    sent = time.monotonic()
    assert owner.kill()
    successor = start(workers, -ahead)
    assert successor.end() == 0
    assert SETTLE < time.monotonic() - sent < SETTLE + 10
    assert successor.report["entities"]["notes"]["created"] == 1
    assert check(box, ledger_url, **QUICK) == []


def test_a_refused_record_is_tried_again_after_the_same_pause(box, workers, ledger_url):
    ann(box)
    box.fault("status", method="POST", path="/contacts/$", status=422, body={"message": "no"})
    for number in range(outcome.FREE_ATTEMPTS):
        assert start(workers, (HOUR, -HOUR)[number % 2]).end() == 3
    (due,) = rows(ledger_url, select(records.c.next_attempt_at)).pop()
    assert outcome.FIRST_PAUSE_SECONDS - 60 < due - time.time() <= outcome.FIRST_PAUSE_SECONDS
    for ahead in (HOUR, -HOUR):
        box.reset_counters()
        assert start(workers, ahead).end() == 3
        assert box.writes() == {}
    with opened(ledger_url) as database:
        at = update(records).values(next_attempt_at=records.c.next_attempt_at - HOUR / 2)
        database.now_do(lambda connection: connection.execute(at))
    box.clear_faults()
    assert start(workers, -HOUR).end() == 0
    assert check(box, ledger_url, **QUICK) == []


def test_runs_stay_in_order_and_young_history_is_kept(box, workers, ledger_url):
    ann(box)
    assert start(workers, HOUR).end() == 0
    kept = rows(ledger_url, select(func.count()).select_from(history))
    with opened(ledger_url) as database:
        young = update(history).values(at=history.c.at - 23.5 * HOUR)
        database.now_do(lambda connection: connection.execute(young))
    for ahead in (0.0, -HOUR, HOUR):
        assert start(workers, ahead).end() == 0
    assert rows(ledger_url, select(func.count()).select_from(history)) == kept != [(0,)]
    every = rows(ledger_url, select(runs).order_by(runs.c.started_at))
    times = [at for row in every for at in (row.started_at, row.finished_at)]
    assert times == sorted(times)
    assert [row.id[:15] for row in every] == sorted(row.id[:15] for row in every)
    assert abs(times[-1] - time.time()) < 60
    settings = settings_of(box, ledger_url, **QUICK)
    (told,) = standings(settings.state, settings.accounts)
    assert 0 <= told["synced_seconds_ago"] < 60
