from __future__ import annotations

import asyncio
import threading
import time
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import event, select, text, update

from tasks.errors import Busy, LedgerUnavailable
from tasks.ledger import lease as module
from tasks.ledger.clock import ask
from tasks.ledger.database import opened
from tasks.ledger.lease import EXPIRY_SECONDS, RENEW_SECONDS, Lease, LeaseLost, hold
from tasks.ledger.tables import leases


@pytest.fixture
def other(database, ledger_url):
    """A second process's way to the same ledger."""
    with opened(ledger_url) as second:
        yield second


def holding(database, owner="one", *, wait=0.0, name="location", usage=None, tell=None):
    return hold(
        database,
        name,
        owner,
        wait=wait,
        usage=usage or (lambda: {"by": owner}),
        tell=tell or (lambda _said: None),
        about={"run": owner},
    )


def row(database):
    return database.now_look(lambda c: c.execute(select(leases).where(leases.c.name == "location")).one())


def change(database, **values):
    database.now_do(lambda c: c.execute(update(leases).values(**values)))


def now(database):
    return database.now_look(ask)


class Boot:
    """The clock of the machine's uptime, moved by the test."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def boot(monkeypatch):
    clock = Boot()
    monkeypatch.setattr(module, "boot_clock", clock)
    return clock


@pytest.fixture
def quick(monkeypatch):
    """Renewals and polls follow each other at once."""
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.01)
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)


class Usage:
    """The pacer's usage, counted; a test can wait for the next renewals."""

    def __init__(self, after=None):
        self.count, self.threads, self._after = 0, set(), after or (lambda: None)
        self._asked = asyncio.Event()

    def __call__(self):
        self.count += 1
        self.threads.add(threading.get_ident())
        self._after()
        self._asked.set()
        return {"count": self.count}

    async def again(self, times=2):
        """Wait until asked so often again: the last but one renewal is then recorded."""
        async with asyncio.timeout(30):
            for _ in range(times):
                self._asked.clear()
                await self._asked.wait()


def test_the_times_are_the_promised_ones():
    assert (RENEW_SECONDS, EXPIRY_SECONDS) == (2.0, 10.0)


async def test_a_lease_is_exclusive_and_free_again_afterwards(database, other):
    async with holding(database):
        started = time.monotonic()
        with pytest.raises(Busy, match=r"held by run one \(process \d+ on "):
            async with holding(other, "two"):
                pytest.fail("held twice")
        assert time.monotonic() - started < 2
        async with holding(other, "two", name="elsewhere"):
            pass
    assert row(database).owner is None
    async with holding(other, "two"):
        assert row(database).owner == "two"


async def test_a_lease_is_free_again_after_an_error(database, other):
    with pytest.raises(KeyError):
        async with holding(database):
            raise KeyError
    async with holding(other, "two"):
        pass


async def test_usage_travels_to_the_next_owner(database, other):
    async with holding(database) as first:
        assert (first.predecessor, first.sent_until) == (None, None)
    async with holding(other, "two") as second:
        assert (second.predecessor, second.sent_until) == ({"by": "one"}, None)
    async with holding(database, "three") as third:
        assert third.predecessor == {"by": "two"}


async def test_who_waits_is_told_once_for_whom_and_follows(database, other, quick):
    told = asyncio.Queue()
    async with AsyncExitStack() as first:
        await first.enter_async_context(holding(database))

        async def wait():
            async with holding(other, "two", wait=30, tell=told.put_nowait) as lease:
                return lease.predecessor

        waiting = asyncio.create_task(wait())
        said = await told.get()
        polls = []
        event.listen(other.engine, "begin", polls.append)
        async with asyncio.timeout(30):
            while len(polls) < 3:
                await asyncio.sleep(0)
    assert await waiting == {"by": "one"}
    assert said.startswith("waiting for run one (process ")
    assert told.empty()


async def test_who_waits_too_long_is_told_so(database, other, quick):
    async with holding(database):
        with pytest.raises(Busy, match=r"for longer than 0 s"):
            await other_waits(other, 0.05)


async def other_waits(other, seconds):
    async with holding(other, "two", wait=seconds):
        pytest.fail("held twice")


async def test_many_at_once_hold_it_one_by_one(database, other, quick):
    inside, most, done = 0, 0, []

    async def one(number):
        nonlocal inside, most
        async with holding((database, other)[number % 2], str(number), wait=60):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            done.append(number)

    await asyncio.gather(*(one(number) for number in range(10)))
    assert sorted(done) == list(range(10))
    assert most == 1


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_expiry_counts_by_the_databases_clock(database, other, monkeypatch):
    true = time.time()
    monkeypatch.setattr(time, "time", lambda: 5_000_000_000.0)  # this machine's clock is far ahead
    async with holding(database):
        assert 8 < row(database).expires_at - now(database) <= 10
        with pytest.raises(Busy):
            await other_waits(other, 0)
        change(database, expires_at=now(database) - 4.0)
        async with holding(other, "two") as lease:
            # renewed for the last time 14 s ago, its owner sent for at most 8 s more: until 6 s ago
            assert lease.sent_until == pytest.approx(other.now() - 6.0, abs=1.0)
            assert lease.sent_until == pytest.approx(true - 6.0, abs=30.0)
            assert row(database).owner == "two"


async def test_an_owner_that_was_replaced_frees_nothing(database, other):
    async with AsyncExitStack() as second:
        async with holding(database):
            change(database, expires_at=0.0)
            await second.enter_async_context(holding(other, "two"))
        assert row(database).owner == "two"
        assert row(database).usage is None


