"""The run that happens most: nothing has changed at the source."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.large import bare_pages
from bench.scene import UNLIMITED, Scene, Sizes, Tell, scene
from bench.table import Row

LIMIT = 0.8
"""Seconds of wall time that are not waiting for the source."""


def second_run(sizes: Sizes, tell: Tell) -> list[Row]:
    """Sync an account, and then again: the second sync is the one that counts."""
    number = sizes.unchanged
    with scene(contacts=number, activities=False, **UNLIMITED) as made:
        tell(f"first sync of {number} contacts")
        made.sync(only=["contacts"])
        tell("second syncs")
        made.box.reset_counters()
        runs = [made.sync(only=["contacts"]) for _ in range(sizes.rounds)]
        requests = _requests(made)
        rows = [_row(f"second run, {number:,} unchanged contacts", runs, requests, bare_pages(made, number))]
        if sizes.with_prefect:
            tell("the same through Prefect's flow")
            made.box.reset_counters()
            runs = [made.run("flow", options={"only": ["contacts"]}) for _ in range(sizes.rounds)]
            rows.append(_row("… as Prefect's flow", runs, _requests(made), None))
    return rows


def _row(experiment: str, runs: list[dict[str, Any]], requests: int, bare: dict[str, Any] | None) -> Row:
    took = [run["wall"] - run["waited"] for run in runs]
    middle = sorted(zip(took, runs, strict=True), key=lambda pair: pair[0])[len(runs) // 2][1]
    spread = f" (median of {len(runs)}: {min(took):.2f} to {max(took):.2f})" if len(runs) > 1 else ""
    apart = f"; start-up apart: {middle['startup']:.1f} s"
    ideal = "0 requests"
    if bare is not None:
        ideal += (
            f"; bare httpx reads and decodes the pages in {bare['wall'] - bare['waited']:.2f} s + waiting"
        )
    ended = {run["report"]["status"] for run in runs}
    return Row(
        experiment,
        f"0 requests to the destination; ≤ {LIMIT} s of wall time less waiting for the source",
        f"{requests} requests; {median(took):.2f} s{spread}, wall {middle['wall']:.2f} s, "
        f"of it waiting {middle['waited']:.2f} s{apart}",
        ideal,
        requests == 0 and median(took) <= LIMIT and ended == {"ok"},
        "0.9 s",
    )


def _requests(made: Scene) -> int:
    return int(made.box.counters()["highlevel"]["requests"])
