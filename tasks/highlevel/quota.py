"""The pacer of one location: who may send the next request, and when.

HighLevel allows a number of requests per window and per day (100 per 10 s and 200,000 a day for each
app and location, says its documentation), tells both with every answer, and answers 429 beyond.
How the window moves is not said; here it is taken to *slide*, which is never too much.

When a request is counted cannot be seen from here: somewhere between its sending and its answer. So
its slot is taken from the sending until a window after the latest moment at which it may have been
counted. That is the answer's, less the shortest way there and back, which the next one needs as well.
"""

import asyncio
import math
import time
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import httpx

from tasks.errors import ServiceUnavailable
from tasks.highlevel.daily import Day, number
from tasks.highlevel.latency import LONGEST, Latency
from tasks.settings import Quota as QuotaSettings
from tasks.transport import LONGEST_PAUSE, Clock, Sleep
from tasks.wire import retry_after

_DAY = 86_400.0
_MARGIN = 0.02
_DOUBT = 0.1
"""Seconds that the service's window may be longer than it says, before others are suspected."""
_SUSPECT = 8
"""Windows beyond the pause for which a 429 leaves a slot to others, at most; they end one by one."""
_LEAVE = 0.8
"""The part of the limit that is left to others, at most, for their 429s' sake."""
_LATE = 0.2
"""The part of a window after which all that another owner had under way is counted, if answers are quick."""
_PRUNE = 512
_STEPS = 100
_NEVER = float("inf")


