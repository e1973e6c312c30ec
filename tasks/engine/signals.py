"""SIGTERM and SIGINT as a request to stop, while runs are under way."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

_under_way: list[Callable[[str], None]] = []
"""How the runs of this process are asked to stop: a signal stops them all."""
_caught: list[tuple[signal.Signals, Any]] = []
"""The signals that we took, each with what it did before."""


@contextmanager
def stop_on_signals(ask: Callable[[str], None]) -> Iterator[None]:
    """Turn SIGTERM and SIGINT into a request to stop, where this is the process's main loop."""

    def stop(received: signal.Signals) -> None:
        for one in _under_way:
            one(f"stopped by {received.name}: what was done is recorded, the next run continues")
        log.warning("%s: stopping, what is under way is finished and recorded", received.name)

    loop, first = asyncio.get_running_loop(), not _under_way
    _under_way.append(ask)
    for received in (signal.SIGTERM, signal.SIGINT) if first else ():
        try:
            before = signal.getsignal(received)
            loop.add_signal_handler(received, stop, received)
        except (ValueError, RuntimeError, NotImplementedError):
            continue  # not the main thread, or no such signals here: its owner stops us otherwise
        _caught.append((received, before))
    try:
        yield
    finally:
        _under_way.remove(ask)
        while _caught and not _under_way:
            received, before = _caught.pop()
            loop.remove_signal_handler(received)
            signal.signal(received, before)
