"""The ledger lets go of what is old, and nothing is created again, doubled or lost for it."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from sqlalchemy import Float, func, insert, select, update

from tasks.engine.purge import purge
from tasks.errors import Busy, ConfigurationError
from tasks.ledger import lease, retention
from tasks.ledger.database import opened
from tasks.ledger.retention import DAY
from tasks.ledger.tables import facts, history, leases, metadata, records
from tasks.options import PurgeOptions
from tests.support.accounts import settings_of, sync
from tests.support.truth import check

MAPPING = {"deletes": "delete", "max_deletes": 100, "max_delete_percent": 100}


@pytest.fixture
def url(ledger_url, database):
    return ledger_url


def person(box, number):
    given = {"first_name": f"Person{number}", "email": f"person{number}@example.com"}
    box.insert_source("contacts", id=number, **given)
    box.insert_source("notes", number, body=f"Note of {number}")


def age(url, days=100):
    """So many days go by without a run."""
    with opened(url) as ledger:
        for table in metadata.sorted_tables:
            instants = {column.name: column - days * DAY for column in table.c if type(column.type) is Float}
            if instants and table is not leases:
                ledger.now_do(partial(_execute, update(table).values(instants)))


def _execute(statement, connection):
    connection.execute(statement)


def number_of(url, table):
    with opened(url) as ledger:
        return ledger.now_look(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())


def states(url):
    query = select(records.c.entity, records.c.source_id, records.c.state)
    with opened(url) as ledger:
        return {(one, key): state for one, key, state in ledger.now_look(lambda c: c.execute(query).all())}


async def purged(box, url, account=None, *, configured=("acme",), state=None, **options):
    settings = settings_of(box, url, state=state)
    return await purge(account, PurgeOptions(**options), settings, configured)


async def with_everything(box, url):
    """Contacts that stand, one that a person deleted, and one that vanished at the source and was deleted."""
    for number in (1, 2):
        person(box, number)
    await sync(box, url, mapping=MAPPING)
    person(box, 3)
    await sync(box, url, mapping=MAPPING)
    box.delete("contacts", next(row["id"] for row in box.contacts() if row["firstName"] == "Person2"))
    box.edit_source("contacts", 2, last_name="Changed")
    box.delete_source("contacts", 3)
    for _ in range(2):
        await sync(box, url, mapping=MAPPING)
    assert states(url)["contacts", "2"] == "left"
    assert states(url)["contacts", "3"] == states(url)["notes", "3/3"] == "gone"
    return check(box, url, mapping=MAPPING)


async def test_after_a_purge_nothing_is_written_and_what_returns_is_created_once(box, url):
    missing = await with_everything(box, url)
    assert all(" 2" in one for one in missing)
    age(url)
    would = await purged(box, url, dry_run=True)
    made = await purged(box, url)
    assert made.rows == would.rows
    went = {kind: number for kind, number in made.rows["acme"].items() if number}
    assert went.pop("writes") > 5
    assert went == {"tombstones": 2}
    assert {key for key in states(url) if key[1].startswith("3")} == set()
    box.reset_counters()
    assert (await sync(box, url, mapping=MAPPING)).status == "ok"
    assert box.writes() == {}
    person(box, 3)
    await sync(box, url, mapping=MAPPING)
    assert sorted(row["firstName"] for row in box.contacts()) == ["Person1", "Person3"]
    assert len(box.notes()) == 2
    assert check(box, url, mapping=MAPPING) == missing
    again = await purged(box, url)
    assert not any(again.rows["acme"].values())


class KilledError(Exception):
    """The process ends here."""


async def test_a_purge_that_dies_after_any_batch_is_finished_by_the_next(box, url, monkeypatch):
    await with_everything(box, url)
    age(url)
    would = await purged(box, url, dry_run=True)
    monkeypatch.setattr(retention, "BATCH", 1)
    let_go, deaths = retention.let_go, 0

    def dies(connection, *how, **asked):
        if let_go(connection, *how, **asked):
            connection.commit()
            raise KilledError
        return 0

    monkeypatch.setattr(retention, "let_go", dies)
    while True:
        try:
            await purged(box, url)
        except KilledError:
            deaths += 1
        else:
            break
    monkeypatch.setattr(retention, "let_go", let_go)
    assert deaths == sum(would.rows["acme"].values()) > 5
    box.reset_counters()
    await sync(box, url, mapping=MAPPING)
    assert box.writes() == {}


async def test_a_purge_and_a_sync_at_the_same_time_leave_each_other_alone(box, url, monkeypatch):
    missing = await with_everything(box, url)
    age(url)
    monkeypatch.setattr(retention, "BATCH", 1)
    for number in range(10, 30):
        person(box, number)
    made, report = await asyncio.gather(purged(box, url), sync(box, url, mapping=MAPPING))
    assert report.status == "ok"
    assert made.rows["acme"]["tombstones"] == 2
    assert check(box, url, mapping=MAPPING) == missing


async def test_one_account_is_purged_or_all_that_are_configured_and_others_are_named(box, url):
    await with_everything(box, url)
    with opened(url) as ledger:
        row = {"name": "walk", "value": 1, "learnt_at": 1.0}
        names = ("beta", "old")
        ledger.now_do(lambda c: c.execute(insert(facts), [{**row, "account": one} for one in names]))
    age(url)
    made = await purged(box, url, dry_run=True, configured=("acme", "beta", "new"))
    assert (list(made.rows), made.strangers) == (["acme", "beta"], ("old",))
    assert any("old; `voipsync purge --gone NAME`" in note for note in made.notes())
    made = await purged(box, url, "beta", configured=("acme", "beta"))
    assert list(made.rows) == ["beta"]
    with pytest.raises(ConfigurationError, match=r"unknown account 'old'.*purge --gone old"):
        await purged(box, url, "old")


async def test_all_of_an_account_that_is_gone_goes_once_nobody_runs_it(box, url):
    person(box, 1)
    await sync(box, url)
    with pytest.raises(ConfigurationError, match="'acme' is configured"):
        await purged(box, url, gone="acme")
    with pytest.raises(ConfigurationError, match="knows nothing of an account 'amce'"):
        await purged(box, url, gone="amce", configured=())
    about = {"run": "r1", "account": "acme"}
    held = partial(lease.hold, name="loc", owner="r1", wait=0, usage=dict, tell=print, about=about)
    with opened(url) as ledger:
        async with held(ledger):
            with pytest.raises(Busy, match="run r1"):
                await purged(box, url, gone="acme", configured=())
    would = await purged(box, url, gone="acme", configured=(), dry_run=True)
    assert states(url)
    made = await purged(box, url, gone="acme", configured=())
    assert made.rows == would.rows
    assert made.rows["acme"]["records"] == 2
    assert (number_of(url, records), number_of(url, facts), made.strangers) == (0, 0, ())
    assert (await sync(box, url)).entities["contacts"]["adopted"] == 1
    assert (len(box.contacts()), len(box.notes())) == (1, 1)


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_room_in_a_file_is_told_and_given_back(box, url, tmp_path):
    row = {
        "account": "acme", "run_id": "r0", "at": 1.0, "entity": "notes", "source_id": "1/1",
        "action": "updated", "why": "x" * 1000,
    }  # fmt: skip
    with opened(url) as ledger:
        ledger.now_do(lambda c: c.execute(insert(history), [{**row, "number": one} for one in range(3000)]))
        ledger.now_do(partial(_known, "acme"))
    made = await purged(box, url)
    size = (tmp_path / "ledger.db").stat().st_size
    assert made.free > 2_000_000
    assert any("MB of the ledger's file are free" in note for note in made.notes())
    made = await purged(box, url, compact=True)
    assert made.free == 0
    assert (tmp_path / "ledger.db").stat().st_size < size - 2_000_000


def _known(account, connection):
    connection.execute(insert(facts), {"account": account, "name": "walk", "value": 1, "learnt_at": 1.0})


async def test_between_two_batches_others_write(box, url, monkeypatch):
    row = {
        "account": "acme", "run_id": "r0", "at": 1.0, "entity": "notes", "source_id": "1/1",
        "action": "updated",
    }  # fmt: skip
    monkeypatch.setattr(retention, "BATCH", 500)
    between = 0
    with opened(url) as ledger:
        ledger.now_do(lambda c: c.execute(insert(history), [{**row, "number": one} for one in range(10_000)]))
        ledger.now_do(partial(_known, "acme"))
        purging = asyncio.create_task(purged(box, url))
        while not purging.done():
            await ledger.do(lambda c: c.execute(update(facts).values(value=2)))
            between += number_of(url, history) not in (0, 10_000)
            await asyncio.sleep(0)
    assert (await purging).rows["acme"]["writes"] == 10_000
    assert between > 5
