"""The bar on a terminal: what is counted, how fast, what is left; and nothing of it elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from flows.terminal import bar, table
from tasks.engine.report import COUNTS, Report
from tasks.engine.steps import Progress, watching
from tasks.settings import ENTITIES


def drawn(*told: Progress, terminal: bool = True) -> str:
    to = io.StringIO()
    console = Console(file=to, force_terminal=terminal, width=120, color_system=None)
    with bar("acme", console):
        watch = watching.get()
        assert (watch is not None) is terminal
        for how in told if watch else ():
            watch(how)
    assert watching.get() is None
    return to.getvalue()


def test_a_bar_tells_how_far_a_run_is() -> None:
    shown = drawn(Progress(50, 200, 40), Progress(100, 200, 80, refused=2, quota_left=199_432))
    assert "acme: contacts" in shown
    assert "80/200" in shown
    assert "2 refused, 199,432 requests left today" in shown


def test_a_bar_counts_what_it_is_told_to_count() -> None:
    shown = drawn(Progress(1, None, 3, what="windows"))
    assert "acme: windows" in shown
    assert "3/?" in shown


def test_nothing_is_drawn_into_a_pipe() -> None:
    assert drawn(Progress(50, 200, 40), terminal=False) == ""


@pytest.mark.parametrize("columns", ["20", "80"])
def test_a_report_loses_nothing_where_there_is_little_room(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    counts = dict(zip(COUNTS, range(1_000_001, 2_000_000), strict=False))
    requests = dict.fromkeys(("source", "destination_reads", "destination_writes", "destination_least"), 0)
    table(Report("acme", "1", "full", "degraded", dict.fromkeys(ENTITIES, counts), requests, [], 1.0))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == list(COUNTS)
    for line, entity in zip(lines[2:6], ENTITIES, strict=True):
        assert line == [entity, *map(str, counts.values())]
