"""Lets go of what is old in the ledger, or of an account that is gone: batch after batch, beside all runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tasks.errors import Busy, ConfigurationError
from tasks.ledger import clock, migrate, plans, retention
from tasks.ledger.database import Database, open_engine
from tasks.ledger.lease import described, holders
from tasks.ledger.retention import KINDS, Terms
from tasks.ledger.sealing import Sealer
from tasks.options import PurgeOptions
from tasks.settings import Settings

MEGABYTE = 1_000_000
AHEAD = 50
"""Batches that are looked for at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What went, or would go.

    Attributes:
        rows: numbers by account and kind, or by account and table where all of an account went.
        dry_run: whether nothing was dropped.
        strangers: accounts of the ledger that are not configured here; nothing of theirs went.
        free: bytes of an SQLite file that are free now: used again, and not given back by themselves.
        seconds: how long it took.
    """

    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    dry_run: bool = False
    strangers: tuple[str, ...] = ()
    free: int = 0
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """As ``voipsync purge --json`` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        total = sum(sum(counts.values()) for counts in self.rows.values())
        of = f"{len(self.rows)} account" + ("s" if len(self.rows) != 1 else "")
        return f"{total:,} rows {'would go' if self.dry_run else 'went'} ({of})"

    def notes(self) -> list[str]:
        """What else there is to say."""
        told = []
        if self.strangers:
            named = ", ".join(self.strangers[:5]) + (", …" if self.strangers[5:] else "")
            told.append(
                f"not configured here, and left: {named}; `voipsync purge --gone NAME` drops all of one"
            )
        if self.free >= MEGABYTE:
            room = f"{self.free / MEGABYTE:,.0f} MB of the ledger's file are free and used again"
            told.append(f"{room}; `voipsync purge --compact` gives them back")
        return told


async def purge(
    account: str | None, options: PurgeOptions, settings: Settings, configured: Collection[str]
) -> Purged:
    """Drop what is old of an account, or of all; or all of one that is configured no more.

    Whatever ends it, what went is gone, and the next purge goes on.

    Args:
        account: whose; None: of all that are configured.
        options: what goes.
        settings: where the ledger is, and how long it keeps what.
        configured: names of all accounts, also of those in blocks.

    Raises:
        ConfigurationError: there is no such account, or the one to be forgotten is still configured.
        Busy: a run is under way that must not be.
        LedgerUnavailable: the database cannot be used.
    """
    _check(account, options, configured)
    started = time.monotonic()
    database = Database(open_engine(settings.state.url, Sealer.of_ledger(settings.state)))
    try:
        await database.do(migrate.upgrade)
        known = await database.look(retention.accounts)
        strangers = tuple(one for one in known if one not in configured)
        if options.gone:
            rows = {options.gone: await _forget(database, options, strangers)}
            strangers = tuple(one for one in strangers if options.dry_run or one != options.gone)
        else:
            terms = Terms.of(settings.state)
            names = [account] if account else [one for one in known if one in configured]
            rows = {name: await _trim(database, name, terms, options) for name in names}
        if options.compact and not options.dry_run:
            await database.look(_refuse_beside_runs)
            await asyncio.to_thread(database.scrub)
        free = await database.look(_free)
        return Purged(
            rows=rows,
            dry_run=options.dry_run,
            strangers=strangers,
            free=free,
            seconds=round(time.monotonic() - started, 3),
        )
    finally:
        database.close()


def _check(account: str | None, options: PurgeOptions, configured: Collection[str]) -> None:
    if account and options.gone:
        raise ConfigurationError("a purge is of an account, or of one that is gone: name one of them")
    if account and account not in configured:
        named = ", ".join(sorted(configured)) or "none"
        raise ConfigurationError(
            f"unknown account {account!r}: the configuration has {named}; of one that is configured no more, "
            f"`voipsync purge --gone {account}` drops all"
        )
    if options.gone in configured:
        raise ConfigurationError(
            f"account {options.gone!r} is configured: take it out of the configuration before all of it goes"
        )


async def _trim(database: Database, account: str, terms: Terms, options: PurgeOptions) -> dict[str, int]:
    rows = {}
    now = await database.look(clock.now)
    if not options.dry_run:
        await database.do(partial(plans.drop_old, account=account, now=now))
    for kind in KINDS:
        how: dict[str, Any] = {"kind": kind, "account": account, "now": now, "terms": terms}
        if options.dry_run:
            rows[kind] = await database.look(partial(retention.count, **how))
            continue
        rows[kind] = 0
        # looked for beside all writers, and many at once: what stays is then passed over seldom
        while places := await database.look(partial(retention.old, **how, most=AHEAD * retention.BATCH)):
            for start in range(0, len(places), retention.BATCH):
                block = places[start : start + retention.BATCH]
                rows[kind] += await _in_turn(database, partial(retention.let_go, **how, places=block))
    return rows


async def _forget(database: Database, options: PurgeOptions, strangers: Sequence[str]) -> dict[str, int]:
    account = options.gone
    if account not in strangers:
        raise ConfigurationError(f"the ledger knows nothing of an account {account!r}")
    await database.look(partial(_refuse_beside_runs, account=account))
    rows = await database.look(partial(retention.count_account, account=account))
    if not options.dry_run:
        while await _in_turn(database, partial(retention.forget_account, account=account)):
            pass
    return rows


async def _in_turn(database: Database, batch: Callable[[Connection], int]) -> int:
    """Do a batch, and then leave the database to others for as long."""
    started = time.monotonic()
    number = await database.do(batch)
    await asyncio.sleep(time.monotonic() - started)
    return number


def _refuse_beside_runs(connection: Connection, account: str | None = None) -> None:
    for held in holders(connection):
        if account in (None, held.get("account")):
            raise Busy(f"{described(held)} is under way: purge when it has ended")


def _free(connection: Connection) -> int:
    if connection.dialect.name != "sqlite":
        return 0
    pages, size = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())
        for name in ("freelist_count", "page_size")
    )
    return pages * size
