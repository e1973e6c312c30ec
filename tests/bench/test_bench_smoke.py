"""Each experiment of `make bench` at a tiny size: that it runs and measures, not how fast anything is."""

from __future__ import annotations

import pytest

from bench.__main__ import EXPERIMENTS, main
from bench.scene import Sizes
from bench.table import Row, show

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
    with_prefect=None,
)
TOLD = {
    "second-run": "0 requests; ",
    "idle": "0 requests; 59 to the source; ",
    "kill": "0 duplicates, 30 delivered, 0 lost, ok",
    "lost-answers": "0 duplicates, 30 delivered, 0 lost, ok",
    "poison": "29 delivered, 1 kept, degraded; then 0 duplicates, 30 delivered, 0 lost, ok",
    "pace": "0 answers 429, 6 requests besides 9 creations, peak 15",
    "two-processes": "0 answers 429, 0 duplicates, 9 contacts",
    "cpu": " ms above (",
    "memory": " MB: ",
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_measures(name):
    told: list[str] = []
    (row,) = EXPERIMENTS[name](TINY, told.append)
    assert TOLD[name] in row.measured
    assert isinstance(row.holds, bool)
    assert told


def test_the_table_says_what_does_not_hold(capsys):
    show([Row("one", "≤ 1", "1", "0", True, "2"), Row("other", "≤ 1", "2", "0", False)])
    printed = capsys.readouterr().out
    assert [line.split()[-2] for line in printed.splitlines() if "≤" in line] == ["yes", "NO"]


def test_an_unknown_experiment_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["third-run"])
    assert "third-run" in capsys.readouterr().err
