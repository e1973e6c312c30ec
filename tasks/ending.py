"""A last moment for what is under way, set when somebody asks for the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.errors import Fatal


class Ending:
    """Ends whatever goes on within it, once that is asked for."""

    def __init__(self) -> None:
        self._error: Fatal | None = None
        self._at: float | None = None
        self._inside: set[asyncio.Timeout] = set()

    def call(self, error: Fatal, *, within: float) -> None:
        """What is not over within so many seconds, or is begun after them, raises this error."""
        if self._error is None:
            self._error, self._at = error, asyncio.get_running_loop().time() + within
            for limit in self._inside:
                limit.reschedule(self._at)

    @asynccontextmanager
    async def heeded(self) -> AsyncIterator[None]:
        """Whatever is done inside ends when its time is up.

        Raises:
            Fatal: what `call` was given.
        """
        if self._error and self._at is not None and self._at <= asyncio.get_running_loop().time():
            raise self._error
        limit = asyncio.timeout_at(self._at)
        try:
            async with limit:
                self._inside.add(limit)
                yield
        except TimeoutError:
            if self._error is None or not limit.expired():
                raise
            raise self._error from None
        finally:
            self._inside.discard(limit)
