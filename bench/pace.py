"""As fast as the quota allows, and no faster; alone, and where two processes start at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench.scene import Scene, Sizes, Tell, duplicates, scene
from bench.table import Row

SLACK = 1.1
"""Of the ideal: 22 s where 20 s are."""
BESIDES = 12


def alone(sizes: Sizes, tell: Tell) -> list[Row]:
    """The first sync of a small account under the documented quota."""
    with _people(sizes) as made:
        tell("a first sync under the quota")
        rows = [_alone(_name(sizes), made, made.sync(), sizes)]
    if sizes.with_prefect:
        with _people(sizes) as made:
            tell("the same through Prefect's flow")
            rows.append(_alone("… as Prefect's flow", made, made.run("flow"), sizes))
    return rows


def together(sizes: Sizes, tell: Tell) -> list[Row]:
    """The same, started twice at the same time."""
    with _people(sizes) as made:
        tell("two syncs at the same time")
        processes = [made.start("engine") for _ in range(2)]
        runs = [process.end() for process in processes]
        counters, delivered = made.box.counters()["highlevel"], made.contacts_delivered()
        peak = made.box.peak()
    people = sizes.people - sizes.lacking
    statuses = [run["report"]["status"] for run in runs]
    return [
        Row(
            "the same with two processes",
            f"≤ {sizes.burst} in any sliding {sizes.interval:g} s, no duplicate",
            f"peak {peak} in {sizes.interval:g} s, {counters['throttled']} answers 429, "
            f"{duplicates(delivered)} duplicates, {len(delivered)} contacts, "
            f"{max(run['wall'] for run in runs):.1f} s until both had ended",
            f"peak {sizes.burst}, {_ideal(sizes):.0f} s",
            peak <= sizes.burst
            and not counters["throttled"]
            and not duplicates(delivered)
            and len(delivered) == people
            and statuses == ["ok", "ok"],
        )
    ]


def _alone(name: str, made: Scene, run: dict[str, Any], sizes: Sizes) -> Row:
    counters, delivered = made.box.counters()["highlevel"], made.contacts_delivered()
    people, limit = sizes.people - sizes.lacking, _ideal(sizes) * SLACK
    besides = counters["requests"] - counters["writes"].get("create-contact", 0)
    started = f", start-up apart: {run['startup']:.1f} s" if "Prefect" in name else ""
    return Row(
        name,
        f"≤ {limit:.0f} s, no 429, ≤ {BESIDES} requests besides the creations",
        f"{run['wall']:.1f} s, {counters['throttled']} answers 429, {besides} requests besides "
        f"{len(delivered)} creations, peak {made.box.peak()}{started}",
        f"{_ideal(sizes):.0f} s + latency",
        run["wall"] <= limit
        and not counters["throttled"]
        and besides <= BESIDES
        and len(delivered) == people
        and not duplicates(delivered)
        and run["report"]["status"] == "ok",
        "61 s (sequential)",
    )


def _name(sizes: Sizes) -> str:
    return (
        f"{sizes.people} contacts, {sizes.lacking} of them without e-mail and phone, "
        f"{sizes.latency * 1000:.0f} ms latency, {sizes.burst} per {sizes.interval:g} s"
    )


def _ideal(sizes: Sizes) -> float:
    """Until the last creation may leave: full windows before it."""
    return (sizes.people - sizes.lacking - 1) // sizes.burst * sizes.interval


@contextmanager
def _people(sizes: Sizes) -> Iterator[Scene]:
    """An account without activities, with tags and further numbers."""
    limits: dict[str, Any] = {"burst": sizes.burst, "interval": sizes.interval}
    with scene(contacts=0, source={"streams": False}, **limits) as made:
        for number in range(sizes.people):
            reached = {"email": f"ann.{number}@example.com", "tel": f"+4471{number:08d}"}
            lacking = number * sizes.lacking % sizes.people < sizes.lacking
            made.box.insert_source(
                "contacts",
                first_name="Ann",
                last_name=f"No {number}",
                labels=["Customer", f"Group {number % 7}"],
                mobile=None if lacking else f"+4472{number:08d}",
                **({} if lacking else reached),
            )
        made.box.options(voipstudio={"latency": sizes.latency}, highlevel={"latency": sizes.latency})
        yield made
