"""Instants of a record that its mapping can do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.voipstudio.times import RawTime, instant

if TYPE_CHECKING:
    from datetime import datetime
    from zoneinfo import ZoneInfo


def made(raw: RawTime, zone: ZoneInfo) -> tuple[datetime | None, tuple[str, ...]]:
    """When a record was made at the source, for its marker, and what to say where that cannot be read.

    A record goes over without that date rather than not at all.
    """
    try:
        return instant(raw, zone), ()
    except ValueError:
        return None, ("bad_created_at",)
