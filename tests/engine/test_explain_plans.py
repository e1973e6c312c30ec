"""No statement of a run looks through what other accounts have: each finds its rows by an index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, text

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


def fill(connection: Connection) -> None:
    with_numbers = NUMBERS[connection.dialect.name]
    for table, statement in FILL.items():
        into, _, chosen = statement.partition(" SELECT ")
        connection.execute(text(f"{into} {with_numbers} SELECT {chosen}"), {"most": OTHERS})
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


def scanned(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """The tables that a statement would look through from one end to the other."""
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        steps = [str(row[3]) for row in rows]
        return [table for table in GROWING for step in steps if step.startswith(f"SCAN {table}")]
    rows = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).all()
    return [table for table in GROWING for row in rows if f"Seq Scan on {table}" in str(row[0])]


async def test_every_statement_finds_its_rows_by_an_index(box, database, ledger_url, said):
    database.now_do(fill)
    routes = [{"tag": "vip", "event": "crm.vip"}]
    box.reset(contacts=40, burst=5000)
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
