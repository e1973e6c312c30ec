"""The pacer against a modelled service, in virtual time: nothing here sleeps."""

import asyncio
import json
import selectors
import time
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.serve import Sandbox
from tasks.errors import QuotaSpent, ServiceUnavailable
from tasks.highlevel.quota import Quota
from tasks.settings import Quota as QuotaSettings
from tasks.transport import Transport

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


@settings(max_examples=120, deadline=None)
@given(
    base=st.floats(0, 2),
    jitter=st.floats(0, 2),
    shape=st.sampled_from(["uniform", "exponential", "now and then"]),
    limit=st.sampled_from([1, 3, 10, 40, 100]),
    window=st.sampled_from([1.0, 10.0]),
    workers=st.integers(1, 150),
    seed=st.integers(0, 2**32),
    headers=st.booleans(),
)
def test_no_window_ever_holds_more_than_the_limit(base, jitter, shape, limit, window, workers, seed, headers):
    def latency(rng: Random) -> tuple[float, float]:
        more = {
            "uniform": lambda: rng.random() * jitter,
            "exponential": lambda: rng.expovariate(1) * jitter,
            "now and then": lambda: jitter * (rng.random() < 0.05),
        }[shape]()
        return base, more

    async def main() -> Service:
        service = Service(limit, window, seeded(seed), latency, headers=headers)
        await flood(service, quota(requests=limit, seconds=window), min(limit * 8, 500), workers)
        return service

    service = run(main)
    assert service.exceeded() == []
    assert len(service.arrivals) == min(limit * 8, 500)


@pytest.mark.parametrize("latency", [0.0, 0.05, 0.2, 0.7, 1.3, 2.0])
@pytest.mark.parametrize("limit", [10, 100, 5000])
def test_constant_latency_fills_the_budget(latency, limit):
    async def main() -> Service:
        service = Service(limit, 10.0, seeded(1), lambda _: (latency, 0.0))
        pacer = quota(requests=limit)
        await flood(service, pacer, limit * (20 if limit < 5000 else 5) + 1, limit)
        return service

    service = run(main)
    assert service.exceeded() == []
    settled = 5 if limit == 10 else 1  # with few requests the latency is known later
    seconds = service.arrivals[-1] - service.arrivals[limit * settled]
    granted = len(service.arrivals) - 1 - limit * settled
    assert granted / seconds >= 0.95 * limit / 10.0


def test_the_first_windows_lose_no_more_than_the_latency():
    async def main() -> float:
        service = Service(100, 10.0, seeded(1), lambda _: (0.2, 0.0))
        await flood(service, quota(), 300, 32)
        return now()

    assert 20.8 <= run(main) < 20.9


def test_a_window_without_latency_is_never_short_of_its_length():
    async def main() -> list[float]:
        pacer, times = quota(requests=2, seconds=5), []
        for _ in range(5):
            permit = await pacer.permit()
            times.append(now())
            pacer.observe(permit, 200, httpx.Headers())
        return times

    times = run(main)
    assert times[:2] == [0.0, 0.0]
    assert times[2:4] == pytest.approx([5.02, 5.02])
    assert times[4] == pytest.approx(10.04, abs=0.01)


def test_permits_are_granted_in_order():
    async def main() -> list[int]:
        pacer, order = quota(requests=3, seconds=1), []

        async def ask(number: int) -> None:
            permit = await pacer.permit()
            order.append(number)
            pacer.observe(permit, 200, httpx.Headers())

        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(ask(number))
        return order

    assert run(main) == list(range(20))


def test_a_waiter_that_is_cancelled_gives_its_turn_to_the_next():
    async def main() -> float:
        pacer = quota(requests=1, seconds=10)
        pacer.observe(await pacer.permit(), 200, httpx.Headers())
        waiting = [asyncio.ensure_future(pacer.permit()) for _ in range(3)]
        await asyncio.sleep(1)
        waiting[0].cancel()
        waiting[1].cancel()
        await waiting[2]
        return now()

    assert run(main) == pytest.approx(10.02)


def answered(pacer: Quota, permit: int, status: int = 200, **headers: Any) -> None:
    pacer.observe(permit, status, httpx.Headers({k.replace("_", "-"): str(v) for k, v in headers.items()}))


def test_the_limit_follows_the_headers_up_at_once_and_down():
    async def main() -> None:
        pacer = quota(requests=2)
        first, second = await pacer.permit(), await pacer.permit()
        waiting = asyncio.ensure_future(pacer.permit())
        await asyncio.sleep(1)
        answered(pacer, first, X_RateLimit_MAX=4, x_ratelimit_interval_milliseconds=5000)
        await waiting
        assert (now(), pacer.limit, pacer.window) == (1.0, 4, 5.0)
        answered(pacer, second, x_ratelimit_max=1)
        answered(pacer, waiting.result(), x_ratelimit_max=1)
        await pacer.permit()
        assert now() == pytest.approx(1.0 + 5.02)

    run(main)


