"""A modelled service that counts arrivals, and a loop in virtual time: nothing here sleeps."""

import asyncio
import selectors
from bisect import bisect_right
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import httpx

from tasks.highlevel.quota import Quota
from tasks.settings import Quota as QuotaSettings

WALL = 1_800_000_000.0
NOON = WALL // 86_400 * 86_400 + 43_200


class _Ahead(selectors.SelectSelector):
    """Instead of waiting, moves the loop's time on."""

    now = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready:
            assert timeout is not None, "everything waits for ever"
            self.now += max(0.0, timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.ahead = _Ahead()
        super().__init__(self.ahead)

    def time(self) -> float:
        return self.ahead.now


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(main())


def now() -> float:
    return asyncio.get_running_loop().time()


def quota(start: float = NOON, **changed: Any) -> Quota:
    return Quota(
        QuotaSettings(**{"daily_reserve": 0, **changed}),
        where="accounts.acme.destination.quota",
        clock=now,
        wall=lambda: start + now(),
    )


def seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - latencies are no secret


class Service:
    """Counts arrivals; tells its limits in headers, refuses nothing.

    ``latency`` gives the part that is always the same and the part that varies. Of the first a
    fixed share passes before the request is counted, of the second any.
    """

    def __init__(self, limit, window, rng, latency, *, headers=True):
        self.limit, self.window, self.rng, self.latency = limit, window, rng, latency
        self.share = rng.random()
        self.arrivals: list[float] = []
        self.headers = headers

    def arrive(self) -> httpx.Headers:
        self.arrivals.append(now())
        count = len(self.arrivals) - bisect_right(self.arrivals, now() - self.window)
        if not self.headers:
            return httpx.Headers()
        return httpx.Headers(
            {
                "X-RateLimit-Max": str(self.limit),
                "X-RateLimit-Remaining": str(max(0, self.limit - count)),
                "X-RateLimit-Interval-Milliseconds": str(round(self.window * 1000)),
            }
        )

    async def ask(self, pacer: Quota) -> None:
        permit = await pacer.permit()
        same, more = self.latency(self.rng)
        there = same * self.share + more * self.rng.random()
        await asyncio.sleep(there)
        headers = self.arrive()
        await asyncio.sleep(same + more - there)
        pacer.observe(permit, 200, headers)

    def exceeded(self) -> list[tuple[float, float]]:
        pairs = zip(self.arrivals, self.arrivals[self.limit :], strict=False)
        return [(first, last) for first, last in pairs if last - first < self.window]


async def flood(service: Service, pacer: Quota, requests: int, workers: int) -> None:
    left = iter(range(requests))

    async def work() -> None:
        for _ in left:
            await service.ask(pacer)

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(work())


def answered(pacer: Quota, permit: int, status: int = 200, **headers: Any) -> None:
    pacer.observe(permit, status, httpx.Headers({k.replace("_", "-"): str(v) for k, v in headers.items()}))
