"""SIGKILL while something is deleted at the destination: a plain run after it leaves one consistent state."""

from __future__ import annotations

import time
from typing import Any

import pytest

from sandbox.client import Box
from tests.support.killing import Life
from tests.support.truth import check
from tests.support.workers import Workers

SCENARIO: dict[str, Any] = {"contacts": 25, "burst": 400, "interval": 0.3, "latency": 0.006}
QUICK: dict[str, Any] = {
    "destination": {
        "settle_seconds": 0.3,
        "search_lag_seconds": 0.3,
        "quota": {"requests": 400, "seconds": 0.3},
    },
    "mapping": {"deletes": "delete", "max_deletes": 1000, "max_delete_percent": 100},
}


def dies_at(box: Box, workers: Workers, kind: str, path: str) -> None:
    """Kill a run whose deletion was never answered: it has taken effect, or it has not."""
    box.fault(kind, method="DELETE", path=path, count=1)
    worker = workers.start()
    while worker.running and not box.faults()[0]["fired"]:
        time.sleep(0.005)
    assert worker.kill()
    box.clear_faults()


def people(box: Box) -> None:
    box.reset(**SCENARIO | {"contacts": 0})
    for number in (1, 2, 3):
        box.insert_source("contacts", first_name=f"Person{number}", email=f"person{number}@example.com")
        box.insert_source("notes", number, body=f"Note of {number}")


@pytest.mark.parametrize("seed", [21, 22])
def test_ten_kills_in_a_life_in_which_activities_vanish(box, url, tmp_path, seed):
    workers = Workers(box, url, tmp_path, QUICK)
    box.reset(**SCENARIO, seed=seed)
    life = Life(box, workers, seed, deletes=True)
    while life.kills < 10:
        life.edit()
        life.kill()
    assert life.problems() == []
    box.reset_counters()
    assert workers.start().end() == 0
    assert box.writes() == {}


@pytest.mark.parametrize("kind", ["commit_then_hang", "hang"])
@pytest.mark.parametrize("returns", [False, True])
def test_a_note_whose_deletion_was_killed(box, url, tmp_path, kind, returns):
    workers = Workers(box, url, tmp_path, QUICK)
    people(box)
    assert workers.start().end() == 0
    box.delete_source("notes", 1, 1)
    dies_at(box, workers, kind, "/notes/")
    if returns:
        box.insert_source("notes", 1, id=1, body="Note of 1")
    last = workers.start()
    assert (last.end(), last.report["warnings"]) == (0, [])
    assert check(box, url, **QUICK) == []


@pytest.mark.parametrize("kind", ["commit_then_hang", "hang"])
@pytest.mark.parametrize("returns", [False, True])
def test_a_contact_whose_deletion_was_killed(box, url, tmp_path, kind, returns):
    workers = Workers(box, url, tmp_path, QUICK)
    people(box)
    assert workers.start().end() == 0
    row = box.source("contacts")[0]
    box.delete_source("contacts", 1)
    assert workers.start().end() == 0
    dies_at(box, workers, kind, "/contacts/[^/]+$")
    if returns:
        box.insert_source("contacts", **row)
        box.insert_source("notes", 1, id=1, body="Note of 1")
    last = workers.start()
    assert (last.end(), last.report["warnings"]) == (0, [])
    assert check(box, url, **QUICK) == []
