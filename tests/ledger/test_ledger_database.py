from __future__ import annotations

import os
import sqlite3
import stat
import time
from pathlib import Path

import pytest
from sqlalchemy import event, insert, text

from tasks.errors import ConfigurationError, LedgerUnavailable
from tasks.ledger import database as module
from tasks.ledger import facts, migrate
from tasks.ledger.database import open_engine, opened
from tasks.ledger.tables import facts as table
from tests.support import ledgers


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def file(path):
    """A migrated ledger in a file."""
    with opened(f"sqlite:///{path}") as ledger:
        ledger.now_do(migrate.upgrade)
        yield ledger


def put(database, value="x", name="walk"):
    return database.now_do(lambda connection: facts.put(connection, "acme", name, value))


def get(database, name="walk"):
    known = database.now_look(lambda connection: facts.get(connection, "acme", name))
    return None if known is None else known[0]


def test_all_files_of_the_ledger_are_its_owners_alone(file, path):
    before = os.umask(0)
    try:
        put(file)
        modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"ledger.db": 0o600, "ledger.db-wal": 0o600, "ledger.db-shm": 0o600}


def test_files_that_were_open_to_others_are_narrowed(file, path):
    put(file)
    for one in path.parent.iterdir():
        one.chmod(0o664)
    with opened(f"sqlite:///{path}"):
        modes = {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert modes == {0o600}


def test_a_committed_write_survives_a_power_cut(path, monkeypatch):
    monkeypatch.setattr(module, "SYNCHRONOUS", ledgers.SHIPPED)
    settings = {"journal_mode": "wal", "synchronous": 2}
    with opened(f"sqlite:///{path}") as file:
        for name, value in settings.items():
            assert file.now_do(lambda c, name=name: c.execute(text(f"PRAGMA {name}")).scalar()) == value


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "no database URL"),
        ("ledger.db", "no database URL"),
        ("postgresql://u:secret@host:port/db", "no database URL"),
        ("mysql://u:secret@host/db", "mysql is not supported; use sqlite or postgresql"),
        ("postgres://u:secret@host/db", "postgres is not supported; use sqlite or postgresql"),
        ("postgresql://u:p@secret@host/db", "%40"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_a_url_that_cannot_be_a_ledgers_is_refused_without_its_password(url, said):
    with pytest.raises(ConfigurationError, match=said) as caught:
        open_engine(url)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite", "sqlite+pysqlcipher"])
def test_the_driver_is_ours_whatever_the_url_says(driver, path):
    with opened(f"{driver}:///{path}") as database:
        assert database.now_do(lambda c: c.execute(text("SELECT 1")).scalar()) == 1


@pytest.mark.parametrize("place", ["nowhere/ledger.db", "."])
def test_a_file_that_cannot_be_made(tmp_path, place):
    with pytest.raises(LedgerUnavailable, match="cannot open"):
        open_engine(f"sqlite:///{tmp_path}/{place}")


def test_a_file_that_is_no_database(path):
    path.write_bytes(b"no database at all" * 100)
    with opened(f"sqlite:///{path}") as database, pytest.raises(LedgerUnavailable, match="not a database"):
        database.now_do(migrate.upgrade)


def test_a_locked_file_is_waited_for_and_then_named(path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.3)
    with opened(f"sqlite:///{path}") as database, opened(f"sqlite:///{path}") as other:
        database.now_do(migrate.upgrade)
        with other.engine.begin():
            before = time.monotonic()
            with pytest.raises(LedgerUnavailable, match="another program holds it") as caught:
                put(database)
            assert 0.25 < time.monotonic() - before < 5
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)
        put(database)
        assert get(database) == "x"


def test_a_file_locked_before_it_is_in_wal_mode(path, monkeypatch):
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.2)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with opened(f"sqlite:///{path}") as database:
        with pytest.raises(LedgerUnavailable, match="another program holds it"):
            database.now_do(migrate.upgrade)
        holder.execute("COMMIT")
        assert database.now_do(migrate.upgrade)
    holder.close()


