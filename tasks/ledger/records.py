"""Reading and writing records: plain functions of a connection, many rows at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from sqlalchemy import Connection, Insert, Row, Table, delete, func, or_, select, update
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from tasks.ledger.columns import matching
from tasks.ledger.tables import records, unsettled, withheld

_due = func.coalesce(records.c.next_attempt_at, 0.0)
BLOCK = 512
"""Ids named in one statement, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One row of ``records``; the columns' meanings stand in `tasks.ledger.tables`."""

    account: str
    entity: str
    source_id: str
    state: str
    first_seen_at: float
    parent_id: str | None = None
    destination_id: str | None = None
    fingerprint: str | None = None
    content_hash: str | None = None
    content: dict[str, Any] | None = None
    intent: dict[str, Any] | None = None
    origin: str | None = None
    listed: str = ""
    reason: str | None = None
    error: str | None = None
    status: int | None = None
    payload: dict[str, Any] | None = None
    attempts: int = 0
    next_attempt_at: float | None = None
    seen: int = 0
    missing: int | None = None
    decision: str | None = None
    synced_at: float | None = None
    activities_at: float | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Entity and source id."""
        return (self.entity, self.source_id)


class Outline(NamedTuple):
    """What is needed of a record to tell that nothing changed."""

    source_id: str
    fingerprint: str | None
    state: str
    next_attempt_at: float | None
    activities_at: float | None


_COLUMNS = tuple(field.name for field in fields(Record))
_WITHHELD = ("withheld", "withheld_email")
"""Entries of a contact's content that it is also found by."""
_SELECT = select(*(records.c[name] for name in _COLUMNS))


class _Upsert(Insert):
    """An ``INSERT`` that overwrites what is there, in words that both databases know.

    SQLAlchemy's own of either dialect are compiled to SQL anew whenever they are executed (2.0), which takes
    longer than executing them.
    """

    inherit_cache = True


@compiles(_Upsert)
def _overwriting(statement: _Upsert, compiler: SQLCompiler, **given: Any) -> str:  # noqa: ANN401 - the compiler's own
    quote = compiler.preparer.quote
    keys = [column.name for column in statement.table.primary_key]
    changes = [quote(name) for name in compiler.column_keys or () if name not in keys]
    overwrite = ", ".join(f"{name} = excluded.{name}" for name in changes)
    place = ", ".join(map(quote, keys))
    insert = compiler.visit_insert(statement, **given)  # type: ignore[no-untyped-call]
    return " ".join((insert, f"ON CONFLICT ({place}) DO UPDATE SET", overwrite))


def upsert(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    """Insert rows, or overwrite those whose primary key is there."""
    if values := list(rows):
        connection.execute(_Upsert(table), values)


def save(connection: Connection, changed: Iterable[Record]) -> None:
    """Write records whole."""
    upsert(
        connection,
        records,
        ({name: getattr(record, name) for name in _COLUMNS} | _withheld(record) for record in changed),
    )


def load(connection: Connection, account: str, entity: str, ids: Collection[str]) -> dict[str, Record]:
    """Return the records of these source ids, by source id."""
    found = {}
    for block in blocks(ids):
        rows = connection.execute(
            _SELECT.where(
                records.c.account == account, records.c.entity == entity, records.c.source_id.in_(block)
            )
        )
        for row in rows:
            record = _record(row)
            found[record.source_id] = record
    return found


def outline(connection: Connection, account: str, entity: str, ids: Collection[str]) -> dict[str, Outline]:
    """Return the outlines of the known among these records, by source id."""
    columns = select(*(records.c[name] for name in Outline._fields))
    found: dict[str, Outline] = {}
    for block in blocks(ids):
        rows = connection.execute(
            columns.where(
                records.c.account == account, records.c.entity == entity, records.c.source_id.in_(block)
            )
        )
        found.update((row[0], Outline._make(row)) for row in rows)  # by place: a million rows are read so
    return found


def outlines(
    connection: Connection, account: str, keys: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], Outline]:
    """Return the outlines of the known among these records, of several entities."""
    wanted: dict[str, list[str]] = {}
    for entity, source_id in keys:
        wanted.setdefault(entity, []).append(source_id)
    return {
        (entity, source_id): one
        for entity, ids in wanted.items()
        for source_id, one in outline(connection, account, entity, ids).items()
    }


def mark_seen(connection: Connection, account: str, entity: str, ids: Collection[str], walk: int) -> None:
    """Note that a walk met these records; a later one that had its turn in between counts more."""
    for block in blocks(ids):
        connection.execute(
            update(records)
            .where(records.c.account == account, records.c.entity == entity, records.c.source_id.in_(block))
            .where(records.c.seen < walk)
            .values(seen=walk)
        )


def mark_activities_read(
    connection: Connection, account: str, ids: Collection[str], at: float | None
) -> None:
    """Note when these contacts' activities were read whole; None: they are to be read again."""
    for block in blocks(ids):
        connection.execute(
            update(records)
            .where(
                records.c.account == account, records.c.entity == "contacts", records.c.source_id.in_(block)
            )
            .values(activities_at=at)
        )


def with_intent(connection: Connection, account: str) -> list[Record]:
    """Return the records with an open intent, contacts first."""
    rows = connection.execute(_SELECT.where(records.c.account == account, records.c.intent.is_not(None)))
    return sorted(map(_record, rows), key=lambda record: (record.entity != "contacts", record.key))


