"""Request limits of one location: a sliding window and a daily counter, with the documented headers."""

from __future__ import annotations

from collections import deque

DAY = 86_400


class Limits:
    """Counts requests; nobody may have more than ``burst`` in any ``interval`` or ``daily`` in a UTC day.

    ``peak`` is the largest number of requests ever seen in one sliding window, refused ones included:
    what a client must keep at or under ``burst`` to be exact.
    """

    def __init__(self, burst: int = 100, interval: float = 10.0, daily: int = 200_000) -> None:
        self.burst = burst
        self.interval = interval
        self.daily = daily
        self.peak = 0
        self.refused = 0
        self.used_today = 0
        self._day = -1
        self._accepted: deque[float] = deque()
        self._seen: deque[float] = deque()

    def admit(self, now: float) -> bool:
        """Counts a request; False when it is one too many."""
        self._slide(now)
        accepted, seen = self._accepted, self._seen
        seen.append(now)
        self.peak = max(self.peak, len(seen))
        if len(accepted) >= self.burst or self.used_today >= self.daily:
            self.refused += 1
            return False
        accepted.append(now)
        self.used_today += 1
        return True

    def spend(self, now: float, requests: int, *, today_only: bool = False) -> None:
        """Somebody else's requests, which eat the same budget."""
        self._slide(now)
        self.used_today += requests
        if not today_only:
            self._accepted.extend([now] * requests)

    def _slide(self, now: float) -> None:
        horizon = now - self.interval
        for moments in (self._accepted, self._seen):
            while moments and moments[0] <= horizon:
                moments.popleft()
        day = int(now // DAY)
        if day != self._day:
            self._day, self.used_today = day, 0

    def wait(self, now: float) -> float:
        """Seconds until the next request would be admitted."""
        if self.used_today >= self.daily:
            return DAY - now % DAY
        if len(self._accepted) < self.burst:
            return 0.0
        return max(0.0, self._accepted[0] + self.interval - now)

    def headers(self, now: float) -> dict[str, str]:
        """The documented rate-limit headers, which every response carries."""
        self._slide(now)
        return {
            "X-RateLimit-Max": str(self.burst),
            "X-RateLimit-Remaining": str(max(0, self.burst - len(self._accepted))),
            "X-RateLimit-Interval-Milliseconds": str(int(self.interval * 1000)),
            "X-RateLimit-Limit-Daily": str(self.daily),
            "X-RateLimit-Daily-Remaining": str(max(0, self.daily - self.used_today)),
            "X-RateLimit-Daily-Reset": str(int((DAY - now % DAY) * 1000)),
        }
