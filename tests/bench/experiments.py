"""Each experiment of `make bench` and `make bench-scale` at a tiny size: that it runs and measures.

`make chaos` runs them: they start dozens of processes, and the fleet its servers.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import cost, fleet, large, model
from bench.__main__ import EXPERIMENTS
from bench.scene import Sizes

TINY = Sizes(
    unchanged=20,
    notes=30,
    settle=0.2,
    people=12,
    lacking=3,
    latency=0.0,
    burst=1_000,
    interval=0.5,
    written=20,
    rounds=1,
    memory=(10,),
    large=(20,),
    first=20,
    modelled=60,
    with_prefect=None,
)
TOLD = {
    "second-run": "0 requests; ",
    "idle": "0 requests; 59 to the source; ",
    "kill": "0 duplicates, 30 delivered, 0 lost, ok",
    "lost-answers": "0 duplicates, 30 delivered, 0 lost, ok",
    "poison": "29 delivered, 1 kept, degraded; then 0 duplicates, 30 delivered, 0 lost, ok",
    "pace": "0 answers 429, 6 requests besides 9 creations, peak ",
    "two-processes": "0 answers 429, 0 duplicates, 9 contacts",
    "cpu": " ms above (",
    "memory": " MB: ",
}
FLEET = replace(TINY, accounts=3, members=12, bare=20, patience=600.0)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_measures(name):
    told: list[str] = []
    (row,) = EXPERIMENTS[name](TINY, told.append)
    assert TOLD[name] in row.measured
    assert isinstance(row.holds, bool)
    assert told


def test_the_model_of_the_scaling_page_holds():
    (row,) = model.checked(TINY, lambda _: None)
    assert row.measured == row.limit.rpartition(": ")[2]
    assert row.holds


def test_a_fleet_is_measured():
    told: list[str] = []
    (row,) = fleet.alive(FLEET, told.append)
    assert row.measured.startswith("3 accounts done, 0 duplicates, 0 lost, 0 answers 429, peak ")
    assert " of bare httpx); " in row.measured
    assert "; CPU: workers and flow runs " in row.measured
    assert told


def test_a_filled_ledger_is_that_of_a_first_sync_and_its_second_run_is_measured():
    told: list[str] = []
    filled, second, growth = large.unchanged(replace(TINY, unchanged=120), told.append)
    assert (filled.measured, filled.holds) == ("0 rows differ", True)
    assert " contacts/s of CPU beyond reading (" in second.measured
    assert "; 0 requests; " in second.measured
    assert " µs at 20: +0%" in growth.measured
    assert told


def test_a_large_first_sync_is_measured_once():
    (row,) = cost.first_sync(TINY, lambda _: None)
    assert row.experiment.startswith("user CPU per written record (18 contacts)")
    assert "best of 1" in row.measured
