"""VoIPstudio's REST API v1.2 (contacts, access, users).

Modelled from VoIPstudio's documentation and its published clients. The endpoints under
``/contacts/{id}/notes|tasks|appointments`` are an *extension*: VoIPstudio's documentation does not have
them; some accounts do. Decided here because it is published nowhere: a page or limit below 1 is a 400,
``limit`` is clamped, an unknown sort or filter property is a 400, contacts come in the order of their ids.
"""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

from sandbox import voipstudio_access, voipstudio_gateway
from sandbox.gate import Service
from sandbox.source import STREAMS, WRITABLE, Printer, Source, SourceOptions
from sandbox.voipstudio_access import Access
from sandbox.voipstudio_errors import error
from sandbox.voipstudio_lists import number, page_of
from sandbox.wire import Call, Json, Operation, Reply, Router, Row

if TYPE_CHECKING:
    from collections.abc import Callable


PREFIX = "/v1.2/voipstudio"


class VoipStudio(Service):
    """State of the source, and the way a call is checked before its handler runs."""

    name = "voipstudio"

    def __init__(self, *, seed: int = 7) -> None:
        super().__init__()
        self._router = Router(OPERATIONS)
        self.begin(seed)

    def begin(self, seed: int = 7) -> None:
        """An empty account: no users, no tokens."""
        super().begin()
        self.source = Source()
        self.options = SourceOptions()
        self.access = Access(self.clock, seed)
        self._drift = random.Random(f"drift-{seed}")

    @property
    def printer(self) -> Printer:
        """How rows look under the current options."""
        return Printer(self.options)

    def error(self, status: int) -> Json:
        """The service's usual error body."""
        return {"message": super().error(status)["message"], "errors": []}

    def answer(self, call: Call) -> Reply:
        """Checks the token and hands the call to its handler; the gateway's endpoint lies outside."""
        if call.path == voipstudio_gateway.PATH:
            return voipstudio_gateway.token(self, call)
        found = self._router.find(call.method, call.path.removeprefix(PREFIX))
        if found is None or not call.path.startswith(PREFIX):
            raise error(404, "Not found")
        call.operation, call.params = found
        if call.operation.scope != "public":
            call.scratch = self.access.user_of(call)
        if call.raw:
            try:
                call.body = json.loads(call.raw)
            except ValueError:
                raise error(400, "Malformed JSON") from None
        return call.operation.handler(self, call)

    def drifted(self, total: int) -> int:
        """``total`` as the server says it."""
        drift = self.options.total_drift
        return max(0, total + self._drift.randint(-drift, drift)) if drift else total


def _visible(service: VoipStudio, call: Call) -> list[Row]:
    rows = list(service.source.contacts.values())
    if service.options.private:
        rows = [row for row in rows if row["global"] or row["user_id"] == call.scratch]
    return rows


