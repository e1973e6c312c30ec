"""A process that dies at some write to the ledger, played within this one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tasks.ledger import journal
from tasks.ledger.database import Database
from tasks.ledger.journal import Journal

BESIDE = {journal.__name__, "tasks.ledger.lease", "tasks.ledger.migrate", "tasks.engine.conclude"}
"""Whose transactions are counted elsewhere, or are about the run and its lease, not about the work."""


class Crash(BaseException):
    """The process is gone."""


@contextmanager
def dying(at: int, saved: bool) -> Iterator[None]:
    """At the ``at``-th write of the work to the ledger, before or after it is durable, the process dies."""
    save, do, left = Journal.save, Database.do, iter(range(at, 0, -1))

    async def counted(write):
        last = next(left, 0) == 1
        if last and not saved:
            raise Crash
        result = await write()
        if last:
            raise Crash
        return result

    async def dying_save(self, *what, **more):
        await counted(lambda: save(self, *what, **more))

    async def dying_do(self, work):
        return await (do(self, work) if _is_beside(work) else counted(lambda: do(self, work)))

    Journal.save, Database.do = dying_save, dying_do
    try:
        yield
    finally:
        Journal.save, Database.do = save, do


def _is_beside(work):
    """Whether a transaction is counted elsewhere, or about the run and its lease, not about the work."""
    func = getattr(work, "func", work)
    return func.__module__ in BESIDE or "open_run" in func.__qualname__


def is_crash(error: BaseException) -> bool:
    """Whether the process died, of whatever was under way at the time."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_crash(one) for one in error.exceptions)
    return isinstance(error, Crash)
