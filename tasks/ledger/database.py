"""The database behind the ledger: SQLite (WAL) by default, PostgreSQL by URL, one transaction at a time.

SQLAlchemy is used synchronously, on one thread of its own, so that the event loop never waits for a disk
and an embedded database sees one writer per process.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError

from tasks.errors import ConfigurationError, LedgerUnavailable
from tasks.ledger.clock import ask, clock_of
from tasks.ledger.sealing import Sealer, bind

T = TypeVar("T")

BUSY_SECONDS = 10.0
"""How long a writer waits for another process's transaction on SQLite."""
SYNCHRONOUS = "FULL"
"""SQLite: what was recorded is on the disk before anything is done on the strength of it."""
_ATTEMPTS = 3
_POSTGRESQL = {
    "application_name": "voipsync",
    "connect_timeout": 10,
    # a server that vanished without a word is given up after ten seconds, not after the system's quarter hour
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "tcp_user_timeout": 10_000,
}
"""Connection parameters where the URL gives none of its own."""


def open_engine(url: str, sealer: Sealer | None = None) -> Engine:
    """Return an engine for ``[state] url``; the file of an embedded database is made private (0600).

    With a ``sealer`` personal data is kept encrypted.

    Raises:
        ConfigurationError: the URL is malformed, or its driver is not one of ours.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError("state.url is no database URL, such as sqlite:///voipsync.db") from None
    if "@" in (parsed.host or ""):
        raise ConfigurationError("state.url: write an @ in the user name or password as %40")
    match parsed.get_backend_name():
        case "sqlite":
            engine = _sqlite(parsed.set(drivername="sqlite+pysqlite"))
        case "postgresql":
            engine = create_engine(
                parsed.set(drivername="postgresql+psycopg"),
                hide_parameters=True,
                pool_pre_ping=True,
                pool_size=2,
                connect_args={name: value for name, value in _POSTGRESQL.items() if name not in parsed.query},
            )
        case other:
            raise ConfigurationError(f"state.url: {other} is not supported; use sqlite or postgresql")
    if sealer is not None:
        bind(engine.dialect, sealer)
    return engine


def _sqlite(url: URL) -> Engine:
    if not url.database or url.database == ":memory:":
        raise ConfigurationError("state.url names no file: what is only in memory is sent twice")
    _make_private(Path(url.database))
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:  # noqa: ANN401 - the driver's own types
        connection.isolation_level = None
        _write_ahead(connection)
        connection.execute(f"PRAGMA synchronous={SYNCHRONOUS}")

    event.listen(engine, "begin", begin_explicitly)
    return engine


def begin_explicitly(connection: Connection) -> None:
    """Begin a transaction on SQLite, whose driver would begin it only before it writes."""
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql(f"PRAGMA query_only={reads:d}")
    # a transaction that reads first and writes later would fail at once where another wrote meanwhile
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _make_private(path: Path) -> None:
    """Make the file for its owner alone, or narrow the one that is there, and what SQLite keeps beside it.

    One that is there is not opened: closing it would end the locks that this process has on it (SQLite docs).
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        if not path.is_file() or not os.access(path, os.R_OK | os.W_OK):
            raise LedgerUnavailable(f"state.url: cannot open {path}: no file that we may write") from None
    except OSError as error:
        raise LedgerUnavailable(f"state.url: cannot open {path}: {error.strerror}") from None
    for one in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))):
        with contextlib.suppress(FileNotFoundError, PermissionError):
            if (mode := stat.S_IMODE(one.stat().st_mode)) & 0o077:
                one.chmod(mode & 0o700)


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Put a file into WAL mode; SQLite does not wait by itself where two processes do so at once."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)
        else:
            return


@dataclass(slots=True)
class Database:
    """Runs functions of a connection, each in one transaction."""

    engine: Engine
    _reading: Engine = field(init=False)
    _thread: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._reading = self.engine.execution_options(reads=True, postgresql_readonly=True)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ledger")

    def now_do(self, work: Callable[[Connection], T]) -> T:
        """Run ``work`` in one transaction; it is repeated whole where the connection was lost.

        Raises:
            LedgerUnavailable: the database is locked, full, or cannot be reached.
        """
        return self._transact(self.engine, work)

    async def do(self, work: Callable[[Connection], T]) -> T:
        """As `now_do`, without holding up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.now_do, work)

    def now_look(self, work: Callable[[Connection], T]) -> T:
        """As `now_do` for what only reads: it waits for no writer, and the database refuses its writes."""
        return self._transact(self._reading, work)

    async def look(self, work: Callable[[Connection], T]) -> T:
        """As `now_look`, without holding up the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.now_look, work)

    def now(self) -> float:
        """The ledger's time, UTC seconds: the database's, alike on all machines (`tasks.ledger.clock`).

        Raises:
            LedgerUnavailable: it was never asked, and cannot be.
        """
        clock = clock_of(self.engine.dialect)
        return clock.now() if clock.known else self.now_look(ask)

    def scrub(self) -> None:
        """Leave nothing of what was overwritten in an embedded database's file.

        PostgreSQL does so by itself in the end (VACUUM), but for its own logs and backups.

        Raises:
            LedgerUnavailable: the database is locked or full.
        """
        if self.engine.dialect.name != "sqlite":
            return
        raw = self.engine.raw_connection()
        try:
            for statement in ("PRAGMA query_only=0", "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                raw.cursor().execute(statement).fetchall()
        except sqlite3.Error as error:
            raise LedgerUnavailable(f"the ledger's file cannot be rewritten ({error}): run again") from None
        finally:
            raw.close()

    def close(self) -> None:
        """Close the connections."""
        self._thread.shutdown(wait=True)
        self.engine.dispose()

    def _transact(self, engine: Engine, work: Callable[[Connection], T]) -> T:
        for attempt in range(_ATTEMPTS):
            try:
                with engine.begin() as connection:
                    return work(connection)
            except DBAPIError as error:
                if error.connection_invalidated and attempt + 1 < _ATTEMPTS:
                    continue
                raise LedgerUnavailable(self._explain(error)) from None
            except SQLAlchemyError as error:
                raise LedgerUnavailable(f"the ledger cannot be used: {type(error).__name__}") from error
        raise AssertionError  # pragma: no cover - the last attempt returns or raises

    def _explain(self, error: DBAPIError) -> str:
        first = (
            str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
        )
        # a password may also stand in the query
        place = self.engine.url.set(query={}).render_as_string(hide_password=True)
        remedy = ""
        if "not a database" in first:
            remedy = ": state.url names a file that is no ledger"
        elif isinstance(error, OperationalError):
            remedy = ": check state.url, and whether the database answers"
            if "locked" in first:
                remedy = ": another program holds it; close it and run again"
            elif "lock timeout" in first:
                remedy = ": something long is done to its tables; run again when it has ended"
            elif "full" in first or "No space left" in first:
                remedy = ": make room on the disk and run again"
        return f"the ledger at {place} cannot be used ({first}){remedy}"


@contextmanager
def opened(url: str, sealer: Sealer | None = None) -> Iterator[Database]:
    """Open the database at ``url`` and close it at the end."""
    database = Database(open_engine(url, sealer))
    try:
        yield database
    finally:
        database.close()