@pytest.mark.parametrize(("cap", "told", "limit"), [(50, 100, 50), (50, 20, 20), (None, 5000, 5000)])
def test_a_cap_holds_whatever_the_headers_allow(cap, told, limit):
    async def main() -> int:
        pacer = quota(requests=100, cap=cap)
        answered(pacer, await pacer.permit(), x_ratelimit_max=told)
        return pacer.limit

    assert run(main) == limit


@pytest.mark.parametrize("garbage", ["", "-5", "many", "0", "1e3", "nan", "9" * 30, "10, 10", "٣"])
def test_garbage_in_the_headers_changes_nothing(garbage):
    async def main() -> None:
        pacer = quota(requests=7, seconds=3)
        answered = httpx.Headers(
            [
                (name.encode(), garbage.encode())
                for name in (
                    "X-RateLimit-Max",
                    "X-RateLimit-Interval-Milliseconds",
                    "X-RateLimit-Limit-Daily",
                    "x-ratelimit-daily-reset",
                )
            ]
        )
        pacer.observe(await pacer.permit(), 200, answered)
        assert (pacer.limit, pacer.window, pacer.day_left) == (7, 3.0, 199_999)

    run(main)


def test_what_others_use_is_left_to_them_for_a_window():
    async def main() -> list[float]:
        pacer, times = quota(requests=10), []
        permit = await pacer.permit()
        answered(pacer, permit, x_ratelimit_max=10, x_ratelimit_remaining=2)  # 7 are not ours
        for _ in range(3):
            permit = await pacer.permit()
            times.append(now())
            answered(pacer, permit, x_ratelimit_max=10, x_ratelimit_remaining=9)
        return times

    assert run(main) == pytest.approx([0.0, 0.0, 10.02])


@settings(max_examples=60, deadline=None)
@given(
    latencies=st.lists(st.floats(0, 20), min_size=5, max_size=80),
    lost=st.sets(st.integers(0, 80)),
    limit=st.sampled_from([3, 20]),
    seed=st.integers(0, 2**32),
)
def test_use_by_others_is_never_invented(latencies, lost, limit, seed):
    async def main() -> None:
        service = Service(limit, 10.0, seeded(seed), lambda _: (0.0, 0.0))
        pacer = quota(requests=limit)

        async def ask(number: int, latency: float) -> None:
            permit = await pacer.permit()
            there = latency * service.rng.random()
            await asyncio.sleep(there)
            headers = service.arrive()
            await asyncio.sleep(latency - there)
            if number in lost:
                pacer.observe(permit, 0, httpx.Headers())
            else:
                pacer.observe(permit, 200, headers)
            assert pacer._foreign == []

        async with asyncio.TaskGroup() as group:
            for number, latency in enumerate(latencies):
                group.create_task(ask(number, latency))

    run(main)


@pytest.mark.parametrize("theirs", [1, 20, 50, 70])
@pytest.mark.parametrize("counts_refused", [True, False])
@pytest.mark.parametrize("told", [{}, {"retry-after": "3"}], ids=["bare", "retry-after"])
def test_a_steady_other_user_is_made_room_for(theirs, counts_refused, told):
    async def main() -> tuple[int, float]:
        service = Service(100, 10.0, seeded(1), lambda _: (0.2, 0.0))
        pacer, left, refused = quota(), iter(range(1000)), 0

        async def other() -> None:
            while True:
                await asyncio.sleep(10.0 / theirs)
                service.arrive()

        async def work() -> None:
            nonlocal refused
            for _ in left:
                while True:
                    permit = await pacer.permit()
                    await asyncio.sleep(0.1)
                    full = len(service.arrivals) - bisect_right(service.arrivals, now() - 10.0) >= 100
                    headers = httpx.Headers() if full and not counts_refused else service.arrive()
                    await asyncio.sleep(0.1)
                    pacer.observe(
                        permit, 429 if full else 200, httpx.Headers({**headers, **told} if full else headers)
                    )
                    if not full:
                        break
                    refused += 1

        others = asyncio.ensure_future(other())
        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(work())
        others.cancel()
        return refused, now()

    refused, seconds = run(main)
    assert refused <= 5 + 0.3 * theirs * seconds / 10  # all of theirs in each window without a memory
    assert seconds <= 1.5 * 1000 / (100 - theirs) * 10


def test_a_request_without_an_answer_keeps_its_slot():
    async def main() -> float:
        pacer = quota(requests=1)
        permit = await pacer.permit()
        await asyncio.sleep(15)
        waiting = asyncio.ensure_future(pacer.permit())
        await asyncio.sleep(0)
        assert not waiting.done()
        pacer.observe(permit, 0, httpx.Headers())
        await waiting
        return now()

    assert run(main) == pytest.approx(15 + 12.02)


