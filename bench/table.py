"""The table that `make bench` prints: each figure with what it must be and what it could be at best."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

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
    """

    experiment: str
    limit: str
    measured: str
    ideal: str
    holds: bool | None
    peers: str = ""


def show(rows: Iterable[Row]) -> None:
    """Print the table; as wide as a report needs where it does not go to a terminal."""
    made = Table(box=box.SQUARE, show_lines=True)
    for title in ("experiment", "must show", "measured", "ideal or baseline", "peers (quoted)", "holds"):
        made.add_column(title)
    for row in rows:
        verdict = "" if row.holds is None else "yes" if row.holds else "NO"
        made.add_row(row.experiment, row.limit, row.measured, row.ideal, row.peers, verdict)
    console = Console(file=sys.stdout, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = 190
    console.print(made)
