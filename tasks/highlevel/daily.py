"""The day's budget of one location, as far as it is known, and its reserve for others."""

from collections.abc import Sequence
from datetime import UTC, datetime

import httpx

from tasks.errors import QuotaSpent
from tasks.settings import Quota as QuotaSettings

_DAY = 86_400.0
_HOUR = 3_600.0


class Day:
    """Counts down what the settings and then the answers' headers say is left.

    When the day ends is not documented: ``x-ratelimit-daily-reset`` is believed where it is sent.
    Else what we count starts anew at midnight UTC; a day that the service calls spent is asked about
    again after an hour, for the price of one request.

    Args:
        settings: the day's budget to begin with, and the reserve.
        where: path of these settings, for messages.
        wall: now, in seconds since the epoch.
    """

    def __init__(self, settings: QuotaSettings, where: str, wall: float) -> None:
        self._reserve = settings.daily_reserve
        self._where = where
        self._limit = self.left = settings.per_day
        self._ends, self._reset_known = _midnight_after(wall), False

    def check(self, wall: float) -> None:
        """Raise `QuotaSpent` where nothing but the reserve is left."""
        if wall >= self._ends:
            self.left = self._limit
            self._ends, self._reset_known = _midnight_after(wall), False
        if self.left <= self._reserve:
            ends = datetime.fromtimestamp(self._ends, UTC)
            when = f"it resets at {ends:%Y-%m-%d %H:%M} UTC" if self._reset_known else "reset time unknown"
            raise QuotaSpent(
                f"HighLevel: the day's {self._limit} requests are used up to the reserve of {self._reserve} "
                f"({self._where}.daily_reserve); {when}"
            )

    def follow(self, headers: httpx.Headers, *, later: int, wall: float) -> None:
        """Learn from an answer; ``later`` requests may have been counted after it."""
        limit = number(headers, "x-ratelimit-limit-daily", least=1)
        if limit is not None:
            self.left += limit - self._limit
            self._limit = limit
        reset = number(headers, "x-ratelimit-daily-reset", least=1)
        if reset is not None:  # undocumented: milliseconds, until then or of the epoch
            ends = wall + reset / 1000 if reset <= _DAY * 1100 else reset / 1000
            if wall < ends <= wall + _DAY * 1.1:
                self._ends, self._reset_known = ends, True
        left = number(headers, "x-ratelimit-daily-remaining", least=0)
        if left is not None:
            self.left = left - later
        if left == 0 and not self._reset_known:
            self._ends = min(self._ends, wall + _HOUR)

    def tell(self) -> list[float]:
        """What the next owner must know."""
        return [self._limit, self.left, self._ends, self._reset_known]

    def hear(self, told: Sequence[float], wall: float) -> None:
        """Take over what another owner told, if the day is not over."""
        limit, left, ends, known = told
        if ends > wall:
            self._limit, self.left, self._ends, self._reset_known = int(limit), int(left), ends, bool(known)


def number(headers: httpx.Headers, name: str, *, least: int, most: int = 10**15) -> int | None:
    """A header's whole number within bounds; anything else is as good as absent."""
    text = headers.get(name, "").strip()
    if not (text.isascii() and text.isdigit()):
        return None
    value = int(text[:20])
    return value if least <= value <= most else None


def _midnight_after(wall: float) -> float:
    return (wall // _DAY + 1) * _DAY