def test_an_answer_is_taken_note_of_once():
    async def main() -> None:
        pacer = quota(requests=2)
        permit = await pacer.permit()
        answered(pacer, permit)
        answered(pacer, permit)
        answered(pacer, 99)
        await pacer.permit()
        assert now() == 0.0

    run(main)


@pytest.mark.parametrize(
    ("headers", "pause"), [({"retry-after": "4"}, 4.0), ({}, 10.02), ({"retry-after": "0"}, 10.02)]
)
def test_a_429_pauses_everything(headers, pause):
    async def main() -> float:
        pacer = quota()
        one, other = await pacer.permit(), await pacer.permit()
        pacer.observe(one, 429, httpx.Headers(headers))
        waiting = [asyncio.ensure_future(pacer.permit()) for _ in range(5)]
        await asyncio.sleep(2)
        pacer.observe(other, 429, httpx.Headers())  # sent before the pause: it does not prolong it
        await asyncio.gather(*waiting)
        return now()

    assert run(main) == pytest.approx(pause)


def test_a_storm_of_429_does_not_lengthen_the_pauses():
    async def main() -> list[float]:
        pacer, times = quota(), []
        for _ in range(5):
            permit = await pacer.permit()
            times.append(now())
            pacer.observe(permit, 429, httpx.Headers())
        return times

    assert run(main) == pytest.approx([0, 10.02, 20.04, 30.06, 40.08])


def test_an_hour_asked_for_is_not_waited_out():
    async def main() -> None:
        pacer = quota()
        pacer.observe(await pacer.permit(), 429, httpx.Headers({"retry-after": "3600"}))
        with pytest.raises(ServiceUnavailable, match="asks to wait 3600 s"):
            await pacer.permit()
        assert now() == 0.0

    run(main)


def test_the_day_ends_at_its_reserve():
    async def main() -> None:
        pacer = quota(per_day=10, daily_reserve=7)
        for _ in range(3):
            answered(pacer, await pacer.permit())
        with pytest.raises(QuotaSpent) as caught:
            await pacer.permit()
        assert str(caught.value) == (
            "HighLevel: the day's 10 requests are used up to the reserve of 7 "
            "(accounts.acme.destination.quota.daily_reserve); reset time unknown"
        )
        await asyncio.sleep(43_200)
        await pacer.permit()

    run(main)


def test_the_headers_know_better_how_much_of_the_day_is_left():
    async def main() -> None:
        pacer = quota(per_day=10, daily_reserve=100)
        pacer._day.left = 101
        first = await pacer.permit()
        answered(
            pacer, first, X_RateLimit_Limit_Daily=200_000, X_RateLimit_Daily_Remaining=101,
            x_ratelimit_daily_reset=3_600_000,
        )  # fmt: skip
        await pacer.permit()
        with pytest.raises(QuotaSpent, match=r"the day's 200000 .* resets at 2027-01-15 13:00 UTC"):
            await pacer.permit()
        await asyncio.sleep(3600)
        await pacer.permit()
        assert pacer.day_left == 199_999

    run(main)


def test_requests_under_way_are_off_what_the_headers_say():
    async def main() -> int:
        pacer = quota()
        first = await pacer.permit()
        await asyncio.sleep(0.1)
        others = [await pacer.permit() for _ in range(3)]
        await asyncio.sleep(0.1)
        answered(pacer, others[0], x_ratelimit_daily_remaining=900)
        answered(pacer, first, x_ratelimit_daily_remaining=903)  # overtaken: older news
        return pacer.day_left

    assert run(main) == 900


def test_a_429_of_a_spent_day_stops_those_who_wait():
    async def main() -> None:
        pacer = quota(requests=2)
        one, two = await pacer.permit(), await pacer.permit()
        waiting = [asyncio.ensure_future(pacer.permit()) for _ in range(3)]
        await asyncio.sleep(1)
        answered(pacer, one, 429, x_ratelimit_daily_remaining=0)
        answered(pacer, two, 429, x_ratelimit_daily_remaining=0)
        failed = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in failed] == [QuotaSpent] * 3
        assert now() < 12
        await asyncio.sleep(3600)  # nobody said when the day ends: one request asks
        await pacer.permit()

    run(main)


def test_usage_is_handed_over():
    async def main() -> None:
        before = quota(requests=5)
        for _ in range(2):
            answered(before, await before.permit(), x_ratelimit_max=5, x_ratelimit_daily_remaining=500)
        await asyncio.sleep(4)
        answered(before, await before.permit(), x_ratelimit_max=5, x_ratelimit_remaining=1)  # 1 is not ours
        told = json.loads(json.dumps(before.usage()))
        assert sum(count for _, count in told["done"]) == 3
        after = quota(requests=100)
        after.adopt(told)
        assert (after.limit, after.day_left) == (5, 499)
        granted = []
        for _ in range(5):
            answered(after, await after.permit())
            granted.append(now())
        assert granted == pytest.approx([4, 10.02, 10.02, 14.02, 14.02], abs=0.11)
        assert granted[1] >= 10.0
        assert granted[3] >= 14.0

    run(main)


