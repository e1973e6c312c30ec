"""What is handed on from reading to mapping."""

from __future__ import annotations

from typing import Any


class Batch:
    """Changed rows of the source.

    Attributes:
        contacts: entries ``source_id``, ``fingerprint``, ``row``.
        activities: entries ``entity``, ``contact_id``, ``source_id``, ``fingerprint``, ``row``, ``fallback``.
        stand_ins: the activity streams for which the contact's own fields stand in.
        read: contacts whose activities are all in here, so that they count as read once written.
    """

    def __init__(
        self,
        contacts: list[dict[str, Any]],
        activities: list[dict[str, Any]],
        stand_ins: frozenset[str],
        read: frozenset[str] = frozenset(),
    ) -> None:
        self.contacts = contacts
        self.activities = activities
        self.stand_ins = stand_ins
        self.read = read

    def __len__(self) -> int:
        return len(self.contacts) + len(self.activities)
