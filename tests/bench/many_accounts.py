"""The fleet's experiment at a tiny size, with all its servers and workers: part of `make chaos`."""

from __future__ import annotations

from dataclasses import replace

from bench import fleet
from bench.scene import Sizes

TINY = replace(Sizes(), accounts=3, members=12, bare=20, burst=1_000, interval=0.5, patience=600.0)


def test_a_fleet_is_measured():
    told: list[str] = []
    (row,) = fleet.alive(TINY, told.append)
    assert row.measured.startswith("3 accounts done, 0 duplicates, 0 lost, 0 answers 429, peak ")
    assert " of bare httpx); " in row.measured
    assert "; CPU: workers and flow runs " in row.measured
    assert told