def test_a_new_file_that_another_is_just_setting_up_is_waited_for(path, monkeypatch):
    """SQLite's own time-out does not hold for the change to WAL mode: two first runs at once met it."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if holder.in_transaction:
            holder.execute("COMMIT")

    monkeypatch.setattr(module.time, "sleep", sleep)
    with opened(f"sqlite:///{path}") as database:
        assert database.now_do(migrate.upgrade)
        assert database.now_look(lambda c: c.execute(text("PRAGMA journal_mode")).scalar()) == "wal"
    holder.close()
    assert len(waits) == 1


def test_who_only_looks_waits_for_no_writer(database, ledger_url):
    put(database, "before")
    with opened(ledger_url) as other, other.engine.begin() as writing:
        facts.put(writing, "acme", "walk", "after")
        assert get(database) == "before"
    assert get(database) == "after"


def test_who_only_looks_cannot_write(database):
    row = {"account": "acme", "name": "walk", "value": 1, "learnt_at": 1.0}
    with pytest.raises(LedgerUnavailable, match=r"readonly|read-only"):
        database.now_look(lambda connection: connection.execute(insert(table).values(row)))
    assert get(database) is None
    put(database)
    assert get(database) == "x"


def test_a_look_sees_one_moment_of_a_file(file, path):
    put(file, 1)
    with opened(f"sqlite:///{path}") as other:

        def look(connection):
            seen = [facts.get(connection, "acme", "walk")[0]]
            put(other, 2)
            return [*seen, facts.get(connection, "acme", "walk")[0]]

        assert file.now_look(look) == [1, 1]


async def test_work_that_fails_leaves_nothing_and_keeps_its_error(database):
    def fail(connection):
        facts.put(connection, "acme", "walk", 1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await database.do(fail)
    assert await database.look(lambda c: facts.get(c, "acme", "walk")) is None


def test_a_full_disk_is_said_and_loses_nothing(file, path):
    put(file, "kept")
    pages = file.now_look(lambda c: c.execute(text("PRAGMA page_count")).scalar())
    event.listen(file.engine, "begin", lambda c: c.exec_driver_sql(f"PRAGMA max_page_count={pages}"))
    with pytest.raises(LedgerUnavailable, match="make room on the disk"):
        put(file, "x" * 1_000_000, "big")
    assert get(file) == "kept"
    with opened(f"sqlite:///{path}") as later:
        assert get(later, "big") is None
        put(later, "x" * 1_000_000, "big")
        assert get(file, "big") == "x" * 1_000_000


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://someone:hidden@127.0.0.1:1/ledger",
        "postgresql://127.0.0.1:1/ledger?user=someone&password=hidden",
        "postgresql://someone:hidden@127.0.0.1:1/ledger?sslmode=nonsense",
        "postgresql+asyncpg://someone:hidden@127.0.0.1:1/ledger",
    ],
)
def test_an_unreachable_server_is_named_without_the_password(url):
    with opened(url) as database, pytest.raises(LedgerUnavailable, match=r"127\.0\.0\.1") as caught:
        database.now_do(migrate.level)
    assert "hidden" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is None


KILL_THE_OTHERS = """
    SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'voipsync' AND pid <> pg_backend_pid()
"""


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_a_connection_killed_between_two_works_is_replaced(database, ledger_url):
    await database.do(lambda c: facts.put(c, "acme", "walk", 1))
    with opened(ledger_url) as operator:
        assert operator.now_do(lambda c: c.execute(text(KILL_THE_OTHERS)).scalar()) == 1
    await database.do(lambda c: facts.put(c, "acme", "walk", 2))
    assert get(database) == 2


def interrupted(operator, tries, kills):
    """Work in two steps, between which its connection is killed the first times."""

    def work(connection):
        facts.put(connection, "acme", "first", len(tries))
        tries.append(connection.execute(text("SELECT pg_backend_pid()")).scalar())
        if len(tries) <= kills:
            operator.now_do(lambda c: c.execute(text(f"SELECT pg_terminate_backend({tries[-1]})")))
        facts.put(connection, "acme", "second", len(tries))

    return work


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("kills", [1, 2])
def test_work_whose_connection_is_killed_is_repeated_whole(database, ledger_url, kills):
    tries = []
    with opened(ledger_url) as operator:
        database.now_do(interrupted(operator, tries, kills))
    assert len(set(tries)) == kills + 1
    assert [get(database, "first"), get(database, "second")] == [kills, kills + 1]


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_work_whose_connection_is_always_killed_is_given_up(database, ledger_url):
    tries = []
    with opened(ledger_url) as operator, pytest.raises(LedgerUnavailable) as caught:
        database.now_do(interrupted(operator, tries, 99))
    assert len(tries) == 3
    assert "\n" not in str(caught.value)
    assert [get(database, "first"), get(database, "second")] == [None, None]


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_the_users_own_connection_parameters_count(database, ledger_url):
    def named(url):
        with opened(url) as one:
            return one.now_do(
                lambda c: c.execute(text("SELECT current_setting('application_name')")).scalar()
            )

    assert named(ledger_url) == "voipsync"
    assert named(f"{ledger_url}&application_name=mine") == "mine"
