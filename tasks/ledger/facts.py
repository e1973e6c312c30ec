"""What was learnt once and is kept: a name, a JSON value and when it was learnt, per account."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from tasks.ledger.clock import now
from tasks.ledger.records import upsert
from tasks.ledger.tables import facts


def get(connection: Connection, account: str, name: str) -> tuple[Any, float] | None:
    """Return a fact's value and when it was learnt, or None."""
    row = connection.execute(
        select(facts.c.value, facts.c.learnt_at).where(facts.c.account == account, facts.c.name == name)
    ).first()
    return None if row is None else (row.value, row.learnt_at)


def put(connection: Connection, account: str, name: str, value: Any) -> None:  # noqa: ANN401 - any JSON
    """Keep a fact."""
    row = {"account": account, "name": name, "value": value, "learnt_at": now(connection)}
    upsert(connection, facts, [row])
