"""No statement of a run looks through what other accounts have: each finds its rows by an index."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

from tasks.engine.attention import cases
from tasks.engine.fleet import standings
from tasks.ledger import backfills, effects, records, refused, retention, vanished
from tasks.ledger.retention import Terms
from tests.support.accounts import sync
from tests.support.verifying import verify_all

OTHERS = 20_000
"""Rows of other accounts, in each of the tables that grow with the contacts."""
GROWING = ("records", "directory", "effects", "history")
FILL = {
    "records": "INSERT INTO records (account, entity, source_id, parent_id, destination_id, state,"
    " fingerprint, listed, attempts, first_seen_at, seen) SELECT 'other' || (n % 20),"
    " CASE n % 3 WHEN 0 THEN 'contacts' ELSE 'notes' END, 's' || n, 's' || (n / 3 * 3), 'd' || n,"
    " CASE n % 97 WHEN 0 THEN 'rejected' ELSE 'synced' END, 'f', '', 0, 0, 1 FROM numbers",
    "directory": "INSERT INTO directory (account, contact_id, email, phone, source_id, name)"
    " SELECT 'other' || (n % 20), 'd' || n, 'e' || n, 'p' || n, 's' || n, '' FROM numbers",
    "effects": 'INSERT INTO effects (account, "key", source_id, tag, "when", action, target, "at", state,'
    " attempts, tried) SELECT 'other' || (n % 20), 'k' || n, 's' || n, 't', 'added', 'event', 'e', 0,"
    " 'done', 0, 0 FROM numbers",
    "history": 'INSERT INTO history (account, run_id, number, "at", entity, source_id, action)'
    " SELECT 'other' || (n % 20), 'r' || (n / 1000), n, n, 'contacts', 's' || n, 'created' FROM numbers",
}
NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :most) ",
    "postgresql": "WITH numbers(n) AS (SELECT generate_series(1, :most)) ",
}


def fill(connection: Connection, statements: Mapping[str, str]) -> None:
    with_numbers = NUMBERS[connection.dialect.name]
    for table, statement in statements.items():
        into, _, chosen = statement.partition(" SELECT ")
        connection.execute(text(f"{into} {with_numbers} SELECT {chosen}"), {"most": OTHERS})
        if connection.dialect.name != "sqlite":  # nobody gathers its statistics
            connection.execute(text(f"ANALYZE {table}"))


@pytest.fixture
def said() -> Iterator[dict[str, Any]]:
    """Every statement that is run meanwhile, with parameters of one of its executions."""
    found: dict[str, Any] = {}

    def note(
        _connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool
    ) -> None:
        found.setdefault(statement, parameters[0] if many else parameters)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


def plan_of(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """The steps in which a statement would be done."""
    if connection.dialect.name == "sqlite":
        return [
            str(row[3]) for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    return [str(row[0]) for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)]


def scanned(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """The tables that a statement would look through from one end to the other."""
    steps = plan_of(connection, statement, parameters)
    if connection.dialect.name == "sqlite":
        return [table for table in GROWING for step in steps if step.startswith(f"SCAN {table}")]
    return [table for table in GROWING for step in steps if f"Seq Scan on {table}" in step]


async def test_every_statement_finds_its_rows_by_an_index(box, database, ledger_url, said):
    database.now_do(partial(fill, statements=FILL))
    routes = [{"tag": "vip", "event": "crm.vip"}]
    box.reset(contacts=20, burst=5000)
    for mode in ("incremental", "incremental", "full"):
        await sync(box, ledger_url, mode=mode, mapping={"deletes": "delete", "routes": routes})
        first, *_, last = box.source("contacts")
        box.edit_source("contacts", first["id"], last_name=f"After {mode}", email=f"{mode}@example.com")
        box.delete_source("contacts", last["id"])
    await verify_all(box, ledger_url, "contacts", "notes")
    ours = {
        statement: parameters
        for statement, parameters in said.items()
        if statement.startswith(("SELECT", "UPDATE", "DELETE"))
        and any(
            f"{word} {table}" in " ".join(statement.split())
            for table in GROWING
            for word in ("FROM", "UPDATE")
        )
    }
    assert len(ours) > 20

    def look(connection: Connection) -> dict[str, list[str]]:
        found = {
            statement: scanned(connection, statement, parameters) for statement, parameters in ours.items()
        }
        return {statement: tables for statement, tables in found.items() if tables}

    assert database.now_look(look) == {}


LARGE = {
    "records": "INSERT INTO records (account, entity, source_id, destination_id, state, fingerprint, listed,"
    " attempts, first_seen_at, seen, origin) SELECT 'acme', 'contacts', 's' || n, 'd' || n,"
    " CASE n % 500 WHEN 0 THEN 'rejected' ELSE 'synced' END, 'f', '', 0, 0, 1,"
    " CASE n % 900 WHEN 0 THEN 'created' ELSE 'adopted' END FROM numbers",
    "runs": "INSERT INTO runs (id, account, kind, mode, status, started_at, finished_at, owner)"
    " SELECT 'r' || n, 'acme', 'sync', 'incremental', 'failed', n, n + 1, 'o' FROM numbers",
    "effects": FILL["effects"].replace("'other' || (n % 20)", "'acme'"),
    "staged": 'INSERT INTO staged (account, "key", source_id, "at")'
    " SELECT 'acme', 'k', 's' || n, n FROM numbers",
}
"""An account of which little is open, and no sync has ever ended well."""


def test_what_is_open_in_a_large_account_is_found_without_looking_through_it(database, said):
    database.now_do(partial(fill, statements=LARGE))

    def ask(connection: Connection) -> dict[str, list[str]]:
        said.clear()
        standings(connection, ["acme"])
        records.count_by_state(connection, "acme", settled=False)
        records.count_rejects(connection, "acme")
        records.ambiguous(connection, "acme", 5)
        records.withholding(connection, "acme", ["anne@example.com"])
        cases(connection, "acme")
        refused.contacts(connection, "acme", ["contacts"], "", 100)
        retention.let_go(connection, "tombstones", "acme", 1e9, Terms(90, 90))
        vanished.contacts(connection, "acme", 2)
        vanished.settle(connection, "acme", 2)
        backfills.not_in_yet(connection, "acme", "k")
        effects.count_open(connection, "acme")
        effects.open_of(connection, "acme", "s1")
        effects.due(connection, "acme", before=9, now=1.0, actions=("event",), most=10)
        found = {one: asked for one, asked in said.items() if re.search("records|effects|FROM runs", one)}
        # who is missing is looked for among all
        found = {one: asked for one, asked in found.items() if "records.seen <" not in one}
        return {statement: plan_of(connection, statement, asked) for statement, asked in found.items()}

    plans = database.now_do(ask)
    assert len(plans) == 15
    for statement, listed in plans.items():
        steps = "\n".join(listed)
        # a list of all contacts would be made, and looked through for each
        assert "LIST SUBQUERY" not in steps, statement
        assert "SubPlan" not in steps or "FROM runs" in statement, statement
        if "records.account !=" in statement:
            # not by whatever accounts there are
            assert re.search(r"\(+destination_id\b", steps), statement
        elif "runs.status IN ('ok'" in statement:
            assert "runs_good" in steps, statement
        elif "FROM effects" in statement:
            assert "effects_open" in steps, statement
        elif "withheld IN" in statement:
            assert "records_withholding" in steps, statement
        elif "staged" not in statement:
            undelivered = "destination_id IS NULL" in statement and "records_by_destination" in steps
            assert undelivered or "records_unsettled" in steps, statement
