"""SIGKILL at any instruction loses nothing: processes are killed, then a plain run: none twice, none lost."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sandbox.client import Box
from tests.support.killing import Life
from tests.support.truth import check
from tests.support.workers import QUICK, Workers

SCENARIO: dict[str, Any] = {"contacts": 18, "burst": 400, "interval": 0.3, "latency": 0.006}


@pytest.mark.parametrize("seed", range(1, 6))
def test_ten_kills_in_an_accounts_life_on_sqlite(box, url, tmp_path, seed):
    lose_processes(box, Workers(box, url, tmp_path, QUICK), seed)


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("seed", [11, 12])
def test_five_kills_in_an_accounts_life_on_postgresql(box, ledger_url, tmp_path, seed):
    lose_processes(box, Workers(box, ledger_url, tmp_path, QUICK), seed, kills=5)


def lose_processes(box: Box, workers: Workers, seed: int, kills: int = 10) -> None:
    box.reset(**SCENARIO, seed=seed)
    life = Life(box, workers, seed)
    while life.kills < kills:
        life.edit()
        life.kill()
    assert life.problems() == []
    assert box.peak() <= SCENARIO["burst"]
    box.reset_counters()
    assert workers.start().end() == 0
    assert box.writes() == {}


def dies_at(box: Box, workers: Workers, path: str) -> None:
    """Kill a run whose request has taken effect at the destination and was never answered."""
    box.fault("commit_then_hang", method="PUT,POST,DELETE", path=path, count=1)
    worker = workers.start()
    while worker.running and not box.faults()[0]["fired"]:
        time.sleep(0.005)
    assert worker.kill()
    box.clear_faults()


def ann(box: Box) -> int:
    """The only contact of the source."""
    box.reset(**SCENARIO | {"contacts": 0})
    row = box.insert_source(
        "contacts", first_name="Ann", last_name="Zero", email="ann@example.com", labels=["vip"]
    )
    return int(row["id"])


@pytest.mark.parametrize(
    ("entity", "path", "first", "second"),
    [
        ("contacts", "/contacts/[^/]+$", {"last_name": "One"}, {"last_name": "Two"}),
        ("contacts", "/contacts/[^/]+$", {"last_name": "One"}, {"last_name": "Zero"}),
        ("contacts", "/tags$", {"labels": ["vip", "one"]}, {"labels": ["vip", "two"]}),
        ("contacts", "/tags$", {"labels": ["one"]}, {"labels": ["two"]}),
        ("notes", "/notes/", {"body": "One"}, {"body": "Two"}),
        ("tasks", "/tasks/", {"title": "One"}, {"title": "Two"}),
        ("tasks", "/completed$", {"completed": True}, {"completed": False}),
        ("appointments", "/appointments/", {"title": "One"}, {"title": "Two"}),
        ("appointments", "/appointments/", {"starts_at": 1_790_003_600}, {"starts_at": 1_790_007_200}),
    ],
)
def test_a_change_that_was_killed_is_not_taken_for_a_persons(box, url, tmp_path, entity, path, first, second):
    workers = Workers(box, url, tmp_path, QUICK)
    contact_id = ann(box)
    place = (contact_id,)
    if entity != "contacts":
        values = {"notes": {"body": "Zero"}, "tasks": {"title": "Zero", "completed": False}}
        visit = {"title": "Zero", "starts_at": 1_790_000_000}
        place = (box.insert_source(entity, contact_id, **values.get(entity, visit))["id"], contact_id)
    assert workers.start().end() == 0
    box.edit_source(entity, *place, **first)
    dies_at(box, workers, path)
    box.edit_source(entity, *place, **second)
    last = workers.start()
    assert (last.end(), last.report["warnings"]) == (0, [])
    assert check(box, url, **QUICK) == []


def test_an_adoption_that_was_killed_is_not_taken_for_a_persons_work(box, url, tmp_path):
    workers = Workers(box, url, tmp_path, QUICK)
    contact_id = ann(box)
    box.insert("contacts", email="ann@example.com", source="VoIPstudio")
    dies_at(box, workers, "/contacts/[^/]+$")
    box.edit_source("contacts", contact_id, first_name="Anne", labels=["new"])
    last = workers.start()
    assert (last.end(), last.report["warnings"]) == (0, [])
    assert check(box, url, **QUICK) == []


def test_activities_that_were_read_and_not_written_are_read_again(box, url, tmp_path):
    recent = {**QUICK, "source": {"activity_scan": "recent"}}
    workers = Workers(box, url, tmp_path, recent)
    contact_id = ann(box)
    assert workers.start().end() == 0
    assert workers.start().end() == 0
    box.edit_source("contacts", contact_id, last_name="One")
    box.insert_source("notes", contact_id, body="Said")
    dies_at(box, workers, "/contacts/[^/]+$")
    assert workers.start().end() == 0
    assert check(box, url, **recent) == []


def test_what_waited_long_for_its_permit_may_still_be_on_its_way(box, url, tmp_path):
    patient = {"destination": {**QUICK["destination"], "settle_seconds": 1.0}}
    workers = Workers(box, url, tmp_path, patient)
    contact_id = ann(box)
    assert workers.start().end() == 0
    box.insert_source("notes", contact_id, body="Said")
    box.fault("status", method="POST", path="/notes$", status=429, retry_after=1.2, count=1)
    box.fault("hang", method="POST", path="/notes$", seconds=0.8, count=1)
    worker = workers.start()
    while worker.running and not box.faults()[1]["fired"]:
        time.sleep(0.005)
    assert worker.kill()
    last = workers.start()
    assert (last.end(), last.report["entities"]["notes"]["recovered"]) == (0, 1)
    assert len(box.notes()) == 1
    assert check(box, url, **patient) == []
