"""Brings a database to the current schema, by itself, on first use."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from tasks.errors import LedgerUnavailable
from tasks.ledger import keys_used

HEAD = "0001"
"""The newest revision; a test holds it against the migration scripts."""
SCRIPTS = Path(__file__).parent / "migrations"
LOCK_SECONDS = 5.0
"""PostgreSQL: how long a migration waits for a table, and makes all who come after it wait."""
_LOCK = 7_386_210_945_112
"""PostgreSQL advisory lock that keeps two processes from migrating at once."""


def level(connection: Connection) -> str | None:
    """Return the database's revision, or None where it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(connection: Connection) -> bool:
    """Migrate to `HEAD` inside the connection's transaction; tell whether anything was to be done.

    Whoever means to write begins with this, so the keys are held against the ledger here too.

    Raises:
        LedgerUnavailable: the database is at a revision that is unknown here.
        ConfigurationError: the ledger is encrypted with a key that is not configured.
    """
    changed = _upgrade(connection)
    keys_used.check(connection)
    return changed


def _upgrade(connection: Connection) -> bool:
    if level(connection) == HEAD:
        return False
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if level(connection) == HEAD:
            return False
        # not before: it would also hold for the wait for another process's migration
        connection.execute(text(f"SET LOCAL lock_timeout = {round(LOCK_SECONDS * 1000)}"))
    from alembic import command  # noqa: PLC0415 - a third of a second, needed once in a database's life
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError:
        raise LedgerUnavailable(
            f"the ledger is at revision {level(connection)}, which a newer voipsync made: update this one"
        ) from None
    return True
