"""Kinds of columns: text that others wrote, and what may be personal: sealed where keys are configured."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, Connection, String, Text, type_coerce
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from tasks.ledger.sealing import MARK, bound, unopened


class Foreign(TypeDecorator[str]):
    """Text that others wrote, in a form that every database holds.

    Half of an emoji (services cut texts by UTF-16 units) and NUL would be refused with the whole
    transaction, and so would, by PostgreSQL, what is longer than its column.
    """

    impl = String
    cache_ok = True

    def __init__(self, length: int | None = None) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep text of any length as TEXT."""
        return Text() if self.length is None else String(self.length)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Leave out what cannot be held."""
        if value is None:
            return None
        return value.replace("\0", "").encode("utf-8", "replace").decode()[: self.length]


class Sealed(Foreign):
    """Text of others that may be personal; it is found by what it says with `matching` alone."""

    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Keep it as TEXT: sealed, it is longer."""
        return Text()

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Seal what is written."""
        clean, sealer = self._clean(value, dialect), bound(dialect)
        return sealer.newest().seal_same(clean) if clean and sealer else clean

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Open what is read."""
        return _opened(value, dialect) if value and value.startswith(MARK) else value

    def forms(self, value: str, dialect: Dialect) -> list[str]:
        """Return all forms in which a text may be kept by now."""
        clean, sealer = self._clean(value, dialect) or "", bound(dialect)
        return [clean, *(sealer.forms(clean) if sealer else ())]

    def _clean(self, value: str | None, dialect: Dialect) -> str | None:
        """What others wrote is never taken for something sealed."""
        clean = super().process_bind_param(value, dialect)
        while clean and clean.startswith(MARK):
            clean = clean.removeprefix(MARK)
        return clean


class SealedJson(TypeDecorator[Any]):
    """A JSON value that may hold personal data, or NULL."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:  # noqa: ANN401 - any JSON
        """Seal what is written."""
        sealer = bound(dialect)
        return value if value is None or sealer is None else sealer.seal(json.dumps(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ANN401
        """Open what is read."""
        if isinstance(value, str) and value.startswith(MARK):
            return json.loads(_opened(value, dialect))
        return value


def _opened(value: str, dialect: Dialect) -> str:
    sealer = bound(dialect)
    if sealer is None:
        raise unopened()
    return sealer.open(value)


def matching(connection: Connection, column: Column[Any], values: Iterable[str]) -> ColumnElement[bool]:
    """The column, of `Sealed`, holds one of these values: as it is, or sealed with whichever of our keys."""
    kind, dialect = column.type, connection.dialect
    if not isinstance(kind, Sealed):
        raise TypeError(column.name)
    return type_coerce(column, Text).in_([form for value in values for form in kind.forms(value, dialect)])
