"""What a run looks like on a terminal: a bar on stderr while it goes on, a table on stdout at its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from tasks.engine.report import Report, cost
from tasks.engine.steps import Progress as How
from tasks.engine.steps import watching
from tasks.logs import as_json


@contextmanager
def bar(account: str, console: Console | None = None) -> Iterator[None]:
    """Show around a run how far it is and how fast it goes, on a terminal only."""
    console = console or Console(stderr=True)
    if not console.is_terminal or as_json():
        yield
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(elapsed_when_finished=True),
        TextColumn("{task.fields[aside]}"),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        line = shown.add_task(account, total=None, aside="")
        token = watching.set(lambda how: _move(shown, line, account, how))
        try:
            yield
        finally:
            watching.reset(token)


def _move(shown: Progress, line: TaskID, account: str, how: How) -> None:
    aside = [f"[red]{how.refused:,} refused[/red]"] if how.refused else []
    aside += [f"{how.quota_left:,} requests left today"] if how.quota_left is not None else []
    what = f"{account}: {how.what}"
    shown.update(line, description=what, completed=how.done, total=how.total, aside=", ".join(aside))


class _Rate(ProgressColumn):
    """How many a second, of late."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:,.1f}/s", style="progress.data.speed")


def table(report: Report) -> None:
    """Print a report for people."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, width=200)
    console.print(
        f"{report.account}: {report.status} ({report.mode}, {report.seconds:.1f} s, run {report.run_id})"
    )
    shown = report.shown
    made = Table(box=None, pad_edge=False)
    made.add_column("")
    for name in shown:
        made.add_column(name, justify="right")
    for entity, counts in report.entities.items():
        made.add_row(entity, *(str(counts.get(name, 0)) for name in shown))
    console.print(made)
    others = {name: number for name, number in report.requests.items() if not name.startswith("destination")}
    console.print(cost(report))
    console.print("requests: " + ", ".join(f"{number} {name}" for name, number in others.items()))
    for warning in report.warnings:
        console.print(f"- {warning}", markup=False)


def listing(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> None:
    """Print rows as a table."""
    made = Table(box=None, pad_edge=False)
    for column in columns:
        made.add_column(column, no_wrap=True)
    for row in rows:
        made.add_row(*(str(row[column]) for column in columns))
    Console(file=sys.stdout, highlight=False, markup=False, width=200).print(made)


def credential(one: Mapping[str, Any]) -> None:
    """Print how a credential stands."""
    said = [one["origin"] + (f" ({one['reference']})" if one["reference"] else "")]
    if one["age_days"] is not None:
        said.append(f"since {_instant(one['created_at'])}, {one['age_days']:.0f} days")
    for name, words in (("expires_at", "expires"), ("idle_at", "idle, if unused,")):
        if one[name] is not None:
            said.append(f"{words} {_instant(one[name])}")
    if one["mend"]:
        said.append(f"run: {one['mend']}")
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False)
    console.print(f"{one['account']}: {one['credential']} {'; '.join(said)}")


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def standing(one: Mapping[str, Any]) -> None:
    """Print how an account stands."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False)
    ago = one["synced_seconds_ago"]
    console.print(f"{one['account']}: " + ("never synced" if ago is None else f"synced {ago:.0f} s ago"))
    if one["running"]:
        console.print(f"  running now: {one['running']}")
    for entity, states in one["records"].items():
        console.print(f"  {entity}: " + ", ".join(f"{number} {state}" for state, number in states.items()))
    for reject in one["rejected"]:
        what = f"{reject['records']} {reject['entity']} ({reject['reason']})"
        console.print(f"  rejected: {what}: {reject['remedy']}")
    if one["open_effects"]:
        console.print(f"  routes: {one['open_effects']} not done yet")
    if one["quota"]:
        console.print(f"  quota of the day: {one['quota']['day_left']} of {one['quota']['day_limit']} left")
    for run in one["runs"]:
        started = _instant(run["started_at"])
        took = "" if run["seconds"] is None else f" in {run['seconds']:.1f} s"
        console.print(f"  run {run['run_id']}: {run['status']}{took}, {run['kind']}, {started}")
