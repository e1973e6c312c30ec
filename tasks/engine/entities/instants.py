"""Instants as the API writes them, in one form."""

from __future__ import annotations

from datetime import UTC, datetime


def utc(raw: str | None) -> str | None:
    """An ISO instant as ``2026-01-02T03:04:05Z``; what carries no offset or is none stays as it is."""
    if not raw:
        return None
    try:
        moment = datetime.fromisoformat(raw)
    except ValueError:
        return raw
    return raw if moment.tzinfo is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
