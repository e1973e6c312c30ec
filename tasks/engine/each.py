"""Work for each of many, some at the same time, until the run is asked to stop."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Coroutine
from typing import Any, TypeVar

from tasks.engine.run import Run
from tasks.together import together

T = TypeVar("T")


async def each(
    run: Run, items: Collection[T], work: Callable[[T], Coroutine[Any, Any, None]], places: int
) -> None:
    """Do the work for each, at most so many at once.

    Raises:
        Stopped: the run was asked to stop; what was under way is done, the rest is not begun.
    """
    queue = deque(items)

    async def worker() -> None:
        while queue and not run.stop_reason:
            await work(queue.popleft())

    await together(worker() for _ in range(min(places, len(items))))
    run.check()
