"""Memory does not grow with the account."""

from __future__ import annotations

from bench.scene import UNLIMITED, Sizes, Tell, scene
from bench.table import Row

GROWTH = 1.15
LIMIT = 300
"""MB with Prefect."""


def peak(sizes: Sizes, tell: Tell) -> list[Row]:
    """The peak of first syncs of small and large accounts."""
    peaks, idle = {}, 0.0
    for number in sizes.memory:
        tell(f"first sync of {number} contacts")
        with scene(contacts=number, activities=False, **UNLIMITED) as made:
            idle = idle or made.run("nothing")["peak"]
            peaks[number] = made.sync(only=["contacts"])["peak"]
    first = peaks[sizes.memory[0]]
    growth = max(peaks.values()) / first
    rows = [
        Row(
            "peak memory of a first sync, " + " / ".join(f"{number:,}" for number in peaks) + " contacts",
            f"≤ {GROWTH - 1:.0%} growth beyond the first",
            " / ".join(f"{mb:.0f}" for mb in peaks.values()) + f" MB: {growth - 1:+.0%}",
            f"0 %; {idle:.0f} MB with all imported",
            growth <= GROWTH,
        )
    ]
    if sizes.with_prefect:
        tell(f"first sync of {sizes.with_prefect} contacts as Prefect's flow")
        with scene(contacts=sizes.with_prefect, activities=False, **UNLIMITED) as made:
            run = made.run("flow", options={"only": ["contacts"]})
        rows.append(
            Row(
                f"… {sizes.with_prefect:,} contacts as Prefect's flow",
                f"≤ {LIMIT} MB",
                f"{run['peak']:.0f} MB",
                "",
                run["peak"] <= LIMIT,
            )
        )
    return rows
