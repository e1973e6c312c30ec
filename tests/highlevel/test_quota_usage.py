"""The day's budget, and how what was used is handed from one owner to the next, in virtual time."""

import asyncio
import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.errors import QuotaSpent
from tests.support.pacing import NOON, Service, answered, flood, now, quota, run, seeded


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


@pytest.mark.parametrize("slowest", [2.0, 6.0])
@settings(max_examples=60, deadline=None)
@given(at=st.floats(0, 25), seed=st.integers(0, 2**32))
def test_what_an_owner_that_died_has_under_way_may_be_counted_after_its_death(slowest, at, seed):
    at += 2 * slowest  # it has had answers, and told how long they took

    async def main() -> Service:
        service = Service(20, 10.0, seeded(seed), lambda rng: (0.0, rng.choice((0.1, slowest))))
        first = quota(requests=20)
        told = first.usage(ahead=20)
        flooding = [asyncio.ensure_future(service.ask(first)) for _ in range(200)]
        for _ in range(int(at // 2)):
            await asyncio.sleep(2)
            told = first.usage(ahead=20)
        await asyncio.sleep(at % 2)
        first.usage(ahead=0)  # it sends nothing more, and nothing of what it sent is called back
        service.latency = lambda _rng: (0.0, 0.1)
        second = quota(requests=20)
        second.adopt(json.loads(json.dumps(told)), sent_until=NOON + now())
        await flood(service, second, 60, 20)
        for task in flooding:
            task.cancel()
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
    assert granted == pytest.approx([14.02] * 7 if ahead is None else [2.0] * 6 + [12.02], abs=0.11)


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
