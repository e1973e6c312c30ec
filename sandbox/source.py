"""VoIPstudio's state: contacts, their activities, users, tokens, and the shapes in which it answers.

Moments are kept as seconds since the epoch and printed in the account's time zone; a value that is not a
number is printed as it is, so that a test can plant anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from operator import itemgetter
from zoneinfo import ZoneInfo

from sandbox.wire import Json, Row

CONTACT_FIELDS = (
    "first_name", "last_name", "email", "company", "tel", "tel_1", "tel_2", "mobile", "mobile_1", "mobile_2",
    "notes", "group_name", "global", "internal", "ext", "user_id", "rel_user_id", "type", "dialler_source_id",
    "outcome_id", "nb_call_attempts", "last_call_at", "next_call_at", "created_at",
)  # fmt: skip
WRITABLE = {
    "first_name", "last_name", "email", "company", "tel", "tel_1", "tel_2", "mobile", "mobile_1", "mobile_2",
    "speed_dial_phone", "speed_dial_phone_1", "speed_dial_phone_2", "speed_dial_mobile",
    "speed_dial_mobile_1",
    "speed_dial_mobile_2", "notes", "labels", "group_name", "groups", "global", "user_id", "type",
    "dialler_source_id", "outcome_id", "transfer_list",
}  # fmt: skip
MOMENTS = {"last_call_at", "next_call_at", "created_at", "updated_at", "due_at", "starts_at", "ends_at"}
STREAMS = ("notes", "tasks", "appointments")
LABEL_SHAPES = ("null", "string", "array", "objects", "mixed", "absent")
MIXED = ("string", "array", "objects", "titles")
ACTIVITY_CAMEL = {
    "notes": {"id": "noteId"},
    "tasks": {"id": "taskId", "due_at": "dueDate"},
    "appointments": {"id": "appointmentId", "starts_at": "date"},
}


@dataclass
class Disturbance:
    """Something that happens to the contacts when page ``page`` of the list is asked for.

    ``do`` is insert or delete; ``where`` is first or last, in the order of the walk.
    """

    page: int
    do: str
    where: str = "first"
    count: int = 1


@dataclass
class SourceOptions:
    """What a test may switch at VoIPstudio.

    Attributes:
        max_limit: The server's clamp of ``limit``.
        labels: One of ``LABEL_SHAPES``.
        camel: Rows in camelCase.
        zone: Time zone of the printed timestamps; ``style`` is text, iso or epoch.
        streams: The extension's endpoints; one that is off answers 404.
        private: Contacts that are not global are shown to their owner only.
        total_drift: ``total`` is wrong by up to this much.
        ignore_sort: ``sort`` and ``dir`` have no effect.
        login_seconds: Idle seconds after which a login ends.
        two_factor: A login needs a code, too; ``nonce_status`` is the answer's that says so.
        gateway_client: How the gateway wants to be told the client: basic or body; anything else is refused
            with ``gateway_refusal``.
        gateway_seconds: How long the gateway's tokens live; None: an hour, and it does not say.
    """

    default_limit: int = 25
    max_limit: int = 1000
    labels: str = "mixed"
    camel: bool = False
    zone: str = "UTC"
    style: str = "text"
    streams: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(STREAMS, True))
    private: bool = False
    total_drift: int = 0
    ignore_sort: bool = False
    disturbances: list[Disturbance] = field(default_factory=list)
    login_seconds: float = 1800.0
    two_factor: bool = False
    nonce_status: int = 202
    gateway_client: str = "basic"
    gateway_refusal: int = 401
    gateway_seconds: int | None = 3600


class Source:
    """The account's data."""

    def __init__(self) -> None:
        self.contacts: dict[int, Row] = {}
        self.activities: dict[str, dict[int, list[Row]]] = {stream: {} for stream in STREAMS}
        self.users: dict[int, Row] = {}
        self.next_ids = dict.fromkeys(("contacts", *STREAMS), 0)
        self._in_order: list[Row] | None = None

    def in_order(self) -> list[Row]:
        """The contacts in the order of their ids; not sorted anew for each page of a large account."""
        if self._in_order is None:
            self._in_order = sorted(self.contacts.values(), key=itemgetter("id"))
        return self._in_order

    def add_contact(self, row: Row) -> Row:
        """Stores a contact; a missing id is given."""
        contact_id = int(row.get("id") or self.next_ids["contacts"] + 1)
        self.next_ids["contacts"] = max(self.next_ids["contacts"], contact_id)
        stored = {**dict.fromkeys(CONTACT_FIELDS), "labels": [], "groups": [], **row, "id": contact_id}
        self.contacts[contact_id] = stored
        self._in_order = None
        return stored

    def add_activity(self, stream: str, contact_id: int, row: Row) -> Row:
        """Stores a note, task or appointment; a missing id is given."""
        activity_id = row.get("id") or self.next_ids[stream] + 1
        if isinstance(activity_id, int):
            self.next_ids[stream] = max(self.next_ids[stream], activity_id)
        stored = {**row, "id": activity_id, "contact_id": contact_id}
        self.activities[stream].setdefault(contact_id, []).append(stored)
        return stored

    def drop_contact(self, contact_id: int) -> None:
        """Deletes a contact and its activities."""
        del self.contacts[contact_id]
        self._in_order = None
        for rows in self.activities.values():
            rows.pop(contact_id, None)


class Printer:
    """Rows as the options say they look."""

    def __init__(self, options: SourceOptions) -> None:
        self.options = options
        self._zone = ZoneInfo(options.zone)
        self._camel: dict[str, str] = {}

    def contact(self, row: Row) -> Row:
        """A contact row; the shape of its labels depends on the option and, when mixed, on its id."""
        shown = self.moments(row)
        shape = self.options.labels
        if shape == "mixed":
            shape = MIXED[row["id"] % len(MIXED)]
        if shape == "absent":
            del shown["labels"], shown["groups"]
        elif isinstance(row["labels"], list):
            shown["labels"] = _labels(row["labels"], "tagName" if self.options.camel else "name", shape)
        return self._spell(shown, {})

    def activity(self, stream: str, row: Row) -> Row:
        """A note, task or appointment row."""
        return self._spell(self.moments(row), ACTIVITY_CAMEL[stream])

    def moments(self, row: Row) -> Row:
        """The row with its moments printed."""
        return {name: self.moment(value) if name in MOMENTS else value for name, value in row.items()}

    def moment(self, value: Json) -> Json:
        """A moment in the account's zone and style; anything but a number is left alone."""
        if not isinstance(value, int | float) or self.options.style == "epoch":
            return value
        at = datetime.fromtimestamp(value, UTC).astimezone(self._zone)
        return at.isoformat() if self.options.style == "iso" else str(at)[:19]

    def _spell(self, row: Row, names: dict[str, str]) -> Row:
        if not self.options.camel:
            return row
        return {names.get(name) or self._camelled(name): value for name, value in row.items()}

    def _camelled(self, name: str) -> str:
        known = self._camel.get(name)
        if known is None:
            head, *rest = name.split("_")
            known = self._camel[name] = head + "".join(part.title() for part in rest)
        return known


def _labels(names: list[str], key: str, shape: str) -> Json:
    if shape == "null" or not names:
        return None
    if shape == "string":
        return ", ".join(names)
    if shape == "array":
        return names
    return [{"id": at, ("title" if shape == "titles" else key): name} for at, name in enumerate(names, 1)]
