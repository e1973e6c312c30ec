"""Instants as the API writes them, in one form."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_MILLISECONDS = re.compile(r"\d{12,14}(?:\.\d+)?")


def utc(raw: str | float | None) -> str | None:
    """An ISO instant, or epoch milliseconds, as ``2026-01-02T03:04:05Z``.

    A local time without an offset, as a contact's list of appointments has them (HighLevel OpenAPI), is no
    instant: one that happens twice a year could be either. It stays as it is, so that it equals nothing of
    ours and is never taken for unchanged.
    """
    if raw is None or raw == "":
        return None
    text = str(raw)
    try:
        if _MILLISECONDS.fullmatch(text):
            moment = datetime.fromtimestamp(float(text) / 1000, UTC)
        else:
            moment = datetime.fromisoformat(text)
    except (ValueError, OverflowError):
        return text
    return text if moment.tzinfo is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(told: str | None) -> datetime | None:
    """The instant that `utc` has told; None where it is none."""
    return datetime.fromisoformat(told) if told and told.endswith("Z") else None
