"""Group commit: many concurrent writers, one transaction for all that wait at the same time.

An intent must be durable before its request leaves, and a result is written with the record's new state.
With a transaction each, the disk would set the pace; so whoever comes while a transaction is being
written shares the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tasks.ledger import records
from tasks.ledger.database import Database
from tasks.ledger.records import Record, upsert
from tasks.ledger.tables import directory


@dataclass(slots=True)
class Journal:
    """Saves records durably, with what they teach of the directory, batching those that arrive together."""

    database: Database
    _waiting: list[tuple[Record, Mapping[str, Any] | None, asyncio.Future[None]]] = field(
        default_factory=list
    )
    _writer: asyncio.Task[None] | None = None

    async def save(self, record: Record, entry: Mapping[str, Any] | None = None) -> None:
        """Return once the record, and its contact's entry in the directory, are durable.

        Raises:
            LedgerUnavailable: it is not.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, entry, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(done)

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            # the last state of a record wins where it was saved twice within one batch
            latest = {(record.account, record.key): record for record, _, _ in batch}
            entries = {(one["account"], one["contact_id"]): one for _, one, _ in batch if one is not None}

            commit = partial(_commit, changed=list(latest.values()), entered=list(entries.values()))
            try:
                await self.database.do(commit)
            except Exception as error:  # noqa: BLE001 - handed to those who wait
                for _, _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, _, done in batch:
                    if not done.done():
                        done.set_result(None)


def _commit(connection: Connection, changed: list[Record], entered: list[Mapping[str, Any]]) -> None:
    records.save(connection, changed)
    upsert(connection, directory, entered)