def _disturb(service: VoipStudio, page: int) -> None:
    source = service.source
    for disturbance in [item for item in service.options.disturbances if item.page == page]:
        service.options.disturbances.remove(disturbance)
        for _ in range(disturbance.count):
            ids = list(source.contacts)
            if disturbance.do == "delete" and ids:
                source.drop_contact(ids[0 if disturbance.where == "first" else -1])
            elif disturbance.do == "insert":
                number = source.next_ids["contacts"] + 1
                row = {
                    "first_name": "Mid",
                    "last_name": f"Walk {number}",
                    "email": f"mid{number}@example.com",
                }
                stored = source.add_contact({**row, "created_at": service.clock.now() // 1, "global": True})
                if disturbance.where == "first":
                    source.contacts = {
                        stored["id"]: source.contacts.pop(stored["id"]),
                        **source.contacts,
                    }


def list_contacts(service: VoipStudio, call: Call) -> Reply:
    """GET /contacts."""
    if service.options.disturbances:
        _disturb(service, number(call, "page", 1))
    options = service.options
    by_id = call.one("sort") == "id" and not (options.private or options.ignore_sort)
    rows = service.source.in_order() if by_id else _visible(service, call)
    return page_of(service, call, rows, service.printer.contact, in_order=by_id)


def _contact(service: VoipStudio, call: Call) -> Row:
    text = call.params["id"]
    row = service.source.contacts.get(int(text)) if text.isdigit() else None
    hidden = service.options.private and row and not row["global"] and row["user_id"] != call.scratch
    if row is None or hidden:
        raise error(404, "Not found")
    return row


def _single(service: VoipStudio, row: Row, status: int = 200) -> Reply:
    return Reply(status, {"data": service.printer.contact(row), "links": {}})


def get_contact(service: VoipStudio, call: Call) -> Reply:
    """GET /contacts/{id}."""
    return _single(service, _contact(service, call))


def _checked(call: Call) -> Row:
    body = call.body
    if not isinstance(body, dict):
        raise error(400, "Validation error")
    wrong = [name for name in body if name not in WRITABLE]
    if wrong:
        raise error(400, "Validation error", *((name, "This value is not valid") for name in wrong))
    if isinstance(body.get("labels"), str):
        body = {**body, "labels": [part.strip() for part in body["labels"].split(",") if part.strip()]}
    return body


def create_contact(service: VoipStudio, call: Call) -> Reply:
    """POST /contacts: 201."""
    body = {
        "global": False,
        "user_id": call.scratch,
        "created_at": service.clock.now() // 1,
        **_checked(call),
    }
    return _single(service, service.source.add_contact(body), 201)


def update_contact(service: VoipStudio, call: Call) -> Reply:
    """PATCH /contacts/{id}."""
    row = _contact(service, call)
    row.update(_checked(call))
    return _single(service, row)


def update_folders(service: VoipStudio, call: Call) -> Reply:
    """PATCH /contacts: the bulk form sets ``group_name`` only."""
    items = call.body
    if not isinstance(items, list) or not all(
        isinstance(item, dict) and set(item) == {"id", "group_name"} for item in items
    ):
        raise error(400, "Validation error")
    row: Row | None = None
    for item in items:
        row = service.source.contacts.get(item["id"])
        if row is None:
            raise error(404, "Not found")
        row["group_name"] = item["group_name"]
    return _single(service, row) if row else Reply(200, {"data": {}, "links": {}})


def delete_contacts(service: VoipStudio, call: Call) -> Reply:
    """DELETE /contacts/{id} or /contacts/{id1,id2}: 204."""
    ids = call.params["id"].split(",")
    if not all(text.isdigit() and int(text) in service.source.contacts for text in ids):
        raise error(404, "Not found")
    for text in ids:
        service.source.drop_contact(int(text))
    return Reply(204)


def list_users(service: VoipStudio, call: Call) -> Reply:
    """GET /users."""
    return page_of(service, call, list(service.source.users.values()), dict)


def _activities(stream: str) -> Callable[[VoipStudio, Call], Reply]:
    """GET /contacts/{id}/<stream>: the extension."""

    def handler(service: VoipStudio, call: Call) -> Reply:
        if not service.options.streams.get(stream):
            raise error(404, "Not found")
        row = _contact(service, call)
        rows = service.source.activities[stream].get(row["id"], [])
        printer = service.printer
        return page_of(service, call, rows, lambda item: printer.activity(stream, item))

    return handler


OPERATIONS = [
    *voipstudio_access.OPERATIONS,
    Operation("list-contacts", "GET", "/contacts", list_contacts),
    Operation("create-contact", "POST", "/contacts", create_contact, writes=True),
    Operation("update-folders", "PATCH", "/contacts", update_folders, writes=True),
    Operation("get-contact", "GET", "/contacts/{id}", get_contact),
    Operation("update-contact", "PATCH", "/contacts/{id}", update_contact, writes=True),
    Operation("delete-contact", "DELETE", "/contacts/{id}", delete_contacts, writes=True),
    Operation("list-users", "GET", "/users", list_users),
    *(
        Operation(f"list-{stream}", "GET", f"/contacts/{{id}}/{stream}", _activities(stream))
        for stream in STREAMS
    ),
]
