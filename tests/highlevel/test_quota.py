"""The pacer against a modelled service, in virtual time: no window is exceeded, none is wasted."""

import asyncio
import time
from collections import Counter
from random import Random

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.serve import Sandbox
from tasks.highlevel.quota import Quota
from tasks.settings import Quota as QuotaSettings
from tasks.transport import Transport
from tests.support.pacing import Service, flood, now, quota, run, seeded


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
@pytest.mark.parametrize("limit", [10, 100, 2000])
def test_constant_latency_fills_the_budget(latency, limit):
    async def main() -> Service:
        service = Service(limit, 10.0, seeded(1), lambda _: (latency, 0.0))
        pacer = quota(requests=limit)
        await flood(service, pacer, limit * (20 if limit < 2000 else 5) + 1, limit)
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
