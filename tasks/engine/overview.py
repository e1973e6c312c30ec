"""How an account stands, as a page in markdown: the Prefect UI shows it, without personal data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tasks.engine.report import Report, markdown
from tasks.settings import ENTITIES

_FULL, _EMPTY, _BAR = "▇", "░", 20
_SPARKS = "·▁▂▃▄▅▆▇█"
_ORDER = ("synced", "skipped", "waiting", "rejected", "ambiguous", "unresolved", "left", "gone")
"""States of records, the good ones first."""


def overview(one: Mapping[str, Any], *, next_run: float | None = None) -> str:
    """The page of an account.

    Args:
        one: how it stands, as `tasks.engine.status.status` tells.
        next_run: when the next run is due, where that is known.
    """
    parts = [
        _headline(one, next_run),
        _totals(one["records"]),
        _rejects(one["rejected"]),
        people(one["attention"]),
        _requests(one["quota"], one["requests_by_hour"]),
        _runs(one["runs"]),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(one: Mapping[str, Any]) -> str:
    """How an account stands, in a few words."""
    last = one["runs"][0]["status"] if one["runs"] else "never run"
    return f"{one['account']}: {last}, {one['open']} open, as of {instant(one['as_of'])}"


def summary(report: Report, attention: Sequence[Mapping[str, Any]]) -> str:
    """The page of a run: its report, and the records that a person should look at."""
    return "\n\n".join(part for part in (markdown(report).rstrip(), people(attention)) if part) + "\n"


def people(attention: Sequence[Mapping[str, Any]]) -> str:
    """The records that need a person, with links to their contacts."""
    if not attention:
        return ""
    rows = [
        (
            one["entity"],
            f"`{one['source_id']}`",
            one["reason"],
            ", ".join(f"[{contact['id']}]({contact['url']})" for contact in one["contacts"]) or "not there",
        )
        for one in attention
    ]
    head = ("entity", "VoIPstudio id", "reason", "contact in HighLevel")
    remedies = {one["reason"]: f"- {one['reason']}: {one['remedy']}" for one in attention}
    said = ["## Records that need a person", table(head, rows), "\n".join(remedies.values())]
    return "\n\n".join(said)


def table(head: Sequence[str], rows: Sequence[Sequence[object]], *, numbers: int = 0) -> str:
    """A table in markdown; its last ``numbers`` columns are numbers."""
    kinds = ["---"] * (len(head) - numbers) + ["---:"] * numbers
    cells = [head, kinds, *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in cells)


def bar(part: float) -> str:
    """A part of one as a bar of text."""
    full = round(min(max(part, 0.0), 1.0) * _BAR)
    return _FULL * full + _EMPTY * (_BAR - full)


def spark(numbers: Sequence[int]) -> str:
    """Numbers as a line of bars; nothing is a dot, the most a full one."""
    most = max(numbers, default=0)
    return "".join(_SPARKS[-(-number * (len(_SPARKS) - 1) // most) if most else 0] for number in numbers)


def instant(seconds: float | None) -> str:
    """An instant, its zone stated."""
    return "never" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _headline(one: Mapping[str, Any], next_run: float | None) -> str:
    last = one["runs"][0] if one["runs"] else None
    said = [f"# {one['account']}", ""]
    if one["as_of"] is None:
        said.append("No sync has succeeded yet.")
    else:
        said.append(f"HighLevel shows VoIPstudio as it was at **{instant(one['as_of'])}**")
        said[-1] += f", but for {one['open']} records that are open." if one["open"] else "."
    if last is not None:
        said += ["", f"Last run: **{last['status']}**, {last['kind']}, {instant(last['started_at'])}."]
        said += ["", *(f"- {warning}" for warning in last["warnings"])] if last["warnings"] else []
    if next_run is not None:
        said += ["", f"Next run due: {instant(next_run)}."]
    return "\n".join(said)


def _totals(entities: Mapping[str, Mapping[str, int]]) -> str:
    known = {state for counts in entities.values() for state in counts}
    states = [state for state in _ORDER if state in known] + sorted(known - {*_ORDER})
    known_ones = [entity for entity in ENTITIES if entity in entities]
    rows = [[entity, *(entities[entity].get(state, 0) for state in states)] for entity in known_ones]
    return "## Records\n\n" + table(["entity", *states], rows, numbers=len(states)) if rows else ""


def _rejects(rejected: Sequence[Mapping[str, Any]]) -> str:
    rows = [(one["entity"], one["reason"], one["remedy"], one["records"]) for one in rejected]
    head = ("entity", "reason", "what to do", "records")
    return "## Rejected\n\n" + table(head, rows, numbers=1) if rows else ""


def _requests(quota: Mapping[str, Any] | None, by_hour: Sequence[int]) -> str:
    said = ["## Requests to HighLevel today (UTC)", ""]
    if quota is not None:
        limit, left = quota["day_limit"], quota["day_left"]
        used = 1 - left / limit
        said += [f"`{bar(used)}` {used:.1%} of the location's {limit:,} used, {left:,} left", ""]
    said += [f"`{spark(by_hour)}` by hour since 00:00, {sum(by_hour):,} by this account"]
    return "\n".join(said)


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            instant(run["started_at"]),
            run["kind"] if run["mode"] == "incremental" else f"{run['kind']} ({run['mode']})",
            run["status"],
            f"`{run['run_id']}`",
            "under way" if run["seconds"] is None else f"{run['seconds']:.1f} s",
            run["written"],
        )
        for run in runs
    ]
    head = ("started", "kind", "status", "run", "took", "records written")
    return "## Last runs\n\n" + table(head, rows, numbers=2) if rows else ""