@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 25), seed=st.integers(0, 2**32))
def test_two_owners_one_after_the_other_share_one_budget(at, seed):
    async def main() -> Service:
        service = Service(20, 10.0, seeded(seed), lambda rng: (0.0, rng.random()))
        first = quota(requests=20)
        flooding = [asyncio.ensure_future(service.ask(first)) for _ in range(200)]
        await asyncio.sleep(at)
        for task in flooding:
            task.cancel()
        await asyncio.gather(*flooding, return_exceptions=True)
        second = quota(requests=20)
        second.adopt(json.loads(json.dumps(first.usage())))
        await flood(service, second, 60, 20)
        return service

    assert run(main).exceeded() == []


@pytest.mark.parametrize("ahead", [None, 4])
def test_an_owner_that_died_is_taken_to_have_sent_what_it_might(ahead):
    async def main() -> list[float]:
        first = quota(requests=10)
        told = first.usage(ahead=ahead)
        await asyncio.sleep(2)
        second = quota(requests=10)
        second.adopt(told, sent_until=NOON + now())
        granted = []
        for _ in range(7):
            answered(second, await second.permit())
            granted.append(now())
        return granted

    granted = run(main)
    assert granted == pytest.approx([12.02] * 7 if ahead is None else [2.0] * 6 + [12.02], abs=0.11)


def test_an_owner_grants_no_more_than_it_announced():
    async def main() -> float:
        pacer = quota(requests=10)
        pacer.usage(ahead=2)
        await pacer.permit()
        await pacer.permit()
        waiting = asyncio.ensure_future(pacer.permit())
        await asyncio.sleep(3)
        assert not waiting.done()
        pacer.usage(ahead=2)
        await waiting
        return now()

    assert run(main) == 3.0


def test_a_day_that_is_over_is_not_handed_over():
    async def main() -> None:
        before = quota(per_day=5)
        for _ in range(5):
            answered(before, await before.permit())
        told = before.usage()
        same_day, next_day = quota(per_day=5), quota(NOON + 43_200, per_day=5)
        same_day.adopt(told)
        next_day.adopt(told)
        with pytest.raises(QuotaSpent):
            await same_day.permit()
        assert next_day.day_left == 5

    run(main)


def test_a_pause_is_handed_over():
    async def main() -> float:
        before, after = quota(), quota()
        before.observe(await before.permit(), 429, httpx.Headers({"retry-after": "25"}))
        await asyncio.sleep(5)
        after.adopt(before.usage())
        await after.permit()
        return now()

    assert run(main) == pytest.approx(25.0)


def test_an_owner_whose_clock_was_ahead_blocks_nobody_for_long():
    async def main() -> float:
        before, after = quota(NOON + 3600, requests=1), quota(requests=1)
        answered(before, await before.permit())
        after.adopt(before.usage())
        await after.permit()
        return now()

    assert run(main) == pytest.approx(12.12, abs=0.01)


def test_nothing_is_adopted_from_nothing():
    async def main() -> None:
        pacer = quota()
        pacer.adopt({})
        await pacer.permit()
        assert (now(), pacer.day_left) == (0.0, 199_999)

    run(main)


class Token(httpx.Auth):
    def __init__(self, token):
        self.token = token

    def auth_flow(self, request):
        request.headers["Authorization"] = f"Bearer {self.token}"
        request.headers["Version"] = "v3"
        yield request


async def test_over_real_http_it_finds_the_limit_and_keeps_it():
    with Sandbox.threaded(contacts=0, burst=40, interval=0.5) as box:
        pacer = Quota(QuotaSettings(requests=5, seconds=0.5))
        transport = Transport("HighLevel", box.highlevel_url, Token(box.token), pacer=pacer)
        path = f"locations/{box.location_id}"
        answers = await asyncio.gather(*(transport.request("GET", path) for _ in range(130)))
        await transport.close()
        peak = box.peak()
    assert Counter(answer.status for answer in answers) == {200: 130}
    assert transport.tally.throttled == 0
    assert (pacer.limit, pacer.window, peak <= 40) == (40, 0.5, True)


def test_permits_are_cheap():
    async def main() -> float:
        service = Service(5000, 10.0, seeded(1), lambda _: (0.05, 0.0), headers=False)
        pacer = quota(requests=5000)
        started = time.process_time()
        await flood(service, pacer, 15_000, 64)
        return time.process_time() - started

    assert run(main) < 6.0  # 30 s of 500 requests a second, the model's own share included
