"""Rotation: everything that is sealed is sealed again with the newest key, and what is plain is sealed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Table,
    Text,
    and_,
    bindparam,
    cast,
    or_,
    select,
    tuple_,
    update,
)

from tasks.errors import Busy
from tasks.ledger import credentials, key_file, keys_used
from tasks.ledger.columns import Sealed, SealedJson
from tasks.ledger.database import Database
from tasks.ledger.lease import described, holders
from tasks.ledger.sealing import MARK, Sealer
from tasks.ledger.tables import metadata
from tasks.settings import State

BATCH = 500
"""Rows of one transaction, between which others have their turn."""


@dataclass(frozen=True, slots=True)
class Rotated:
    """How much was sealed with another key, or not at all, and is sealed with the newest now."""

    credentials: int
    rows: int


def rotate(database: Database, state: State) -> Rotated:
    """Seal everything with the newest key.

    Where no keys are configured that is a new one in the key file, and the old one is dropped at the end.
    What is interrupted, at whichever step, is finished by the next time.

    Args:
        database: at the current schema, opened with `Sealer.of_ledger`.
        state: where the keys are.

    Raises:
        Busy: a run is under way, which may have begun with other keys.
        ConfigurationError: a key is missing or unusable.
    """
    sealer = Sealer.of(state)
    keyed = bool(state.encryption_keys)
    with nullcontext() if keyed else key_file.rotating(key_file.located(state)):
        database.now_look(_refuse_while_running)
        resealed = database.now_do(partial(credentials.rotate, sealer=sealer))
        rows = _reseal_all(database, sealer.ids[0]) if keyed else 0
    if keyed:
        database.now_do(keys_used.forget_older)
    database.scrub()
    return Rotated(resealed, rows)


def _refuse_while_running(connection: Connection) -> None:
    for held in holders(connection):
        raise Busy(f"{described(held)} is under way: rotate when it has ended")


def _reseal_all(database: Database, newest: str) -> int:
    """Seal the columns of all tables with the newest key, whatever they are sealed with."""
    resealed = 0
    for table in metadata.sorted_tables:
        columns = [column for column in table.c if isinstance(column.type, Sealed | SealedJson)]
        after: Sequence[Any] | None = ()
        while columns and after is not None:
            after, number = database.now_do(
                partial(_reseal, table=table, columns=columns, newest=newest, after=after)
            )
            resealed += number
    return resealed


def _reseal(
    connection: Connection, table: Table, columns: Sequence[Column[Any]], newest: str, after: Sequence[Any]
) -> tuple[Sequence[Any] | None, int]:
    """Seal some rows' columns; return the last row's key, None at the table's end, and how many they were."""
    key = list(table.primary_key)
    query = select(*key, *columns).where(or_(*(_stale(column, newest) for column in columns)))
    if after:
        query = query.where(tuple_(*key) > tuple_(*after))
    rows = connection.execute(query.order_by(*key).limit(BATCH).with_for_update()).all()
    if not rows:
        return None, 0
    again = (
        update(table)
        .where(*(column == bindparam(f"of_{column.name}") for column in key))
        .values({column.name: bindparam(f"new_{column.name}") for column in columns})
    )
    names = [f"of_{column.name}" for column in key] + [f"new_{column.name}" for column in columns]
    connection.execute(again, [dict(zip(names, row, strict=True)) for row in rows])
    return rows[-1][: len(key)], len(rows)


def _stale(column: Column[Any], newest: str) -> ColumnElement[bool]:
    kept = cast(column, Text)
    quote = '"' if isinstance(column.type, SealedJson) else ""
    return and_(column.is_not(None), kept != "", kept.not_like(f"{quote}{MARK}{newest}:%"))
