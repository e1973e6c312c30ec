"""How long an answer takes at the very least, and at most, learned from those of the last minute."""

from dataclasses import dataclass, field

LONGEST = 2.0
"""No more than this is ever taken for granted."""
_ENOUGH = 30
"""Answers before anything is taken for granted."""
_GENERATION = 100
_GENERATION_SECONDS = 30.0


@dataclass(slots=True)
class _Seen:
    since: float = 0.0
    count: int = 0
    total: float = 0.0
    least: float = float("inf")
    most: float = 0.0


@dataclass(slots=True)
class Latency:
    """The time that any request needs there and back, guessed low, and the longest that one has needed.

    Attributes:
        least: the smallest time seen, less the distance from there to the mean: where times vary,
            a smaller one than has been seen must be expected. 0 until enough answers were seen.
        most: the longest time seen.
    """

    least: float = 0.0
    most: float = 0.0
    _now: _Seen = field(default_factory=_Seen)
    _before: _Seen = field(default_factory=_Seen)

    def add(self, seconds: float, at: float) -> None:
        """Take note of an answer that took ``seconds`` and came at ``at``."""
        now = self._now
        if now.count >= _GENERATION and at - now.since >= _GENERATION_SECONDS:
            self._before, self._now = now, _Seen()
            now = self._now
        if not now.count:
            now.since = at
        now.count += 1
        now.total += seconds
        now.least = min(now.least, seconds)
        now.most = max(now.most, seconds)
        self.most = max(now.most, self._before.most)
        count = now.count + self._before.count
        if count >= _ENOUGH:
            least = min(now.least, self._before.least)
            mean = (now.total + self._before.total) / count
            self.least = min(LONGEST, max(0.0, 2 * least - mean))
