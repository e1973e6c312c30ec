"""The table that `make bench` prints: each figure with what it must be and what it could be at best."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One experiment's result.

    Attributes:
        experiment: what was done.
        limit: what it must show.
        measured: what it showed.
        ideal: what nobody could be better than, or a baseline measured in the same run.
        peers: what other programs showed, as quoted in the project's requirements; not measured here.
        holds: whether the measured is within the limit; None where none is set.
        command: what measures it again.
    """

    experiment: str
    limit: str
    measured: str
    ideal: str
    holds: bool | None
    peers: str = ""
    command: str = ""


def show(rows: Iterable[Row]) -> None:
    """Print the table; as wide as a report needs where it does not go to a terminal."""
    made = Table(box=box.SQUARE, show_lines=True)
    for title in ("experiment", "must show", "measured", "ideal or baseline", "peers (quoted)", "holds"):
        made.add_column(title)
    for row in rows:
        verdict = "" if row.holds is None else "yes" if row.holds else "NO"
        experiment = "\n$ ".join(filter(None, (row.experiment, row.command)))
        made.add_row(experiment, row.limit, row.measured, row.ideal, row.peers, verdict)
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 190
    console.print(made)


def machine() -> str:
    """What it was measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} processors, {memory:.0f} GB; {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
    )


def _processor() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