async def test_renewals_keep_it_and_hand_on_the_usage(database, other, quick, boot):
    usage = Usage(after=lambda: setattr(boot, "seconds", boot.seconds + 4))
    async with holding(database, usage=usage) as lease:
        change(database, expires_at=now(database) + 1.0)
        await usage.again(4)
        lease.check()
        assert row(database).expires_at - now(database) > 8
        assert row(database).usage["count"] >= 2
        with pytest.raises(Busy):
            await other_waits(other, 0)
    async with holding(other, "two") as successor:
        assert successor.predecessor == {"count": usage.count}


async def test_the_usage_is_asked_for_where_the_pacer_lives(database, quick):
    usage = Usage()
    async with holding(database, usage=usage):
        await usage.again(3)
    assert usage.threads == {threading.get_ident()}


@pytest.mark.parametrize(("seconds", "good"), [(0.0, True), (7.9, True), (8.1, False), (1e6, False)])
async def test_a_lease_is_doubted_before_another_may_have_it(database, boot, seconds, good):
    async with holding(database) as lease:
        boot.seconds += seconds
        if good:
            lease.check()
        else:
            with pytest.raises(LeaseLost, match="could not be renewed in time"):
                lease.check()


async def test_renewals_that_fail_are_missed_and_end_nothing_by_themselves(database, quick, boot):
    usage = Usage()
    async with holding(database, usage=usage) as lease:
        database.now_do(lambda c: c.execute(text("ALTER TABLE leases RENAME TO elsewhere")))
        await usage.again(3)
        lease.check()
        boot.seconds += 11
        with pytest.raises(LeaseLost):
            lease.check()
        database.now_do(lambda c: c.execute(text("ALTER TABLE elsewhere RENAME TO leases")))
        await usage.again(3)
        lease.check()


async def test_a_lease_that_another_took_is_lost_at_the_next_renewal(database, quick, boot):
    usage = Usage()
    async with holding(database, usage=usage) as lease:
        change(database, owner="two")
        await usage.again(3)
        with pytest.raises(LeaseLost):
            lease.check()
    assert row(database).owner == "two"


async def test_a_lease_that_is_taken_again_lasts_from_when_that_was_asked(database, boot):
    async with holding(database) as lease:

        def slow(_connection):
            boot.seconds += 9

        async def meanwhile():
            event.listen(database.engine, "commit", slow)

        await module.step_aside(database, "location", lease, usage=dict, about={}, meanwhile=meanwhile)
        event.remove(database.engine, "commit", slow)
        with pytest.raises(LeaseLost):
            lease.check()


async def test_a_clock_that_was_set_back_keeps_nobody_waiting(database, other, boot, quick):
    ahead = now(database) + 3600.0
    async with holding(database):
        change(database, owner="gone", holder={"run": "gone", "host": "elsewhere"}, expires_at=ahead)
    database.now_do(lambda c: module._in_line(c, "location", "also gone", {"run": "also gone"}, 0, ahead))
    assert database.now_look(module.at_work) == []
    taking = asyncio.create_task(enter(holding(other, "two", wait=60.0)))
    await asyncio.sleep(0.1)
    boot.seconds += EXPIRY_SECONDS - 1.0
    await asyncio.sleep(0.1)
    assert not taking.done(), "whoever took it may still be there, and renew it any moment"
    boot.seconds += 1.0
    assert await taking == pytest.approx(now(database), abs=5.0)


async def enter(lease):
    """Take a lease, and give it back at once; return until when its last owner may have sent."""
    async with lease as held:
        return held.sent_until


async def test_a_clock_that_was_set_back_takes_nothing_from_a_living_owner(database, other):
    async with holding(database) as lease:
        change(database, expires_at=now(database) + 3600.0)
        held = other.now_do(lambda c: module._try(c, "location", "two", {"run": "two"}))
        assert not isinstance(held, Lease)
        lease.check()


async def test_a_lease_being_taken_by_who_is_cancelled_is_given_back(database, other):
    change_of_mind, busy = threading.Event(), threading.Event()

    def occupy(_connection):
        busy.set()
        assert change_of_mind.wait(30)

    occupied = asyncio.ensure_future(database.look(occupy))
    await asyncio.to_thread(busy.wait, 30)
    taking = asyncio.create_task(holding(database).__aenter__())
    await asyncio.sleep(0)  # it stands in the queue of the ledger's thread now
    taking.cancel()
    change_of_mind.set()
    with pytest.raises(asyncio.CancelledError):
        await taking
    await occupied
    async with holding(other, "two") as lease:
        assert lease.sent_until is None


def test_taking_it_twice_is_taking_it_once(database):
    """The answer to the commit was lost, so the transaction is repeated."""

    def take(connection):
        return module._try(connection, "location", "one", {"run": "one"})

    assert isinstance(database.now_do(take), module.Lease)
    again = database.now_do(take)
    assert isinstance(again, module.Lease)
    assert again.sent_until is None


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_no_renewal_slips_into_a_takeover(database, other):
    async with holding(database):
        change(database, expires_at=0.0)
        renewals = []

        def renew(_connection, _cursor, statement, *_rest):
            if statement.startswith("INSERT INTO leases"):
                try:
                    renewals.append(database.now_do(extend))
                except LedgerUnavailable as error:
                    renewals.append("lock timeout" in str(error))

        def extend(connection):
            connection.execute(text("SET LOCAL lock_timeout = 100"))
            ours, _ = module._extend(connection, name="location", lease=Lease("one", 0, None, None), usage={})
            return "renewed" if ours else "lost"

        event.listen(other.engine, "before_cursor_execute", renew)
        async with holding(other, "two"):
            assert renewals == [True]
            assert database.now_do(extend) == "lost"
