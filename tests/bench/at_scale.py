"""The experiments of `make bench-scale` at a tiny size, the fleet's with its servers: for `make chaos`."""

from __future__ import annotations

from dataclasses import replace

from bench import cost, fleet, large
from tests.bench.test_bench_smoke import TINY

FLEET = replace(TINY, accounts=3, members=12, bare=20, patience=600.0)


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
