"""Group commit: many concurrent writers, one transaction for all that wait at the same time.

An intent must be durable before its request leaves, and a result is written with the record's new state.
With a transaction each, the disk would set the pace; so whoever comes while a transaction is being
written shares the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tasks.ledger import effects, records
from tasks.ledger.database import Database
from tasks.ledger.effects import Effect
from tasks.ledger.history import Deed, History
from tasks.ledger.records import Record, upsert
from tasks.ledger.tables import directory


@dataclass(frozen=True, slots=True)
class _Entry:
    """What one writer wants to be durable, and the promise made to it."""

    record: Record | None
    contact: Mapping[str, Any] | None
    effects: Sequence[Effect]
    deeds: Sequence[Deed]
    done: asyncio.Future[None]


@dataclass(slots=True)
class Journal:
    """Saves records durably, with what they teach of the directory and what they start, in batches.

    Attributes:
        history: where deeds are kept; whoever writes records in a transaction of their own tells it, too.
    """

    database: Database
    history: History = field(default_factory=lambda: History("", "", 0))
    _waiting: list[_Entry] = field(default_factory=list)
    _writer: asyncio.Task[None] | None = None

    async def save(
        self,
        record: Record | None = None,
        entry: Mapping[str, Any] | None = None,
        effects: Sequence[Effect] = (),
        deeds: Sequence[Deed] = (),
    ) -> None:
        """Return once the record, its contact's entry in the directory, effects and deeds are durable.

        All of them are, or none.

        Raises:
            LedgerUnavailable: they are not.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Entry(record, entry, effects, deeds, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(done)

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await self.database.do(partial(_commit, batch=batch, history=self.history))
            except Exception as error:  # noqa: BLE001 - handed to those who wait
                for one in batch:
                    if not one.done.done():
                        one.done.set_exception(error)
            else:
                for one in batch:
                    if not one.done.done():
                        one.done.set_result(None)


def _commit(connection: Connection, batch: Iterable[_Entry], history: History) -> None:
    # the last state wins where something was saved twice within one batch
    changed = {(one.record.account, one.record.key): one.record for one in batch if one.record is not None}
    entered = {
        (one.contact["account"], one.contact["contact_id"]): one.contact
        for one in batch
        if one.contact is not None
    }
    started = {(effect.account, effect.key): effect for one in batch for effect in one.effects}
    records.save(connection, changed.values())
    upsert(connection, directory, entered.values())
    effects.save(connection, started.values())
    history.write(connection, [deed for one in batch for deed in one.deeds])
