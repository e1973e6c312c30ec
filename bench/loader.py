"""Fills a ledger as a first sync does, without the writes: a million records in minutes.

Everything is the product's own, from reading the source to recording the outcome, but for two things: a
contact that would be created is taken for created, and a transaction holds a batch's records, not a few.
`differences` tells what a ledger that was filled so has other than one that a first sync filled.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Table, select

from tasks.engine import outcome
from tasks.engine.contacts import ContactWriter
from tasks.engine.report import Report
from tasks.engine.shape import Bundle
from tasks.engine.steps import open_steps, turn
from tasks.engine.who import Resolver, Turn
from tasks.engine.write import Writer
from tasks.ledger import records
from tasks.ledger.database import Database, opened
from tasks.ledger.effects import Effect
from tasks.ledger.history import Deed
from tasks.ledger.journal import Journal
from tasks.ledger.records import Record, upsert
from tasks.ledger.tables import directory, facts, history
from tasks.ledger.tables import records as table_of_records
from tasks.options import SyncOptions
from tasks.settings import load

CHANCE: Mapping[Table, frozenset[str]] = {
    table_of_records: frozenset({"destination_id", "first_seen_at", "synced_at"}),
    directory: frozenset({"contact_id"}),
    history: frozenset({"run_id", "number", "at", "destination_id"}),
    facts: frozenset({"learnt_at"}),
}
"""The tables that a first sync fills, and what of them is another each time."""


class Gathering(Journal):
    """Keeps what is to be saved until all of a batch is there."""

    def __init__(self, like: Journal) -> None:
        super().__init__(like.database, like.history)
        self.kept: dict[tuple[str, str], Record] = {}
        self.entries: list[Mapping[str, Any]] = []
        self.deeds: list[Deed] = []

    async def save(
        self,
        record: Record | None = None,
        entry: Mapping[str, Any] | None = None,
        effects: Sequence[Effect] = (),
        deeds: Sequence[Deed] = (),
    ) -> None:
        """Keep it for `flush`; a first sync starts no effects."""
        if record is not None:
            self.kept[record.key] = record
        self.entries += [] if entry is None else [entry]
        self.deeds += deeds

    async def flush(self) -> None:
        """Save what was kept."""

        def write(connection: Connection) -> None:
            records.save(connection, self.kept.values())
            upsert(connection, directory, self.entries)
            self.history.write(connection, self.deeds)

        await self.database.do(write)
        self.kept, self.entries, self.deeds = {}, [], []


class Assuming(ContactWriter):
    """Takes a contact for created that would be."""

    async def create(self, before: Record, ours: dict[str, Any], fingerprint: str) -> Record | None:
        """Enter a contact that nobody was asked to create."""
        record = outcome.sending(before, "create-contact", ours, fingerprint, self.run.now())
        return await self._created(record, uuid4().hex, ours, "created")


class Entering(Writer):
    """Writes to the ledger alone."""

    def __post_init__(self) -> None:
        """Take the parts that ask nobody."""
        self.journal = self.run.journal = Gathering(self.run.journal)
        self.contacts = Assuming(self.run)
        self.resolver = Resolver(self.run, self.contacts.refused_by)

    async def _all(self, work: list[Turn], advance: Callable[[int], None]) -> list[Bundle]:
        again = await super()._all(work, advance)
        await self.journal.flush()
        return again


async def fill(account: str) -> Report:
    """Fill an account's ledger from its source's contacts, as its first sync would."""
    async with open_steps(account, SyncOptions(only=("contacts",)), load()) as steps:
        steps.writer = Entering(steps.run)
        await turn(steps)
        await steps.run.journal.flush()  # type: ignore[attr-defined]
        return await steps.conclude()


def differences(one: str, other: str) -> int:
    """Return how many rows stand in one of two ledgers alone, but for what chance gave them."""
    with opened(one) as first, opened(other) as second:
        return sum(
            sum(((ours := _rows(first, table)) - (theirs := _rows(second, table))).values())
            + sum((theirs - ours).values())
            for table in CHANCE
        )


def _rows(ledger: Database, table: Table) -> Counter[str]:
    columns = [column for column in table.columns if column.name not in CHANCE[table]]

    def look(connection: Connection) -> Counter[str]:
        return Counter(
            json.dumps(list(row), sort_keys=True, default=str) for row in connection.execute(select(*columns))
        )

    return ledger.now_look(look)
