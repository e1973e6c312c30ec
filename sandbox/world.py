"""The destination's state: companies' locations with what lives in them, tokens, and the options.

Plain dictionaries, because benchmarks put 100,000 contacts in here. Stored rows are replaced value by
value but their lists never mutated, so that a shallow copy is a faithful snapshot for the search index.
"""

from __future__ import annotations

import random
import string
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sandbox.limits import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.clock import Clock
    from sandbox.wire import Row

ALPHABET = string.ascii_letters + string.digits


class Ids:
    """Opaque 20-character ids, the same ones in the same order for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"ids-{seed}")

    def new(self) -> str:
        """The next id."""
        return "".join(self._random.choices(ALPHABET, k=20))


@dataclass
class Token:
    """A bearer token; ``kind`` is ``pit``, ``agency_pit`` or, by OAuth, ``location`` or ``company``."""

    kind: str
    company_id: str
    location_id: str | None = None
    scopes: frozenset[str] | None = None
    expires_at: float | None = None


@dataclass
class Refresh:
    """A refresh token: good for one use, and for the same answer again during the grace period."""

    token: Token
    client_id: str
    used_at: float | None = None
    answer: Row | None = None


class SearchIndex:
    """What search sees: a copy of the contacts that follows writes after ``lag`` seconds."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.version = 0
        self.sorted: tuple[object, list[Row]] | None = None
        self._pending: deque[tuple[float, str, Row | None]] = deque()

    def publish(self, contact_id: str, row: Row | None, visible_at: float) -> None:
        """Announces a contact's new state (None: it is gone)."""
        self._pending.append((visible_at, contact_id, None if row is None else dict(row)))

    def settle(self, now: float) -> None:
        """Takes in everything that has become visible by now."""
        pending = self._pending
        while pending and pending[0][0] <= now:
            _, contact_id, row = pending.popleft()
            self.version += 1
            if row is None:
                self.rows.pop(contact_id, None)
            else:
                self.rows[contact_id] = row


@dataclass
class Location:
    """One sub-account."""

    id: str
    company_id: str
    name: str
    timezone: str
    country: str
    limits: Limits
    allow_duplicates: bool = False
    active: bool = True
    priority: tuple[str, ...] = ("email", "phone")
    contacts: dict[str, Row] = field(default_factory=dict)
    deleted: dict[str, Row] = field(default_factory=dict)
    by_email: dict[str, dict[str, None]] = field(default_factory=dict)
    by_phone: dict[str, dict[str, None]] = field(default_factory=dict)
    notes: dict[str, dict[str, Row]] = field(default_factory=dict)
    tasks: dict[str, dict[str, Row]] = field(default_factory=dict)
    events: dict[str, Row] = field(default_factory=dict)
    events_of: dict[str, dict[str, None]] = field(default_factory=dict)
    events_in: dict[str, dict[str, None]] = field(default_factory=dict)
    blocked: dict[str, Row] = field(default_factory=dict)
    custom_fields: dict[str, Row] = field(default_factory=dict)
    tags: dict[str, Row] = field(default_factory=dict)
    users: dict[str, Row] = field(default_factory=dict)
    calendars: dict[str, Row] = field(default_factory=dict)
    workflows: dict[str, Row] = field(default_factory=dict)
    businesses: dict[str, Row] = field(default_factory=dict)
    enrolments: list[Row] = field(default_factory=list)
    index: SearchIndex = field(default_factory=SearchIndex)

    def holders(self, field_name: str, value: str | None) -> dict[str, None]:
        """Ids of the contacts that hold this e-mail (any case) or this phone."""
        if not value:
            return {}
        if field_name == "email":
            return self.by_email.get(value.lower(), {})
        return self.by_phone.get(value, {})

    def put_contact(self, row: Row, clock: Clock, lag: float) -> None:
        """Stores a contact's new state and keeps the look-ups and the search index in step."""
        self._unlink(self.contacts.get(row["id"]))
        self.contacts[row["id"]] = row
        for table, value in self._keys(row):
            table.setdefault(value, {})[row["id"]] = None
        self.index.publish(row["id"], row, clock.now() + lag)

    def drop_contact(self, contact_id: str, clock: Clock, lag: float) -> None:
        """Deletes a contact with its notes, tasks and events."""
        row = self.contacts.pop(contact_id)
        self._unlink(row)
        self.deleted[contact_id] = row
        self.notes.pop(contact_id, None)
        self.tasks.pop(contact_id, None)
        for event_id in list(self.events_of.pop(contact_id, {})):
            self.drop_event(event_id)
        self.index.publish(contact_id, None, clock.now() + lag)

    def put_event(self, row: Row) -> None:
        """Stores an appointment."""
        before = self.events.get(row["id"])
        if before is not None:
            self.events_in.get(before["calendarId"], {}).pop(row["id"], None)
        self.events[row["id"]] = row
        self.events_of.setdefault(row["contactId"], {})[row["id"]] = None
        self.events_in.setdefault(row["calendarId"], {})[row["id"]] = None

    def drop_event(self, event_id: str) -> None:
        """Deletes an appointment."""
        row = self.events.pop(event_id)
        self.events_of.get(row["contactId"], {}).pop(event_id, None)
        self.events_in.get(row["calendarId"], {}).pop(event_id, None)

    def _unlink(self, row: Row | None) -> None:
        if row is None:
            return
        for table, value in self._keys(row):
            holders = table.get(value)
            if holders is not None:
                holders.pop(row["id"], None)
                if not holders:
                    del table[value]

    def _keys(self, row: Row) -> Iterator[tuple[dict[str, dict[str, None]], str]]:
        """By what a contact is found: its e-mails and phones, additional ones too (HighLevel issue 337)."""
        emails = [row, *row.get("additionalEmails", ())]
        phones = [row, *row.get("additionalPhones", ())]
        yield from ((self.by_email, one["email"].lower()) for one in emails if one.get("email"))
        yield from ((self.by_phone, one["phone"]) for one in phones if one.get("phone"))


@dataclass
class Options:
    """What a test may switch at the destination.

    Attributes:
        lag: Seconds until search and the deprecated list show a write.
        retry_after: Whether a 429 carries ``Retry-After``.
        missing_child_status: 404 or 400 for an unknown note, task or appointment (published nowhere).
    """

    lag: float = 0.0
    retry_after: bool = False
    missing_child_status: int = 404
    access_token_seconds: float = 86_399
    refresh_grace: float = 30.0
