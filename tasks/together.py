"""Several coroutines at once, failing as one: what `asyncio.TaskGroup` does, without its groups of errors."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")


async def together(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run all of them at once and return their results in order.

    The first failure ends the others and is raised as it is.
    """
    try:
        async with asyncio.TaskGroup() as group:
            running = [group.create_task(coroutine) for coroutine in coroutines]
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return [task.result() for task in running]


async def both(one: Coroutine[Any, Any, A], other: Coroutine[Any, Any, B]) -> tuple[A, B]:
    """As `together`, for two that return different things."""
    try:
        async with asyncio.TaskGroup() as group:
            first, second = group.create_task(one), group.create_task(other)
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from None
    return first.result(), second.result()


async def to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it to its end, also where whoever waits for it is cancelled: that takes effect after it."""
    running = asyncio.ensure_future(coroutine)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        if not running.cancelled():
            running.exception()  # whoever was cancelled has no use for it
        raise
