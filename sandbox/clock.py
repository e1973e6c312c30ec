"""The sandbox's idea of now: real time plus an offset that a test may push forward."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """Wall-clock seconds; ``advance`` lets tokens expire and days pass without waiting."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        """Seconds since the epoch."""
        return time.time() + self.offset

    def advance(self, seconds: float) -> None:
        """Moves the sandbox's time forward."""
        self.offset += seconds


def iso_ms(seconds: float) -> str:
    """An instant as both services' JSON prints it: UTC, milliseconds, ``Z``."""
    whole = datetime.fromtimestamp(seconds, UTC)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{whole.microsecond // 1000:03d}Z"
