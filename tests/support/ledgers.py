"""Ledgers of tests open quickly: what a process does once in its life, it does once for all its ledgers.

A statement is compiled to SQL once per engine, and a test that syncs three times opens three engines: half of
what they cost. A test's ledger need also not survive a power failure, only the death of processes.
"""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any

import sqlalchemy
from sqlalchemy.util import LRUCache

from tasks.ledger import database
from tasks.ledger.sealing import bound

STATEMENTS = 3000
SHIPPED = database.SYNCHRONOUS
"""As it is where no test runs."""


class Compiled(LRUCache[Any, Any]):
    """Compiled statements, found by any engine of the same kind; those of encrypted ledgers by their own."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_shared(key), default)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_shared(key), value)


def _shared(key: tuple[Any, ...]) -> Hashable:
    dialect, *rest = key
    return (dialect if bound(dialect) else dialect.name, *rest)


def quicken() -> None:
    """Let all ledgers that this process opens from now on be quick."""
    options = {"compiled_cache": Compiled(STATEMENTS)}
    database.create_engine = functools.partial(sqlalchemy.create_engine, execution_options=options)  # type: ignore[attr-defined]
    database.SYNCHRONOUS = "OFF"
