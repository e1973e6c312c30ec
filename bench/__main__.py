"""``python -m bench [EXPERIMENT ...]``: measure, and print one table; ``make bench`` runs all of it.

A figure is worth as much as the machine was quiet: the load before and after stands below the table.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from bench import cost, failures, idle, memory, operate, pace, unchanged
from bench.scene import Sizes, Tell
from bench.table import Row, show

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

LONG: dict[str, Callable[[Sizes, Tell], list[Row]]] = {"operate": operate.live}
"""Only when asked for."""


def main(arguments: Sequence[str] | None = None, sizes: Sizes | None = None) -> int:
    """Run the named experiments, or all; return 1 where a figure does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("experiment", nargs="*", help=f"of: {', '.join(EXPERIMENTS)}; none: all")
    parser.add_argument("--minutes", type=float, help=f"of {', '.join(LONG)}, which only run when named")
    asked = parser.parse_args(arguments)
    chosen, every = asked.experiment or list(EXPERIMENTS), EXPERIMENTS | LONG
    if unknown := [name for name in chosen if name not in every]:
        parser.error(f"no experiment {', '.join(unknown)}; there are: {', '.join(every)}")
    sizes = sizes or Sizes()
    if asked.minutes:
        sizes = replace(sizes, minutes=asked.minutes)
    started, rows, load = time.monotonic(), list[Row](), os.getloadavg()[0]

    def tell(text: str) -> None:
        sys.stderr.write(f"{time.monotonic() - started:5.0f} s  {name}: {text}\n")
        sys.stderr.flush()

    try:
        for name in chosen:
            rows += every[name](sizes, tell)
    finally:
        show(rows)
    sys.stdout.write(
        f"\n{os.cpu_count()} processors, load {load:.1f} before and {os.getloadavg()[0]:.1f} after, "
        f"{time.monotonic() - started:.0f} s in all\n"
    )
    return 1 if any(row.holds is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
