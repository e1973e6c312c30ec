from __future__ import annotations

import contextlib

import pytest
from sqlalchemy import func, insert, select

from tasks.ledger import history as deeds
from tasks.ledger.database import Database
from tasks.ledger.history import Deed, History
from tasks.ledger.journal import Journal
from tasks.ledger.records import Record
from tasks.ledger.tables import history, records, runs

NOW = 1_800_000_000.0


def make(number, **values):
    given = {
        "action": "updated",
        "before": {"firstName": "a"},
        "after": {"firstName": "b"},
        "at": NOW + number,
    }
    return Deed(account="acme", entity="contacts", source_id=str(number), **{**given, **values})


def begun(database, run_id, kind="sync"):
    row = {"id": run_id, "account": "acme", "kind": kind, "mode": "full", "status": "ok", "owner": "me:1"}
    database.now_do(lambda c: c.execute(insert(runs), row | {"started_at": NOW}))


def write(database, run_id, *told, days=90):
    database.now_do(lambda c: History("acme", run_id, days).write(c, told))


def number_of(database, table=history):
    return database.now_look(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())


def of_record(database, number):
    return database.now_look(lambda c: deeds.of_record(c, "acme", "contacts", str(number)))


def test_a_records_deeds_come_in_order_with_the_runs_that_did_them(database):
    begun(database, "r1")
    write(database, "r2", make(1, at=NOW + 9, action="deleted"), make(2))
    write(database, "r1", make(1, action="created", why="because", reason="odd", status=422))
    first, second = of_record(database, 1)
    assert first.deed == make(1, action="created", why="because", reason="odd", status=422)
    assert (first.run_id, first.number, first.kind, first.mode) == ("r1", 1, "sync", "full")
    assert (second.deed.action, second.run_id, second.kind) == ("deleted", "r2", None)


def test_what_others_did_since_is_found_for_the_records_of_a_run_alone(database):
    write(database, "r1", make(1), make(2))
    write(database, "r0", make(1, at=NOW - 5))
    write(database, "r2", make(2, at=NOW + 50), make(3, at=NOW + 51))
    since = database.now_look(lambda c: deeds.since_run(c, "acme", "r1"))
    assert [(one.run_id, one.deed.source_id) for one in since] == [("r2", "2")]
    of_run = database.now_look(lambda c: deeds.of_run(c, "acme", "r1"))
    assert [one.deed.source_id for one in of_run] == ["1", "2"]
    assert database.now_look(lambda c: deeds.runs_like(c, "acme", "r")) == ["r0", "r1"]
    assert database.now_look(lambda c: deeds.runs_like(c, "acme", "r_")) == []


def test_without_days_nothing_is_kept(database):
    write(database, "r1", make(1), days=0)
    assert number_of(database) == 0


async def test_deeds_are_kept_with_the_records_new_state_or_not_at_all(database, monkeypatch):
    journal = Journal(database, History("acme", "r1", 90))
    record = Record(account="acme", entity="contacts", source_id="1", state="synced", first_seen_at=NOW)
    await journal.save(record, deeds=[make(1), make(1, action="kept")])
    assert [one.deed.action for one in of_record(database, 1)] == ["updated", "kept"]

    def fails(_history, _connection, _deeds):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(History, "write", fails)
    with pytest.raises(RuntimeError):
        await journal.save(Record(**{**_values(record), "source_id": "2"}), deeds=[make(2)])
    assert number_of(database, records) == 1


async def test_a_transaction_that_is_repeated_numbers_on(database, monkeypatch):
    kept = History("acme", "r1", 90)
    transact, lost = Database._transact, iter([True])

    def once_lost(self, engine, work):
        if next(lost, False):
            with contextlib.suppress(ConnectionError), engine.begin() as connection:
                work(connection)
                raise ConnectionError
        return transact(self, engine, work)

    monkeypatch.setattr(Database, "_transact", once_lost)
    await Journal(database, kept).save(deeds=[make(1)])
    assert [one.number for one in of_record(database, 1)] == [2]


def _values(record):
    return {name: getattr(record, name) for name in Record.__dataclass_fields__}
