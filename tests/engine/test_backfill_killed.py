"""SIGKILL at any instruction of a backfill, live syncs in between: in the end all is there, and once."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from tests.support.truth import check
from tests.support.workers import QUICK, Worker, Workers, wait_for

SCENARIO: dict[str, Any] = {"contacts": 25, "burst": 400, "interval": 0.3, "latency": 0.006}


def begin(workers: Workers, **options: Any) -> Worker:
    return workers.start(trouble={"backfill": options})


@pytest.mark.parametrize("seed", [1])
def test_killed_again_and_again_with_live_syncs_in_between(box, url, tmp_path, seed):
    rng = random.Random(seed)  # noqa: S311 - the same seed, the same life
    workers, kills = Workers(box, url, tmp_path, QUICK), 0
    people = [row["id"] for row in box.source("contacts") if not row["internal"]]
    for number in range(4):
        worker = begin(workers)
        wait_for(box, worker, rng.randint(1, 60))
        time.sleep(rng.uniform(0.0, 0.03))
        kills += worker.kill()
        box.edit_source("contacts", rng.choice(people), last_name=f"Renamed{number}")
        box.insert_source("notes", rng.choice(people), body=f"Said {number}")
        if number % 2:
            live = workers.start(only=["contacts"])
            wait_for(box, live, rng.randint(1, 15))
            kills += rng.random() < 0.5 and live.kill()
            live.end(20)
    assert kills >= 3
    assert begin(workers).end() == 0
    assert workers.start().end() == 0
    assert check(box, url, **QUICK) == []
    assert box.peak() <= SCENARIO["burst"]
    box.reset_counters()
    assert begin(workers, restart=True).end() == 0
    assert box.writes() == {}
