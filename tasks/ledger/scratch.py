"""A throw-away copy of an account's ledger, in which a rehearsed run writes what it would have written.

A private SQLite database in a temporary file without a name: it is gone with its connection, however the
process ends. What is sealed in the ledger is copied as it stands there, and what is written is sealed alike.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    Insert,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    cast,
    column,
    create_engine,
    event,
    func,
    insert,
    select,
    table,
)
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import TypeEngine

from tasks.ledger import tables
from tasks.ledger.clock import clock_of, lend
from tasks.ledger.columns import Foreign, SealedJson
from tasks.ledger.database import Database, begin_explicitly
from tasks.ledger.records import blocks, upsert
from tasks.ledger.sealing import bind, bound

COPIED = (tables.records, tables.effects, tables.directory, tables.facts)
BLOCK = 1_000
"""Rows copied, or read back, at a time."""

_own = MetaData()
notes = Table(
    "notes",
    _own,
    Column("number", Integer, primary_key=True),
    Column("contact_id", String, nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("note", SealedJson, nullable=False),
)
"""What a rehearsal notes, in order, by source contact."""
pretences = Table(
    "pretences",
    _own,
    Column("kind", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("parent", String, index=True),
    Column("shown", SealedJson),
)
"""What the destination would show after what is only pretended; nothing: it would be gone."""


@contextmanager
def scratch(ledger: Database, account: str) -> Iterator[Database]:
    """Open a copy of what the ledger knows of an account, but for credentials, leases, runs and plans."""

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        for pragma in ("journal_mode=MEMORY", "synchronous=OFF", "temp_store=FILE"):
            connection.execute(f"PRAGMA {pragma}")
        return connection

    engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=StaticPool, hide_parameters=True)
    event.listen(engine, "begin", begin_explicitly)
    lend(engine.dialect, clock_of(ledger.engine.dialect))
    if (sealer := bound(ledger.engine.dialect)) is not None:
        bind(engine.dialect, sealer)
    database = Database(engine)
    try:
        database.now_do(tables.metadata.create_all)
        database.now_do(_own.create_all)
        for one in COPIED:
            ledger.now_look(partial(_copy, into=database, of=one, account=account))
        yield database
    finally:
        database.close()


def _copy(connection: Connection, into: Database, of: Table, account: str) -> None:
    """Copy an account's rows as they stand there, sealed or not."""
    names = [one.name for one in of.columns]
    plain = table(of.name, *(column(one.name, _stored(one.type)) for one in of.columns))
    chosen = select(
        *(cast(plain.c[one.name], Text) if _is_json(one.type) else plain.c[one.name] for one in of.columns)
    ).where(plain.c.account == account)
    adding = insert(plain)
    for block in connection.execute(chosen.execution_options(yield_per=BLOCK)).partitions(BLOCK):
        rows = [dict(zip(names, row, strict=True)) for row in block]
        into.now_do(partial(_add, adding=adding, rows=rows))


def _add(connection: Connection, adding: Insert, rows: list[dict[str, Any]]) -> None:
    connection.execute(adding, rows)


def _stored(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    return Text() if _is_json(kind) or isinstance(kind, Foreign) else kind


def _is_json(kind: TypeEngine[Any]) -> bool:
    return isinstance(kind, JSON | SealedJson)


def note(connection: Connection, rows: Sequence[tuple[str, str, Any]]) -> None:
    """Note (source contact, kind, note), in this order."""
    if rows:
        values = [{"contact_id": one, "kind": kind, "note": what} for one, kind, what in rows]
        connection.execute(insert(notes), values)


def noted_contacts(connection: Connection) -> list[str]:
    """Return the source contacts with notes, in the order of the first of each."""
    query = select(notes.c.contact_id).group_by(notes.c.contact_id).order_by(func.min(notes.c.number))
    return [row.contact_id for row in connection.execute(query)]


def notes_of(connection: Connection, contacts: Sequence[str]) -> dict[str, list[tuple[str, Any]]]:
    """Return the notes, (kind, note) in their order, of these source contacts."""
    found: dict[str, list[tuple[str, Any]]] = {one: [] for one in contacts}
    query = select(notes).where(notes.c.contact_id.in_(list(contacts))).order_by(notes.c.number)
    for row in connection.execute(query):
        found[row.contact_id].append((row.kind, row.note))
    return found


def pretend(
    connection: Connection, kind: str, one_id: str, shown: dict[str, Any] | None, parent: str | None = None
) -> None:
    """From now on the destination would show this; None: it would be gone, with what is under it."""
    upsert(connection, pretences, [{"kind": kind, "id": one_id, "parent": parent, "shown": shown}])


def pretended(
    connection: Connection, kind: str, ids: Sequence[str], parent: str | None = None
) -> dict[str, dict[str, Any] | None]:
    """Return what would be shown of these, and of those under a contact, where that is only pretended."""
    found: dict[str, dict[str, Any] | None] = {}
    chosen = select(pretences.c.id, pretences.c.shown).where(pretences.c.kind == kind)
    queries = [chosen.where(pretences.c.id.in_(block)) for block in blocks(ids)]
    if parent is not None:
        queries.append(chosen.where(pretences.c.parent == parent))
    for query in queries:
        found |= {row.id: row.shown for row in connection.execute(query)}
    return found
