"""What both modelled services share: a request, an answer, a refusal, and a small path router.

The handlers are plain synchronous functions from a ``Call`` to a ``Reply``; everything that concerns
the wire is done once: reading and sending in ``sandbox.asgi``, faults and recording in ``sandbox.gate``.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Json: TypeAlias = Any
Row: TypeAlias = dict[str, Any]


def _plain(value: Json) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


_fast: Callable[[Json], bytes] = _plain
with contextlib.suppress(
    ImportError
):  # comes with Prefect; the standard library answers the same, only slower
    import orjson

    _fast = orjson.dumps


def encode(value: Json) -> bytes:
    """JSON bytes of a value; lone surrogates, which a careless source may hold, go out as escapes."""
    try:
        return _fast(value)
    except TypeError:
        return _plain(value)


@dataclass(slots=True)
class Call:
    """One request as the handlers see it; ``scratch`` carries what the service learnt of the caller."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    raw: bytes
    body: Json = None
    params: dict[str, str] = field(default_factory=dict)
    operation: Operation | None = None
    scratch: Any = None

    def one(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None


@dataclass(slots=True)
class Reply:
    """An answer: ``body`` is JSON, raw bytes, or None for an empty one."""

    status: int
    body: Json = None
    headers: dict[str, str] = field(default_factory=dict)

    def payload(self) -> bytes:
        """The bytes of the body."""
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else encode(self.body)


class Refusal(Exception):  # noqa: N818 - an answer of the service, not an error of the sandbox
    """The service refuses the call with this answer."""

    def __init__(self, status: int, body: Json = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.reply = Reply(status, body, headers or {})


@dataclass(frozen=True, slots=True)
class Operation:
    """One row of a service's table of operations."""

    name: str
    method: str
    template: str
    handler: Callable[[Any, Call], Reply]
    scope: str = ""
    writes: bool = False
    versions: tuple[str, ...] = ()


class Router:
    """Finds the operation of a path; literal segments win over parameters, a trailing slash is ignored."""

    def __init__(self, operations: list[Operation]) -> None:
        self._table: dict[tuple[str, int], list[tuple[list[str], Operation]]] = {}
        for operation in operations:
            segments = operation.template.strip("/").split("/")
            self._table.setdefault((operation.method, len(segments)), []).append((segments, operation))
        for rows in self._table.values():
            rows.sort(key=lambda row: [segment.startswith("{") for segment in row[0]])

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation and its path parameters, or None."""
        parts = path.strip("/").split("/")
        for segments, operation in self._table.get((method, len(parts)), ()):
            params = {}
            for segment, part in zip(segments, parts, strict=True):
                if segment[0] == "{":
                    params[segment[1:-1]] = part
                elif segment != part:
                    break
            else:
                return operation, params
        return None