def with_open_children(
    connection: Connection, account: str, parents: Collection[str], now: float
) -> set[str]:
    """Return which of these contacts have activities to look at again.

    Rejected or waiting ones that are due for another try, and missing ones that were not deleted.
    """
    found: set[str] = set()
    for block in blocks(parents):
        rows = connection.execute(
            select(records.c.parent_id)
            .where(
                records.c.account == account,
                records.c.parent_id.in_(block),
                or_(
                    records.c.state.in_(("rejected", "waiting")) & (_due <= now),
                    records.c.missing.is_not(None),
                ),
            )
            .distinct()
        )
        found.update(row.parent_id for row in rows)
    return found


def linked_to(connection: Connection, account: str, *contact_ids: str) -> list[Record]:
    """Return the source contacts linked to these destination contacts."""
    found: list[Record] = []
    for block in blocks(contact_ids):
        rows = connection.execute(
            _SELECT.where(
                records.c.account == account,
                records.c.entity == "contacts",
                records.c.destination_id.in_(block),
            )
        )
        found += map(_record, rows)
    return found


def children_of(connection: Connection, account: str, contact_id: str) -> list[Record]:
    """Return the activities of a source contact."""
    rows = connection.execute(
        _SELECT.where(
            records.c.account == account, records.c.parent_id == contact_id, records.c.entity != "contacts"
        )
    )
    return [_record(row) for row in rows]


def withholding(connection: Connection, account: str, keys: Collection[str]) -> list[Record]:
    """Return the contacts without one of these e-mail addresses or phone numbers, as it was another's."""
    found: list[Record] = []
    for block in blocks(keys):
        held = (matching(connection, records.c[name], block) for name in _WITHHELD)
        rows = connection.execute(
            _SELECT.where(
                records.c.account == account,
                records.c.entity == "contacts",
                records.c.state == "synced",
                withheld,
                or_(*held),
            )
        )
        found += map(_record, rows)
    return found


def count_known(connection: Connection, account: str) -> int:
    """Return how many source contacts were met before."""
    known = select(func.count()).where(records.c.account == account, records.c.entity == "contacts")
    return int(connection.execute(known).scalar_one())


def any_delivered(connection: Connection, account: str) -> bool:
    """Tell whether anything of an account was ever brought to the destination."""
    there = select(records.c.source_id).where(
        records.c.account == account, records.c.destination_id.is_not(None)
    )
    return connection.execute(there.limit(1)).first() is not None


def count_by_state(
    connection: Connection, account: str, *, settled: bool = True
) -> dict[tuple[str, str], int]:
    """Return how many records are in each (entity, state); without those that need nothing, by an index."""
    rows = connection.execute(
        select(records.c.entity, records.c.state, func.count())
        .where(records.c.account == account, *(() if settled else (unsettled,)))
        .group_by(records.c.entity, records.c.state)
    )
    return {(entity, state): number for entity, state, number in rows}


def count_rejects(connection: Connection, account: str) -> list[tuple[str, str, int]]:
    """Return (entity, reason, number) of the refused records, the most frequent first."""
    rows = connection.execute(
        select(records.c.entity, records.c.reason, func.count())
        .where(records.c.account == account, records.c.state == "rejected", unsettled)
        .group_by(records.c.entity, records.c.reason)
        .order_by(func.count().desc(), records.c.entity, records.c.reason)
    )
    return [(entity, reason or "unknown", number) for entity, reason, number in rows]


def ambiguous(connection: Connection, account: str, most: int | None = None) -> list[Record]:
    """Return the contacts that a person is to settle, or some of them."""
    rows = connection.execute(
        _SELECT.where(
            records.c.account == account,
            records.c.entity == "contacts",
            records.c.state == "ambiguous",
            unsettled,
        )
        .order_by(records.c.source_id)
        .limit(most)
    )
    return [_record(row) for row in rows]


def forget_vanished(connection: Connection, account: str, entity: str, walk: int) -> int:
    """Drop undelivered records that a complete walk did not meet: nothing is left to deliver.

    What is gone stays known, so that it is recognised should it return.
    """
    gone = delete(records).where(
        records.c.account == account,
        records.c.entity == entity,
        records.c.seen < walk,
        records.c.destination_id.is_(None),
        records.c.intent.is_(None),
        records.c.state != "gone",
    )
    return connection.execute(gone).rowcount


def forget(connection: Connection, account: str, entity: str, source_id: str) -> None:
    """Drop a record, as if it had never been met."""
    connection.execute(
        delete(records).where(
            records.c.account == account, records.c.entity == entity, records.c.source_id == source_id
        )
    )


def blocks(ids: Collection[str]) -> Iterable[list[str]]:
    """Cut ids into lists short enough for one statement, the last id repeated up to a power of two.

    A statement of another length is another statement, and the driver keeps those prepared: a hundred of
    them are megabytes.
    """
    ordered = list(ids)
    for start in range(0, len(ordered), BLOCK):
        block = ordered[start : start + BLOCK]
        yield block + block[-1:] * ((1 << (len(block) - 1).bit_length()) - len(block))


def _withheld(record: Record) -> dict[str, str | None]:
    content = (record.content if record.entity == "contacts" else None) or {}
    return {name: content.get(name) for name in _WITHHELD}


def _record(row: Row[Any]) -> Record:
    return Record(**row._mapping)  # noqa: SLF001 - the public name of a row's mapping
