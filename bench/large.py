"""An account of a million contacts of which nothing has changed: speed and memory, beside smaller ones."""

from __future__ import annotations

import json
from typing import Any

from bench.loader import differences
from bench.scene import UNLIMITED, Scene, Sizes, Tell, scene
from bench.table import Row

PEAK = 400
"""MB."""
SPEED = 25_000
"""Contacts a second of CPU time, beyond reading and decoding their pages as bare httpx does."""
SAME = 1.1
"""By how much the peak memory of two sizes may differ and still be called the same."""
GROWTH = 1.2
"""By how much a contact may cost more CPU time than in a smaller account."""
PAGE = 100


def unchanged(sizes: Sizes, tell: Tell) -> list[Row]:
    """Second runs of accounts of several sizes, whose ledgers are filled as by a first one."""
    rows, runs = [_filled(sizes, tell)], {}
    for number in sizes.large:
        with scene(contacts=number, activities=False, **UNLIMITED) as made:
            tell(f"filling the ledger with {number:,} contacts")
            made.run("fill")
            tell("second run")
            made.box.reset_counters()
            run = made.sync(only=["contacts"])
            run["asked"] = made.box.counters()["highlevel"]["requests"]
            tell("bare httpx reads the same pages")
            run["bare"] = bare_pages(made, number)
            runs[number] = run
    return [*rows, _fastest(runs), _growth(runs)]


def bare_pages(made: Scene, number: int) -> dict[str, Any]:
    """What it takes to read and decode an account's pages at all."""
    pages = range(1, number // PAGE + 2)
    listed = {
        "headers": {"X-Auth-Token": made.box.api_key},
        "requests": [
            {
                "method": "GET",
                "url": f"{made.box.voipstudio_url}/contacts?page={page}&limit={PAGE}&sort=id&dir=ASC",
            }
            for page in pages
        ],
    }
    path = made.folder / "pages.json"
    path.write_text(json.dumps(listed), encoding="utf-8")
    return made.run("requests", path=str(path), alone=len(pages), concurrency=1)


def _filled(sizes: Sizes, tell: Tell) -> Row:
    """Whether a ledger that the bench fills is that of a first sync."""
    scenario: dict[str, Any] = {"contacts": sizes.unchanged, "activities": False, **UNLIMITED}
    with scene(**scenario) as made:
        tell(f"a first sync of {sizes.unchanged:,} contacts, and a ledger filled as if by one")
        made.sync(only=["contacts"])
        synced = made.ledger
        made.box.reset(**scenario)
        made.fresh()
        made.run("fill")
        number = differences(synced, made.ledger)
    return Row(
        f"the ledger as the bench fills it, against a first sync's, {sizes.unchanged:,} contacts",
        "0 rows differ, but for ids and times",
        f"{number} rows differ",
        "0",
        number == 0,
    )


def _cpu(run: dict[str, Any]) -> float:
    return float(run["user"] + run["system"])


def _fastest(runs: dict[int, dict[str, Any]]) -> Row:
    peaks = {number: run["peak"] for number, run in runs.items()}
    number, run = max(runs.items())
    read = _cpu(run["bare"])
    speed = number / (_cpu(run) - read)
    asked, states = (
        sum(one["asked"] for one in runs.values()),
        {one["report"]["status"] for one in runs.values()},
    )
    spread = max(peaks.values()) / min(peaks.values())
    return Row(
        f"second run, {number:,} unchanged contacts",
        f"≥ {SPEED:,} contacts/s; ≤ {PEAK} MB and the same at each size; 0 requests to the destination",
        f"{speed:,.0f} contacts/s of CPU beyond reading ({number / _cpu(run):,.0f} with it; "
        f"wall {run['wall']:.0f} s); {asked} requests; "
        + ", ".join(f"{mb:.0f} MB at {one:,}" for one, mb in peaks.items()),
        f"bare httpx reads and decodes the pages in {read:.1f} s of CPU, {run['bare']['wall']:.0f} s of wall",
        speed >= SPEED and max(peaks.values()) <= PEAK and spread <= SAME and not asked and states == {"ok"},
    )


def _growth(runs: dict[int, dict[str, Any]]) -> Row:
    each = {number: 1e6 * _cpu(run) / number for number, run in sorted(runs.items())}
    took = list(each.values())
    worst = max(larger / smaller for at, smaller in enumerate(took) for larger in took[at:])
    return Row(
        "growth: CPU time per unchanged contact, with what a run costs besides",
        f"no size costs {GROWTH - 1:.0%} more than a smaller one",
        ", ".join(f"{one:.1f} µs at {number:,}" for number, one in each.items()) + f": {worst - 1:+.0%}",
        "0 %",
        worst <= GROWTH,
    )
