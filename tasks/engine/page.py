"""The history of accounts as one page of HTML that needs nothing else: no network, no other file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from html import escape
from typing import Any

from sqlalchemy import Connection

from tasks.engine.chronicle import DAY, Entry, entries
from tasks.engine.overview import instant
from tasks.engine.status import status
from tasks.ledger import migrate
from tasks.ledger.database import opened
from tasks.ledger.sealing import Sealer
from tasks.settings import Account, State

_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #343a40; background: #f8f9fa; margin: 0; }
main { max-width: 1180px; margin: 0 auto; padding: 24px; }
h1 { font-size: 24px; margin: 0; }
h2 { font-size: 20px; margin: 40px 0 12px; }
h3 { font-size: 15px; margin: 0 0 8px; }
p { margin: 4px 0 12px; }
.row, .cards { display: grid; gap: 16px; margin-bottom: 16px; }
.row { grid-template-columns: repeat(2, minmax(0, 1fr)); }
.wide { grid-column: 1 / -1; }
.cards { grid-template-columns: repeat(auto-fit, minmax(200px, 1fr)); }
.card { background: #fff; border: 1px solid #e9ecef; border-radius: 8px; padding: 14px 16px; }
@media (max-width: 900px) { .row { grid-template-columns: minmax(0, 1fr); } }
.card b { display: block; font-size: 22px; line-height: 1.3; }
.quiet { color: #6c757d; }
.bad { color: #c1121f; }
.fair { color: #b06000; }
.good { color: #1b7f5c; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: left; padding: 4px 12px 4px 0; border-bottom: 1px solid #e9ecef; vertical-align: top; }
th { font-weight: 600; }
td.number, th.number { text-align: right; white-space: nowrap; }
"""
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
_FEELING = {"ok": "good", "degraded": "fair", "failed": "bad"}


def page(state: State, accounts: Mapping[str, Account], *, days: int) -> str:
    """Return the page of these accounts, of the last so many days."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - takes a while

    with opened(state.url, Sealer.of_ledger(state)) as database:
        if database.now_look(migrate.level) != migrate.HEAD:
            database.now_do(migrate.upgrade)
        until = database.now()
        since = (until // DAY - days + 1) * DAY
        sections = [
            database.now_look(partial(_section, name=name, account=account, since=since, until=until))
            for name, account in accounts.items()
        ]
    title = "voipsync: " + ", ".join(accounts)
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style>",
            f"<script>{get_plotlyjs()}</script></head><body><main>",
            f"<h1>{escape(title)}</h1>",
            f'<p class="quiet">{instant(since)} to {instant(until)}; all times are UTC.</p>',
            *sections,
            "</main></body></html>",
        )
    )


def _section(connection: Connection, name: str, account: Account, since: float, until: float) -> str:
    one = status(connection, name, account)
    found = entries(connection, name, since)
    limit = one["quota"]["day_limit"] if one["quota"] else account.destination.quota.per_day
    parts = [f"<h2>{escape(name)}</h2>", _cards(one, until)]
    parts.append(
        _charts(name, found, since, until, limit) if found else _card("No run has ended in this time.")
    )
    parts.append(_tables(one))
    return "\n".join(parts)


def _cards(one: Mapping[str, Any], now: float) -> str:
    last = one["runs"][0] if one["runs"] else None
    as_of, quota = one["as_of"], one["quota"]
    known = {state for counts in one["records"].values() for state in counts}
    synced = sum(counts.get("synced", 0) for counts in one["records"].values())
    facts = [
        (
            "HighLevel shows VoIPstudio as of",
            instant(as_of),
            "" if as_of is None else f"{_span(now - as_of)} ago",
        ),
        ("records in step", f"{synced:,}", f"of {_all(one):,} known" if known else ""),
        ("records that are open", f"{one['open']:,}", "need attention" if one["open"] else "nothing to do"),
        (
            "requests left today",
            "unknown" if quota is None else f"{quota['day_left']:,}",
            "" if quota is None else f"of {quota['day_limit']:,}",
        ),
    ]
    cards = [
        _card(f"{label}<b>{value}</b><span class='quiet'>{aside}</span>") for label, value, aside in facts
    ]
    feeling = _FEELING.get(last["status"], "") if last else ""
    told = f"<b class='{feeling}'>{escape(last['status'])}</b>{_began(last)}" if last else "<b>none</b>"
    return f"<div class='cards'>{_card('last run' + told)}{''.join(cards)}</div>"


def _began(run: Mapping[str, Any]) -> str:
    return f"<span class='quiet'>{escape(run['kind'])}, {instant(run['started_at'])}</span>"


def _all(one: Mapping[str, Any]) -> int:
    return sum(sum(counts.values()) for counts in one["records"].values())


def _charts(name: str, found: Sequence[Entry], since: float, until: float, limit: int) -> str:
    from tasks.engine.charts import charts  # noqa: PLC0415 - imports plotly, which takes a while

    drawn = {
        key: figure.to_html(
            full_html=False,
            include_plotlyjs=False,
            div_id=f"{name}-{key}",
            default_height="280px",
            config={"displaylogo": False, "displayModeBar": False, "responsive": True},
        )
        for key, figure in charts(found, since, until, limit).items()
    }
    first, *others = drawn.values()
    return f"<div class='row'>{_card(first, wide=True)}{''.join(map(_card, others))}</div>"


def _tables(one: Mapping[str, Any]) -> str:
    shown = []
    if one["rejected"]:
        rows = [
            (one["entity"], one["reason"], one["remedy"], f"{one['records']:,}") for one in one["rejected"]
        ]
        shown.append(_table("Rejected", ("entity", "reason", "what to do", "records"), rows))
    if one["runs"]:
        rows = [
            (
                instant(run["started_at"]),
                run["kind"],
                run["status"],
                "under way" if run["seconds"] is None else f"{run['seconds']:,.1f} s",
            )
            for run in one["runs"]
        ]
        shown.append(_table("Last runs", ("started", "kind", "status", "took"), rows))
    return "<div class='row'>" + "".join(map(_card, shown)) + "</div>"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose last column is a number."""

    def line(cells: Sequence[str], tag: str) -> str:
        marks = [""] * (len(cells) - 1) + [" class='number'"]
        return "".join(
            f"<{tag}{mark}>{escape(cell)}</{tag}>" for cell, mark in zip(cells, marks, strict=True)
        )

    body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return f"<h3>{title}</h3><table><tr>{line(head, 'th')}</tr>{body}</table>"


def _card(inner: str, *, wide: bool = False) -> str:
    return f"<div class='card{' wide' if wide else ''}'>{inner}</div>"


def _span(seconds: float) -> str:
    for length, word in ((DAY, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {word}"
    return f"{seconds:.0f} seconds"
