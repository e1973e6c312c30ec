"""What the engine needs to know of an entity that lives under a contact: one small table row each."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.highlevel.client import ContactsApi

Content = dict[str, Any]

USER_REFUSED = frozenset({"not_in_team", "unknown_user"})
"""Reasons for which the destination takes a record without its user."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a location keeps its children, and how it wants its appointments.

    Attributes:
        check_slots: a future appointment needs a free slot; else the source has made it already.
        notify: people are told of future appointments.
        now: an appointment after it is a future one, UTC seconds: by the ledger's clock all machines decide
            alike, whatever the destination makes of the last seconds.
    """

    contact_id: str
    calendar_id: str | None
    check_slots: bool = False
    notify: bool = False
    now: float = math.inf


class Child(Protocol):
    """Notes, CRM tasks or appointments: how they are written and read back in normal form."""

    entity: str
    text: str
    """The field whose last line is the marker."""
    user: str
    """The field that names its author or assignee."""

    async def create(self, api: ContactsApi, place: Place, ours: Content) -> str:
        """Create one; return its id."""

    async def read(self, api: ContactsApi, place: Place, child_id: str) -> Content:
        """Return what is there.

        Raises:
            NotFound: nothing is.
        """

    async def update(
        self, api: ContactsApi, place: Place, child_id: str, write: Content, there: Content
    ) -> None:
        """Write these fields, leaving the others as they are ``there``."""

    async def delete(self, api: ContactsApi, place: Place, child_id: str) -> None:
        """Delete it."""

    async def listing(
        self, api: ContactsApi, place: Place, around: Mapping[str, Any]
    ) -> list[tuple[str, Content]]:
        """Return all of the contact's, with ids; ``around`` is one that is looked for."""


def userless(kind: Child, ours: Mapping[str, Any]) -> Content:
    """A content without the user whom the destination refuses, which remembers whom."""
    return {name: value for name, value in ours.items() if name != kind.user} | {"withheld": ours[kind.user]}
