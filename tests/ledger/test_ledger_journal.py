from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import event, text

from tasks.errors import LedgerUnavailable
from tasks.ledger import records
from tasks.ledger.database import opened
from tasks.ledger.journal import Journal
from tasks.ledger.records import Record


def make(number, account="acme", **values):
    return Record(
        account=account,
        entity="contacts",
        source_id=str(number),
        first_seen_at=1.0,
        **{"state": "synced", **values},
    )


def load(database, number, account="acme"):
    found = database.now_look(lambda c: records.load(c, account, "contacts", [str(number)]))
    return found.get(str(number))


@pytest.fixture
def commits(database):
    """The transactions committed so far, one entry each."""
    counted = []
    event.listen(database.engine, "commit", counted.append)
    return counted


async def turns(number=3):
    """Let every task run as far as it can without the ledger's thread."""
    for _ in range(number):
        await asyncio.sleep(0)


class Held:
    """Keeps the ledger's thread busy until it is let go."""

    def __init__(self, database):
        self._go, self._busy = threading.Event(), threading.Event()
        self.done = asyncio.ensure_future(database.look(self._hold))

    def _hold(self, _connection):
        self._busy.set()
        assert self._go.wait(30)

    async def reached(self):
        await asyncio.to_thread(self._busy.wait, 30)
        return self

    async def let_go(self):
        self._go.set()
        await self.done


async def test_many_at_once_share_a_transaction(database, commits):
    journal = Journal(database)
    await asyncio.gather(*(journal.save(make(number)) for number in range(500)))
    assert len(commits) == 1
    counted = database.now_look(lambda c: records.count_by_state(c, "acme"))
    assert counted == {("contacts", "synced"): 500}


async def test_who_comes_during_a_transaction_shares_the_next(database, commits):
    journal, held = Journal(database), await Held(database).reached()
    first = [asyncio.create_task(journal.save(make(number))) for number in range(3)]
    await turns()
    assert not journal._waiting  # on their way
    second = [asyncio.create_task(journal.save(make(number))) for number in range(3, 50)]
    await turns()
    assert len(journal._waiting) == 47
    commits.clear()
    await held.let_go()
    await asyncio.gather(*first, *second)
    assert len(commits) == 3  # of the holder, the first and all of the second
    assert load(database, 49) == make(49)


async def test_a_saved_record_is_seen_by_others_on_return(database, ledger_url):
    journal = Journal(database)
    with opened(ledger_url) as other:
        for number in range(3):
            await journal.save(make(number))
            assert load(other, number) == make(number)


async def test_the_last_state_of_a_record_wins(database, commits):
    journal = Journal(database)
    await asyncio.gather(*(journal.save(make(1, seen=seen)) for seen in range(20)))
    assert len(commits) == 1
    assert load(database, 1).seen == 19


async def test_records_of_two_accounts_do_not_replace_each_other(database):
    journal = Journal(database)
    await asyncio.gather(journal.save(make(1, seen=1)), journal.save(make(1, "beta", seen=2)))
    assert [load(database, 1).seen, load(database, 1, "beta").seen] == [1, 2]


async def test_an_error_reaches_everyone_who_waits_and_later_saves_work(database):
    journal = Journal(database)
    database.now_do(lambda c: c.execute(text("ALTER TABLE records RENAME TO elsewhere")))
    outcomes = await asyncio.gather(*(journal.save(make(n)) for n in range(5)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [LedgerUnavailable] * 5
    database.now_do(lambda c: c.execute(text("ALTER TABLE elsewhere RENAME TO records")))
    assert load(database, 1) is None
    await journal.save(make(1))
    assert load(database, 1) == make(1)


async def test_a_waiter_that_is_cancelled_disturbs_no_other(database):
    journal, held = Journal(database), await Held(database).reached()
    waiters = [asyncio.create_task(journal.save(make(number))) for number in range(3)]
    await turns()
    waiters[1].cancel()
    await held.let_go()
    outcomes = await asyncio.gather(*waiters, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), asyncio.CancelledError, type(None)]
    assert load(database, 2) == make(2)
