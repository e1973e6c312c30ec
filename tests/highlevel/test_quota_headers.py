"""What the service's headers and refusals tell the pacer, in virtual time."""

import asyncio
from bisect import bisect_right

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import ServiceUnavailable
from tests.support.pacing import Service, answered, now, quota, run, seeded


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
