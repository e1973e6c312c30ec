"""Hundreds of kills, with faults of the services on top: `make chaos`. Not collected by a plain pytest.

``CHAOS_SEED`` (a number; the first life's) and ``CHAOS_LIVES`` (how many) repeat or lengthen a run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from typing import Any

import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.killing import Life
from tests.support.truth import check
from tests.support.workers import Workers

FIRST = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))
LIVES = int(os.environ.get("CHAOS_LIVES", "24"))
KILLS = 15
SCENARIO: dict[str, Any] = {"contacts": 40, "burst": 400, "interval": 0.3, "latency": 0.006}
QUICK: dict[str, Any] = {
    "settle_seconds": 0.3,
    "search_lag_seconds": 0.4,
    "quota": {"requests": 400, "seconds": 0.3},
}
WRITES = {"method": "POST,PUT,DELETE"}
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "commit_then_drop", **WRITES, "probability": 0.1},
    {"kind": "commit_then_status", "status": 502, **WRITES, "probability": 0.1},
    {"kind": "commit_then_status", "status": 502, "method": "POST", "count": 6},
    {"kind": "drop", "probability": 0.05},
    {"kind": "truncate", "probability": 0.05},
    {"kind": "status", "status": 503, "probability": 0.05},
    {"kind": "rate_limit_storm", "seconds": 0.5},
    {"kind": "status", "status": 429, "retry_after": 0.2, "probability": 0.2, "count": 10},
    {"kind": "malformed_headers", "service": "voipstudio", "probability": 0.02},
    {"kind": "latency", "seconds": 0.2, "probability": 0.1},
)
PLAIN_RUNS = 4
"""Runs after the faults have stopped: what was refused for want of an answer is tried once a run."""


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Sandbox.process(**SCENARIO) as box:
        yield box


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("seed", "ledger_url"),
    [(FIRST + life, "postgresql" if life % 4 == 3 else "sqlite") for life in range(LIVES)],
    indirect=["ledger_url"],
)
def test_a_life_of_kills_and_faults(box, ledger_url, tmp_path, seed):
    rng = random.Random(seed)  # noqa: S311 - the same seed, the same life
    scan = rng.choice(("all", "recent"))
    sections: dict[str, Any] = {"destination": QUICK, "source": {"activity_scan": scan}}
    box.reset(
        **SCENARIO,
        seed=seed,
        allow_duplicates=rng.random() < 0.5,
        strangers=rng.choice((0, 30)),
        destination={"lag": rng.choice((0.0, 0.3))},
    )
    life = Life(box, Workers(box, ledger_url, tmp_path, sections), seed, calls=scan == "recent")
    while life.kills < KILLS:
        life.edit()
        box.clear_faults()
        for fault in rng.sample(FAULTS, rng.choice((0, 0, 1, 2))):
            box.fault(**{**fault, "seed": rng.randrange(1 << 30)})
        life.kill()
    box.clear_faults()
    for _ in range(PLAIN_RUNS):
        report = life.run()
        if report.get("status") == "ok":
            break
    assert report.get("status") == "ok", report
    assert check(box, ledger_url, **sections) == []
    box.reset_counters()
    assert life.run()["status"] == "ok"
    assert box.writes() == {}
