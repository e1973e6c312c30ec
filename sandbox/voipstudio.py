"""VoIPstudio's REST API v1.2 (contacts, access, users) as a FastAPI application.

Modelled from VoIPstudio's documentation and its published clients. The endpoints under
``/contacts/{id}/notes|tasks|appointments`` are an *extension*: VoIPstudio's documentation does not have
them; some accounts do. Decided here because it is published nowhere: a page or limit below 1 is a 400,
``limit`` is clamped, an unknown sort or filter property is a 400, contacts come in the order of their ids.
"""

from __future__ import annotations

import json
import operator
import random
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from sandbox import voipstudio_access
from sandbox.gate import Gate, Service
from sandbox.source import STREAMS, WRITABLE, Printer, Source, SourceOptions
from sandbox.voipstudio_access import Access, error
from sandbox.wire import Call, Json, Operation, Reply, Router, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.control import Control

PREFIX = "/v1.2/voipstudio"
OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "like": lambda mine, theirs: str(theirs).strip("%").lower() in str(mine).lower(),
}
FILTERABLE = ("labels", "groups")


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
        """Checks the token and hands the call to its handler."""
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


def _number(call: Call, name: str, default: int) -> int:
    text = call.one(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) < 1:
        raise error(400, "Validation error", (name, "This value is not valid"))
    return int(text)


def _tests(call: Call, known: set[str]) -> list[tuple[str, str, Json]]:
    text = call.one("filter")
    if not text:
        return []
    try:
        items = json.loads(text)
        tests = [(item["property"], item["operator"], item["value"]) for item in items]
    except (ValueError, TypeError, KeyError):
        raise error(400, "Filtration error") from None
    for name, how, _ in tests:
        if how not in OPERATORS or name not in known or name in FILTERABLE:
            raise error(400, "Filtration error", (str(name), f"Operator {how} cannot be used here"))
    return tests


def _passes(shown: Row, tests: list[tuple[str, str, Json]]) -> bool:
    for name, how, wanted in tests:
        mine = shown.get(name)
        if mine is None:
            return False
        if how != "like" and isinstance(mine, str) != isinstance(wanted, str):
            mine, wanted = str(mine), str(wanted)  # noqa: PLW2901 - compared as text
        if not OPERATORS[how](mine, wanted):
            return False
    return True


def _rank(value: Json) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def page_of(service: VoipStudio, call: Call, rows: list[Row], show: Callable[[Row], Row]) -> Reply:
    """A list answer: ``{data, total}``; past the end an empty page with the same total."""
    page = _number(call, "page", 1)
    limit = min(_number(call, "limit", service.options.default_limit), service.options.max_limit)
    known = set(rows[0]) if rows else set()
    tests = _tests(call, known) if known else []
    if tests:
        plain = Printer(SourceOptions(zone=service.options.zone))
        rows = [row for row in rows if _passes({**row, **plain._moments(row)}, tests)]  # noqa: SLF001
    sort, direction = call.one("sort"), (call.one("dir") or "ASC").upper()
    if direction not in ("ASC", "DESC") or (sort and known and sort not in known):
        raise error(400, "Validation error", ("sort", "This value is not valid"))
    if not service.options.ignore_sort:
        if sort:
            rows = sorted(rows, key=lambda row: (row[sort] is not None, _rank(row[sort]), row["id"]))
        if direction == "DESC":
            rows = rows[::-1]
    total = service.drifted(len(rows))
    return Reply(
        200, {"data": [show(row) for row in rows[(page - 1) * limit : page * limit]], "total": total}
    )


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
        _disturb(service, _number(call, "page", 1))
    return page_of(service, call, _visible(service, call), service.printer.contact)


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


def create_app(state: VoipStudio, control: Control | None = None) -> FastAPI:
    """The ASGI application over this state, with the control API where one is given."""
    app = FastAPI(title="VoIPstudio (sandbox)", docs_url=None, redoc_url=None, openapi_url=None)
    if control is not None:
        app.include_router(control.router())
    app.mount("/", Gate(state))
    return app
