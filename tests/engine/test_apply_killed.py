"""SIGKILL while a plan is applied, again and again: in the end each of its requests has had effect once."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

from tests.support.accounts import sync
from tests.support.planning import plan
from tests.support.truth import check
from tests.support.workers import QUICK, Workers

SCENARIO: dict[str, Any] = {"contacts": 30, "burst": 400, "interval": 0.3, "latency": 0.006}
KILLS = 4


def written(box):
    return sum(box.writes().values())


def test_every_request_of_a_plan_has_effect_once(box, url, tmp_path):
    rng = random.Random(3)  # noqa: S311 - the same seed, the same kills
    made = asyncio.run(plan(box, url, **QUICK))
    workers, kills = Workers(box, url, tmp_path, QUICK), 0
    while kills < KILLS:
        worker, until = workers.start(trouble={"apply": made.plan_id}), written(box) + rng.randint(1, 20)
        while worker.running and written(box) < until:
            time.sleep(0.002)
        assert worker.kill(), "it ended before it could be killed"
        kills += 1
    last = workers.start(trouble={"apply": made.plan_id})
    assert last.end() == 0, last.report
    assert written(box) == made.about["requests"]["writes"]
    box.reset_counters()
    assert asyncio.run(sync(box, url, **QUICK)).status == "ok"
    assert box.writes() == {}
    assert check(box, url, **QUICK) == []