class Quota:
    """Grants requests in the order in which they are asked for, never more than are allowed.

    Bursts are granted. The bound holds however latencies vary about their level; only where the
    network becomes faster all at once than it was for the last 30 to 60 seconds, may a window hold
    more for once, by those requests that were counted late before and early after.

    Args:
        settings: the budget to begin with, the cap and the day's reserve.
        where: path of these settings, for messages.
        clock: monotonic seconds.
        wall: seconds since the epoch, in which usage is handed over to other processes: on several
            machines best the database's.
        sleep: waits; it is cancelled where the wait is over sooner.
    """

    def __init__(
        self,
        settings: QuotaSettings,
        *,
        where: str = "destination.quota",
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._wall = wall
        self._sleep = sleep
        self._limit = self._capped(settings.requests)
        self._window = settings.seconds
        self._learned = False
        self._latency = Latency()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._blocked = False
        self._number = 0
        self._sent: dict[int, float] = {}  # under way: when they were sent, oldest first
        self._done: list[float] = []  # over: when their answers came, ascending
        self._foreign: list[float] = []  # others' requests: when they were noticed, ascending
        self._paused_at, self._paused_until, self._asked_to_wait = -_NEVER, -_NEVER, False
        self._ahead: int | None = None
        self._day = Day(settings, where, wall())

    @property
    def limit(self) -> int:
        """Requests per window."""
        return self._limit

    @property
    def window(self) -> float:
        """Length of the window, seconds."""
        return self._window

    @property
    def day_left(self) -> int:
        """Requests left of the day, the reserve included."""
        return max(0, self._day.left)

    @property
    def day(self) -> list[float]:
        """What is known of the day: its requests, those left, when it ends, and whether that was told."""
        return self._day.tell()

    async def permit(self) -> int:
        """Wait until one more request may leave, behind all who asked before.

        Raises:
            QuotaSpent: the day's budget less its reserve is used up.
            ServiceUnavailable: the service asks for a longer pause than is waited out.
        """
        async with self._turn:
            while (delay := self._delay()) > 0:
                await self._wait(delay)
            self._number += 1
            self._sent[self._number] = self._clock()
            self._day.left -= 1
            if self._ahead is not None:
                self._ahead -= 1
            return self._number

    def observe(self, permit: int, status: int, headers: Mapping[str, str]) -> None:
        """Learn from an answer; of a request without one it is only known that it may be counted."""
        sent = self._sent.pop(permit, None)
        if sent is None:
            return
        now = self._clock()
        if status:
            self._latency.add(now - sent, now)
            insort(self._done, now)
            named = headers if isinstance(headers, httpx.Headers) else httpx.Headers(dict(headers))
            self._follow_window(named, sent, now)
            later = len(self._sent) + len(self._done) - bisect_right(self._done, sent) - 1
            self._day.follow(named, later=max(0, later), wall=self._wall())
            if status == httpx.codes.TOO_MANY_REQUESTS:
                self._throttled(retry_after(named), sent, now)
        else:
            insort(self._done, now + LONGEST)
        if self._blocked:
            self._changed.set()
        oldest = next(iter(self._sent.values()), now)
        stale = bisect_left(self._done, oldest - self._window - _DOUBT - LONGEST)
        if stale >= _PRUNE:
            del self._done[:stale]

    def usage(self, *, ahead: int | None = None) -> dict[str, Any]:
        """What the next owner of the location must know, as JSON; times are seconds since the epoch.

        Args:
            ahead: grant no more than so many further permits until the next call, so that a
                successor knows what an owner that died may have sent since.
        """
        now, wall = self._clock(), self._wall()
        self._ahead = ahead
        self._changed.set()
        since, oldest = now - self._window - _DOUBT, next(iter(self._sent.values()), now)
        return {
            "at": wall,
            "slowest": max(self._latency.most, now - oldest),
            "done": self._told((t for t in self._done if t > since), wall - now),
            "foreign": self._told((t for t in self._foreign if t > since), wall - now),
            "in_flight": len(self._sent),
            "ahead": ahead,
            "paused_until": wall + self._paused_until - now if self._paused_until > now else None,
            "window": [self._limit, self._window] if self._learned else None,
            "day": self._day.tell(),
        }

    def adopt(self, usage: Mapping[str, Any], *, sent_until: float | None = None) -> None:
        """Take over the location from an owner that left this usage; call it before any permit.

        Args:
            usage: what `usage` returned last in that process.
            sent_until: for an owner that did not give the location up by itself: the latest
                moment, in seconds since the epoch, at which it may have sent requests that its
                usage does not tell of.
        """
        now, wall = self._clock(), self._wall()
        if window := usage.get("window"):
            self._limit, self._window, self._learned = self._capped(window[0]), window[1], True
        hidden = usage.get("in_flight", 0)
        if sent_until is not None:
            ahead = usage.get("ahead")
            hidden += self._limit if ahead is None else ahead
        late = max(_LATE * self._window, min(usage.get("slowest", 0.0), self._window))
        last = max(usage.get("at", wall), sent_until or 0.0) + late
        done = [*usage.get("done", ()), (last, hidden)]
        step = self._window / _STEPS
        self._done = _heard(done, wall - now, now + max(LONGEST, late) + step)
        longest = now + (_SUSPECT + 1) * self._window
        self._foreign = _heard(usage.get("foreign", ()), wall - now, longest)
        if paused := usage.get("paused_until"):
            self._paused_until = min(paused - wall, LONGEST_PAUSE) + now
        if day := usage.get("day"):
            self._day.hear(day, wall)
            self._day.left -= hidden if sent_until is not None else 0

    def _told(self, times: Iterable[float], offset: float) -> list[list[float]]:
        """Moments as pairs of a later moment and how many, so that thousands stay short."""
        step = self._window / _STEPS
        steps = Counter(math.ceil((t + offset) / step) for t in times)
        return [[number * step, count] for number, count in sorted(steps.items())]

    def _capped(self, requests: int) -> int:
        return requests if self._settings.cap is None else min(requests, self._settings.cap)

    def _delay(self) -> float:
        """Seconds until the next request may leave, as far as is known now."""
        self._day.check(self._wall())
        now = self._clock()
        if (pause := self._paused_until - now) > 0:
            if self._asked_to_wait and pause > LONGEST_PAUSE:
                raise ServiceUnavailable(f"HighLevel asks to wait {pause:.0f} s before the next request")
            return pause
        if self._ahead is not None and self._ahead <= 0:
            return _NEVER
        foreign_hold = self._window + _MARGIN
        hold = foreign_hold - self._latency.least
        done = bisect_right(self._done, now - hold)
        foreign = bisect_right(self._foreign, now - foreign_hold)
        taken = len(self._sent) + len(self._done) - done + len(self._foreign) - foreign
        need = taken - self._limit + 1
        if need <= 0:
            return 0.0
        over = [t + hold for t in self._done[done : done + need]]
        over += [t + foreign_hold for t in self._foreign[foreign : foreign + need]]
        return max(0.001, sorted(over)[need - 1] - now) if len(over) >= need else _NEVER

    async def _wait(self, delay: float) -> None:
        """Wait that long, or until something changed that may make the wait shorter."""
        self._changed.clear()
        self._blocked = delay == _NEVER
        timer = None if self._blocked else asyncio.ensure_future(self._sleep(delay))
        if timer is not None:
            timer.add_done_callback(self._over)
        try:
            await self._changed.wait()
        finally:
            self._blocked = False
            if timer is not None:
                timer.remove_done_callback(self._over)
                timer.cancel()

    def _over(self, _: object) -> None:
        self._changed.set()

    def _follow_window(self, headers: httpx.Headers, sent: float, now: float) -> None:
        most = number(headers, "x-ratelimit-max", least=1, most=1_000_000)
        interval = number(headers, "x-ratelimit-interval-milliseconds", least=1, most=3_600_000)
        limit = self._limit if most is None else self._capped(most)
        window = self._window if interval is None else interval / 1000
        if (limit, window) != (self._limit, self._window):
            self._limit, self._window = limit, window
            self._changed.set()
        self._learned = self._learned or most is not None
        remaining = number(headers, "x-ratelimit-remaining", least=0, most=most or 0)
        if most is None or remaining is None:
            return
        since = sent - self._window - _DOUBT
        ours = len(self._sent) + len(self._done) - bisect_left(self._done, since)
        known = len(self._foreign) - bisect_right(self._foreign, now - self._window - _MARGIN)
        self._others(most - remaining - ours - known, now)

    def _others(self, more: int, at: float) -> None:
        """Leave slots to others until a window after ``at``."""
        del self._foreign[: bisect_right(self._foreign, self._clock() - self._window - _MARGIN)]
        for _ in range(more):
            insort(self._foreign, at)

    def _throttled(self, after: float | None, sent: float, now: float) -> None:
        """Pause everything; a late 429 to what was sent before the pause does not prolong it.

        As the limit is kept here, a 429 means that somebody else uses the location, unseen where
        both together use all of it: a slot stays free for them for some windows.
        """
        if self._day.left <= 0:
            return
        if len(self._foreign) + 1 <= self._limit * _LEAVE:
            self._others(1, now + (1 + len(self._foreign) % _SUSPECT) * self._window)
        if after:
            until = now + min(after, _DAY)
        elif sent > self._paused_at:
            until = now + self._window + _MARGIN
        else:
            return
        self._asked_to_wait = bool(after)
        self._paused_at = now
        self._paused_until = max(self._paused_until, until)


def _heard(told: Iterable[Sequence[float]], offset: float, latest: float) -> list[float]:
    """Moments from pairs; none after ``latest``, should the other's clock have been ahead."""
    return sorted(min(t - offset, latest) for t, count in told for _ in range(int(count)))
