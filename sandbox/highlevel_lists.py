"""Lists of contacts other than search: the deprecated GET /contacts/ and the contacts of a business."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.highlevel_contacts import view
from sandbox.highlevel_rules import unprocessable
from sandbox.wire import Call, Operation, Reply, Row

if TYPE_CHECKING:
    from sandbox.highlevel import Caller, HighLevel
    from sandbox.world import Location

BY_BUSINESS_DEFAULT = 25
LIST_DEFAULT, LIST_MAX = 20, 100


def whole(call: Call, name: str, default: int, most: int | None = None) -> int:
    """A numeric query parameter."""
    text = call.one(name)
    if text is None:
        return default
    if not text.isdigit():
        raise unprocessable([f"{name} must be a number conforming to the specified constraints"])
    value = int(text)
    if most is not None and value > most:
        raise unprocessable([f"{name} must not be greater than {most}"])
    return value


def need_location(call: Call) -> Location:
    """The location of a list endpoint, which must be named in the query."""
    caller: Caller = call.scratch
    location_id = call.one("locationId")
    if not location_id:
        raise unprocessable(["locationId should not be empty", "locationId must be a string"])
    return caller.location(location_id)


def _listed(row: Row) -> Row:
    shown = view(row)
    shown["contactName"] = shown.pop("name", "")
    return shown


def _matching(rows: list[Row], query: str | None) -> list[Row]:
    if not query:
        return rows
    fields = ("firstName", "lastName", "email", "phone", "companyName")
    return [row for row in rows if any(query.lower() in str(row.get(name) or "").lower() for name in fields)]


def list_contacts(service: HighLevel, call: Call) -> Reply:
    """GET /contacts/ (deprecated): newest first, paged by startAfter and startAfterId; lags like search."""
    location = need_location(call)
    limit = whole(call, "limit", LIST_DEFAULT, LIST_MAX)
    location.index.settle(service.clock.now())
    rows = _matching(list(location.index.rows.values()), call.one("query"))
    rows.sort(key=lambda row: (-row["added"], row["id"]))
    total = len(rows)
    after, after_id = call.one("startAfter"), call.one("startAfterId")
    if after and after.isdigit():
        rows = [row for row in rows if (-row["added"], row["id"]) > (-int(after), after_id or "")]
    page = rows[:limit]
    meta: Row = {"total": total, "currentPage": None, "nextPage": None, "prevPage": None, "nextPageUrl": None}
    if len(rows) > limit:
        last = page[-1]
        meta.update(startAfter=last["added"], startAfterId=last["id"])
        meta["nextPageUrl"] = (
            f"{call.path}?locationId={location.id}&limit={limit}&startAfter={last['added']}&startAfterId={last['id']}"
        )
    answer = {"contacts": [_listed(row) for row in page], "count": total, "meta": meta}
    return Reply(200, {**answer, "traceId": service.trace()})


def contacts_of_business(service: HighLevel, call: Call) -> Reply:
    """GET /contacts/business/{businessId}; reads the store at once."""
    del service
    location = need_location(call)
    limit, skip = whole(call, "limit", BY_BUSINESS_DEFAULT, LIST_MAX), whole(call, "skip", 0)
    wanted = call.params["businessId"]
    rows = [row for row in location.contacts.values() if row.get("businessId") == wanted]
    rows = _matching(rows, call.one("query"))
    return Reply(200, {"contacts": [_listed(row) for row in rows[skip : skip + limit]], "count": len(rows)})


OPERATIONS = [
    Operation("list-contacts", "GET", "/contacts", list_contacts, "contacts.readonly"),
    Operation(
        "contacts-of-business",
        "GET",
        "/contacts/business/{businessId}",
        contacts_of_business,
        "contacts.readonly",
    ),
]
