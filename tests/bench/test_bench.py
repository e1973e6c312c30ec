"""What the bench says and takes; its experiments themselves are tried by `make chaos` (experiments.py)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.__main__ import main, sized
from bench.scene import Sizes
from bench.table import Row, machine, show


def test_sizes_are_changed_one_by_one():
    changed = sized(Sizes(), ["large=5,6", "accounts=3", "interval=2"])
    assert changed == replace(Sizes(), large=(5, 6), accounts=3, interval=2.0)


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
