"""A ledger of every revision becomes what a new one is, rows and all, while older programs are at work."""

from __future__ import annotations

import shutil
import signal
import time
from functools import partial

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, text

from tasks.errors import LedgerUnavailable
from tasks.ledger import migrate, records
from tasks.ledger.database import opened
from tasks.ledger.records import Record
from tests.support.forking import execute

REVISIONS = [one.revision for one in ScriptDirectory(str(migrate.SCRIPTS)).walk_revisions()]
NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9998", "{head}"


def upgrade():
    op.add_column("records", sa.Column("colour", sa.String(8), server_default="red"))
    op.create_table("colours", sa.Column("name", sa.String(8), primary_key=True))
"""
DIES = """
import os, signal, sys
from tasks.ledger import migrate
from tasks.ledger.database import opened
def die(connection):
    migrate.upgrade(connection)
    os.kill(os.getpid(), signal.SIGKILL)
with opened(sys.argv[1]) as database:
    database.now_do(die)
"""


@pytest.fixture
def newer(tmp_path, monkeypatch):
    """Call it to be a version with one more revision, made by the rules."""

    def become():
        scripts = tmp_path / "migrations"
        shutil.copytree(migrate.SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
        (scripts / "versions" / "9998_next.py").write_text(NEXT.format(head=migrate.HEAD))
        monkeypatch.setattr(migrate, "SCRIPTS", scripts)
        monkeypatch.setattr(migrate, "HEAD", "9998")

    return become


def to(revision, connection):
    config = Config()
    config.set_main_option("script_location", str(migrate.SCRIPTS))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def schema(connection):
    """All that there is, in a form that can be compared."""
    found = inspect(connection)
    return {
        table: {
            "columns": sorted(
                (one["name"], str(one["type"]), one["nullable"], one["default"])
                for one in found.get_columns(table)
            ),
            "key": found.get_pk_constraint(table)["constrained_columns"],
            "indexes": sorted(map(_index, found.get_indexes(table))),
            "unique": sorted(map(str, found.get_unique_constraints(table))),
            "foreign": sorted(map(str, found.get_foreign_keys(table))),
            "checks": sorted(map(str, found.get_check_constraints(table))),
        }
        for table in found.get_table_names()
    }


def _index(one):
    options = {name: str(value) for name, value in one.get("dialect_options", {}).items()}
    return (one["name"], one["column_names"], one["unique"], str(options))


def reflected(connection):
    metadata = MetaData()
    metadata.reflect(connection)
    return [table for table in metadata.sorted_tables if table.name != "alembic_version"]


def fill(connection):
    """A row in each table, with a value in each column."""
    values = {"FLOAT": 1.5, "DOUBLE_PRECISION": 1.5, "INTEGER": 7, "BIGINT": 7, "JSON": {"a": [1]}}
    for table in reflected(connection):
        row = {
            column.name: values.get(column.type.__visit_name__.upper(), column.name[:8]) for column in table.c
        }
        connection.execute(table.insert(), row)


def rows(connection):
    return {
        table.name: [dict(row._mapping) for row in connection.execute(table.select())]
        for table in reflected(connection)
    }


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_filled_ledger_of_every_revision_becomes_as_a_new_one(ledger_url, database_of_now, revision):
    with opened(ledger_url) as old:
        old.now_do(partial(to, revision))
        old.now_do(fill)
        before = old.now_look(rows)
        assert len(before) > 10
        assert all(before.values())
        old.now_do(migrate.upgrade)
        assert old.now_look(migrate.level) == migrate.HEAD
        assert old.now_look(schema) == database_of_now
        after = old.now_look(rows)
        assert {
            name: [{key: after[name][0][key] for key in one} for one in kept] for name, kept in before.items()
        } == before
        [kept] = old.now_look(lambda c: records.load(c, "account", "entity", ["source_i"])).values()
        assert (kept.state, kept.content, kept.first_seen_at) == ("state", {"a": [1]}, 1.5)


@pytest.fixture
def database_of_now(request, ledger_url, migrated_file):
    """The schema of a ledger that is new."""
    if ledger_url.startswith("sqlite"):
        url = f"sqlite:///{migrated_file}"
    else:
        server = request.getfixturevalue("postgres_url")
        name = request.getfixturevalue("migrated_template")
        with opened(ledger_url) as any_one:
            url = any_one.engine.url.set(database=name).render_as_string(hide_password=False)
        assert server
    with opened(url) as fresh:
        return fresh.now_look(schema)


def a_record(number, **values):
    given = {"account": "acme", "entity": "contacts", "state": "synced", "first_seen_at": 1.0}
    return Record(source_id=str(number), **{**given, **values})


def test_a_program_that_runs_meanwhile_goes_on_and_its_rows_are_there(database, ledger_url, newer):
    database.now_do(lambda c: records.save(c, [a_record(1)]))
    newer()
    with opened(ledger_url) as ours:
        assert ours.now_do(migrate.upgrade) is True
    database.now_do(lambda c: records.save(c, [a_record(1, content={"n": 1}), a_record(2)]))
    found = database.now_look(lambda c: records.load(c, "acme", "contacts", ["1", "2"]))
    assert (found["1"].content, found["2"].state) == ({"n": 1}, "synced")
    colours = database.now_look(lambda c: c.execute(text("SELECT colour FROM records")).scalars().all())
    assert colours == ["red", "red"]


def test_an_older_program_that_starts_then_is_refused(database, newer, monkeypatch):
    scripts, head = migrate.SCRIPTS, migrate.HEAD
    newer()
    database.now_do(migrate.upgrade)
    monkeypatch.setattr(migrate, "SCRIPTS", scripts)
    monkeypatch.setattr(migrate, "HEAD", head)
    with pytest.raises(
        LedgerUnavailable, match="at revision 9998, which a newer voipsync made: update"
    ) as told:
        database.now_do(migrate.upgrade)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_table_in_use_is_not_waited_for_long(database, ledger_url, newer, monkeypatch):
    monkeypatch.setattr(migrate, "LOCK_SECONDS", 0.2)
    newer()
    with opened(ledger_url) as long:
        with long.engine.begin() as reading:
            reading.execute(text("SELECT count(*) FROM records"))
            started = time.monotonic()
            with pytest.raises(LedgerUnavailable, match=r"lock timeout.*run again when it has ended"):
                database.now_do(migrate.upgrade)
            assert time.monotonic() - started < 10
        assert database.now_do(migrate.upgrade) is True


def test_an_upgrade_that_is_killed_leaves_nothing_and_is_done_by_the_next(ledger_url, tmp_path):
    assert execute(DIES, ledger_url, out=tmp_path / "killed").wait(60) == -signal.SIGKILL
    with opened(ledger_url) as database:
        assert database.now_look(lambda c: inspect(c).get_table_names()) == []
        assert database.now_do(migrate.upgrade) is True
