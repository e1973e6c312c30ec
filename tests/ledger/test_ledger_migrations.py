from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from tasks.errors import LedgerUnavailable
from tasks.ledger import migrate
from tasks.ledger.database import Database, opened
from tasks.ledger.tables import metadata
from tests.support.forking import at_once

ROOT = Path(__file__).parents[2]
UPGRADE = """
import sys
from tasks.ledger import migrate
from tasks.ledger.database import opened
with opened(sys.argv[1]) as database:
    print(database.now_do(migrate.upgrade))
"""


@pytest.fixture
def empty(ledger_url) -> Iterator[Database]:
    with opened(ledger_url) as database:
        yield database


def test_an_empty_database_is_brought_up_once(empty):
    assert empty.now_look(migrate.level) is None
    assert empty.now_do(migrate.upgrade) is True
    assert empty.now_look(migrate.level) == migrate.HEAD
    assert empty.now_do(migrate.upgrade) is False


def test_head_is_the_newest_script():
    scripts = ScriptDirectory(str(ROOT / "tasks/ledger/migrations"))
    assert scripts.get_heads() == [migrate.HEAD]


def test_the_schema_is_what_the_tables_say(database):
    def differences(connection):
        # of defaults Alembic does not understand SQLite's spelling of the empty string
        options = {"compare_type": True, "compare_server_default": connection.dialect.name != "sqlite"}
        return compare_metadata(MigrationContext.configure(connection, opts=options), metadata)

    assert database.now_look(differences) == []
    database.now_do(lambda c: c.execute(text("ALTER TABLE runs ADD COLUMN stray INTEGER")))
    assert [change[0] for change in database.now_look(differences)] == ["remove_column"]


def test_the_indexes_of_the_few_hold_only_the_few(database):
    conditions = f"{database.engine.dialect.name}_where"

    def partial(connection):
        indexes = inspect(connection).get_indexes("records")
        return {index["name"] for index in indexes if conditions in index.get("dialect_options", {})}

    assert database.now_look(partial) == {"records_with_intent", "records_unsettled", "records_withholding"}


def test_a_migration_that_fails_half_way_leaves_nothing(empty):
    def stop(connection):
        migrate.upgrade(connection)
        assert inspect(connection).has_table("records")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        empty.now_do(stop)
    assert empty.now_look(lambda c: inspect(c).get_table_names()) == []
    assert empty.now_do(migrate.upgrade) is True


def test_a_ledger_of_a_newer_version_is_left_alone(database):
    database.now_do(lambda c: c.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(LedgerUnavailable, match=r"revision 9999, which a newer voipsync made"):
        database.now_do(migrate.upgrade)
    assert database.now_look(migrate.level) == "9999"


def test_processes_that_upgrade_at_once_all_succeed(ledger_url, tmp_path):
    answers = at_once(UPGRADE, ledger_url, processes=3, folder=tmp_path)
    assert sorted(answers) == ["False\n", "False\n", "True\n"]
