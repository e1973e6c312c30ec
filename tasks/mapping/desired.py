"""What mapping answers for a source record: what the destination should hold, or why nothing goes there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Desired:
    """What the destination should hold for one source record.

    ``content`` is the comparable normal form: plain JSON values, nothing empty, the same for the same source.
    ``kept_back`` are reason codes, without values, for what of the record does not go there.
    """

    entity: str
    source_id: str
    parent_id: str | None
    content: dict[str, Any]
    kept_back: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record of which nothing is sent, by rule."""

    entity: str
    source_id: str
    parent_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A record that cannot be mapped as it stands. ``message`` names the field, never its value."""

    entity: str
    source_id: str
    parent_id: str | None
    reason: str
    message: str


Mapped: TypeAlias = Desired | Skipped | Refused
