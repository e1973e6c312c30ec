"""``python -m bench [EXPERIMENT ...]``: measure, and print one table; ``make bench`` runs all of it.

A figure is worth as much as the machine was quiet: the load before and after stands below the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import fields, replace

from bench import cost, failures, fleet, idle, large, memory, model, operate, pace, unchanged
from bench.scene import Sizes, Tell
from bench.table import Row, machine, show

EXPERIMENTS: dict[str, Callable[[Sizes, Tell], list[Row]]] = {
    "second-run": unchanged.second_run,
    "idle": idle.idle,
    "kill": failures.kill,
    "lost-answers": failures.lost_answers,
    "poison": failures.poison,
    "pace": pace.alone,
    "two-processes": pace.together,
    "cpu": cost.user_cpu,
    "memory": memory.peak,
}

SCALE: dict[str, Callable[[Sizes, Tell], list[Row]]] = {
    "model": model.checked,
    "large": large.unchanged,
    "first-sync": cost.first_sync,
    "fleet": fleet.alive,
    "fleet-killed": fleet.killed,
}
"""What `make bench-scale` runs; ``scale`` stands for all of it."""
LONG: dict[str, Callable[[Sizes, Tell], list[Row]]] = {"operate": operate.live}
"""Only when asked for."""


def main(arguments: Sequence[str] | None = None, sizes: Sizes | None = None) -> int:
    """Run the named experiments, or all; return 1 where a figure does not hold."""
    rare = SCALE | LONG
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "experiment",
        nargs="*",
        help=f"of: {', '.join(EXPERIMENTS)}; none: all; only when named: {', '.join(rare)}, scale",
    )
    parser.add_argument("--minutes", type=float, help=f"of {', '.join(LONG)}")
    parser.add_argument(
        "--size",
        action="append",
        default=[],
        metavar="NAME=NUMBER[,NUMBER]",
        help="try it smaller, such as --size large=1000,2000 --size accounts=8",
    )
    asked = parser.parse_args(arguments)
    chosen, every = asked.experiment or list(EXPERIMENTS), EXPERIMENTS | rare
    chosen = [one for name in chosen for one in (SCALE if name == "scale" else [name])]
    if unknown := [name for name in chosen if name not in every]:
        parser.error(f"no experiment {', '.join(unknown)}; there are: {', '.join(every)}")
    sizes = sizes or Sizes()
    if asked.minutes:
        sizes = replace(sizes, minutes=asked.minutes)
    try:
        sizes = sized(sizes, asked.size)
    except ValueError as error:
        parser.error(f"--size: {error}")
    options = "".join(f" --size {one}" for one in asked.size) + (
        f" --minutes {asked.minutes:g}" if asked.minutes else ""
    )
    started, rows, load = time.monotonic(), list[Row](), os.getloadavg()[0]

    def tell(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started:5.0f} s  {name}: {text}\n")
        sys.stderr.flush()

    try:
        for name in chosen:
            made = every[name](sizes, tell)
            rows += [replace(row, command=f"python -m bench {name}{options}") for row in made]
    finally:
        show(rows)
    sys.stdout.write(
        f"\n{machine()}; load {load:.1f} before and {os.getloadavg()[0]:.1f} after, "
        f"{time.monotonic() - started:.0f} s in all\n"
    )
    return 1 if any(row.holds is False for row in rows) else 0


def sized(sizes: Sizes, changes: Sequence[str]) -> Sizes:
    """Sizes with some of them changed.

    Args:
        sizes: as they are.
        changes: ``name=number``, or several numbers with commas.

    Raises:
        ValueError: there is no such size, or it is no number.
    """
    known = {one.name: getattr(sizes, one.name) for one in fields(sizes)}
    for change in changes:
        name, _, text = change.partition("=")
        if name not in known:
            raise ValueError(f"no {name!r}; there are: {', '.join(known)}")
        now = known[name]
        known[name] = tuple(map(int, text.split(","))) if isinstance(now, tuple) else type(now)(text)
    return Sizes(**known)


if __name__ == "__main__":
    sys.exit(main())
