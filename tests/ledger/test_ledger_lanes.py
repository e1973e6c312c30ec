"""Who goes first: the better lane, within a lane who came first; a long job steps aside."""

from __future__ import annotations

import asyncio

import pytest

from tasks.errors import Busy
from tasks.ledger import lease as module
from tasks.ledger.database import Database, open_engine
from tasks.ledger.lease import hold, step_aside


@pytest.fixture
def another(ledger_url, database):
    other = Database(open_engine(ledger_url))
    yield other
    other.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)


def held(database, owner, *, lane=0, wait=10.0, usage=dict):
    return hold(
        database, "here", owner, wait=wait, usage=usage, tell=lambda _: None, about={"run": owner}, lane=lane
    )


async def test_the_better_lane_goes_first_and_within_a_lane_who_came_first(database, another):
    order = []

    async def take(db, owner, lane):
        async with held(db, owner, lane=lane):
            order.append(owner)

    async with held(database, "holder"):
        waiting = []
        for owner, lane in (("slow", 2), ("first", 1), ("second", 1), ("live", 0)):
            waiting.append(asyncio.create_task(take(another, owner, lane)))
            await asyncio.sleep(0.05)
    await asyncio.gather(*waiting)
    assert order == ["live", "first", "second", "slow"]


async def test_a_long_job_steps_aside_and_comes_back_with_the_usage_left_to_it(database, another):
    done = []
    async with held(database, "long", lane=2, usage=lambda: {"by": "long"}) as lease:

        async def live():
            async with held(another, "live", usage=lambda: {"by": "live"}) as taken:
                done.append(taken.predecessor)

        asking = asyncio.create_task(live())
        while not lease.wanted:
            await asyncio.sleep(0.01)
        await step_aside(database, "here", lease, usage=lambda: {"by": "long"}, about={"run": "long"})
        await asking
        assert (done, lease.predecessor) == ([{"by": "long"}], {"by": "live"})
        assert lease.sent_until is None
        lease.check()
        assert not lease.wanted
        await asyncio.sleep(0.2)
        lease.check()


async def test_who_comes_back_learns_until_when_one_that_died_meanwhile_may_have_sent(
    database, another, monkeypatch
):
    async with held(database, "long", lane=2, usage=lambda: {"by": "long"}) as lease:

        async def dies():
            taken = await another.do(
                lambda connection: module._try(connection, "here", "dead", {"run": "dead"})
            )
            assert isinstance(taken, module.Lease)
            monkeypatch.setattr(module, "is_gone", lambda holder: holder.get("run") == "dead")

        before = database.now()
        aside = {"usage": lambda: {"by": "long"}, "about": {"run": "long"}, "meanwhile": dies}
        await step_aside(database, "here", lease, **aside)
        assert lease.sent_until is not None
        assert before - 1 <= lease.sent_until <= database.now()


async def test_the_same_lane_does_not_make_anybody_step_aside(database, another):
    async with held(database, "one") as lease:
        asking = asyncio.create_task(held(another, "two").__aenter__())
        await asyncio.sleep(0.3)
        assert not lease.wanted
        asking.cancel()


async def test_who_will_not_wait_leaves_the_line(database, another):
    async with held(database, "holder"):
        with pytest.raises(Busy):
            async with held(another, "hasty", wait=0):
                pass
    async with held(database, "next", lane=2, wait=0):
        pass


async def test_a_waiter_that_is_gone_is_not_waited_for(database, another, monkeypatch):
    monkeypatch.setattr(module, "GONE_SECONDS", 0.2)
    async with held(database, "holder"):
        await another.do(lambda connection: module._try(connection, "here", "dead", {"run": "dead"}))
    async with held(database, "next", lane=2, wait=2.0):
        pass
