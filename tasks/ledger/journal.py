"""Group commit: many concurrent writers, one transaction for all that wait at the same time.

An intent must be durable before its request leaves, and a result is written with the record's new state.
With a transaction each, the disk would set the pace; so whoever comes while a transaction is being
written shares the next one.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from sqlalchemy import Connection

from tasks.ledger import records
from tasks.ledger.database import Database
from tasks.ledger.records import Record


@dataclass(slots=True)
class Journal:
    """Saves records durably, batching those that arrive together."""

    database: Database
    _waiting: list[tuple[Record, asyncio.Future[None]]] = field(default_factory=list)
    _writer: asyncio.Task[None] | None = None

    async def save(self, record: Record) -> None:
        """Return once the record is durable.

        Raises:
            LedgerUnavailable: it is not.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((record, done))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        await asyncio.shield(done)

    async def _write(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            # the last state of a record wins where it was saved twice within one batch
            latest = list({(record.account, record.key): record for record, _ in batch}.values())

            def write(connection: Connection, changed: list[Record] = latest) -> None:
                records.save(connection, changed)

            try:
                await self.database.do(write)
            except Exception as error:  # noqa: BLE001 - handed to those who wait
                for _, done in batch:
                    if not done.done():
                        done.set_exception(error)
            else:
                for _, done in batch:
                    if not done.done():
                        done.set_result(None)
