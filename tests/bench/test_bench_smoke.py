"""Each experiment of `make bench` at a tiny size: that it runs and measures, not how fast anything is.

Those of `make bench-scale` take longer even so: `make chaos` has them (at_scale.py).
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import model
from bench.__main__ import EXPERIMENTS, main, sized
from bench.scene import Sizes
from bench.table import Row, machine, show

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


def test_sizes_are_changed_one_by_one():
    changed = sized(TINY, ["large=5,6", "accounts=3", "interval=2"])
    assert changed == replace(TINY, large=(5, 6), accounts=3, interval=2.0)


@pytest.mark.parametrize("change", ["big=1", "accounts=many", "large"])
def test_a_size_that_is_none_is_named(change, capsys):
    with pytest.raises(SystemExit):
        main(["scale", "--size", change])
    assert "--size: " in capsys.readouterr().err


def test_the_machine_is_named():
    assert " processors, " in machine()


def test_the_table_says_what_does_not_hold(capsys):
    show([Row("one", "≤ 1", "1", "0", True, "2"), Row("other", "≤ 1", "2", "0", False)])
    printed = capsys.readouterr().out
    assert [line.split()[-2] for line in printed.splitlines() if "≤" in line] == ["yes", "NO"]


def test_an_unknown_experiment_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["third-run"])
    assert "third-run" in capsys.readouterr().err
