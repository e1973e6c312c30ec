"""What is handed on from reading to mapping."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any


class Batch:
    """Changed rows of the source.

    Attributes:
        contacts: entries ``source_id``, ``fingerprint``, ``row``.
        activities: entries ``entity``, ``contact_id``, ``source_id``, ``fingerprint``, ``row``, ``fallback``.
        stand_ins: the activity streams for which the contact's own fields stand in.
        read: contacts whose activities are all in here, so that they count as read once written.
        compared: fingerprints that the ledger had of these rows when they were compared: those that it has
            not any more were dealt with by another run, which went first and read them later.
    """

    def __init__(
        self,
        contacts: list[dict[str, Any]],
        activities: list[dict[str, Any]],
        stand_ins: frozenset[str],
        read: frozenset[str] = frozenset(),
        compared: Mapping[tuple[str, str], str | None] = MappingProxyType({}),
    ) -> None:
        self.contacts = contacts
        self.activities = activities
        self.stand_ins = stand_ins
        self.read = read
        self.compared = compared

    def __len__(self) -> int:
        return len(self.contacts) + len(self.activities)
