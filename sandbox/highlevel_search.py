"""Search over contacts: POST /contacts/search in both paging modes, and the duplicate look-up.

Search reads the index, which follows writes after the configured lag; the duplicate look-up reads the
store at once (published nowhere). Operators, fields and limits are those of HighLevel's search page.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sandbox.highlevel_contacts import view
from sandbox.highlevel_lists import need_location
from sandbox.highlevel_rules import Shape, bad_request, e164, unprocessable
from sandbox.wire import Call, Json, Operation, Reply, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.highlevel import HighLevel

BODY = Shape(
    locationId="str*",
    pageLimit="num*",
    page="num",
    searchAfter="list",
    filters="list",
    sort="list",
    query="str",
)
PAGE_MAX, REACH, VALUE_MAX = 500, 10_000, 75
SORTABLE = {"email", "dnd", "source", "firstNameLowerCase", "lastNameLowerCase", "dateAdded", "dateUpdated"}
_PRESENT = {"exists", "not_exists"}
_EQUAL = {"eq", "not_eq"} | _PRESENT
_TEXT = _EQUAL | {"contains", "not_contains"}
OPERATORS: dict[str, set[str]] = {
    "id": {"eq", "not_eq"},
    "email": _EQUAL,
    **dict.fromkeys(
        (
            "phone", "firstNameLowerCase", "lastNameLowerCase", "address", "city", "postalCode",
            "companyName",
            "businessName", "tags",
        ),
        _TEXT,
    ),
    **dict.fromkeys(
        ("contactName", "state", "country", "assignedTo", "source", "dnd", "isValidWhatsapp", "followers"),
        _EQUAL
    ),
    **dict.fromkeys(
        ("dateAdded", "dateUpdated", "lastEmailClickedDate", "lastEmailOpenedDate"), {"range"} | _PRESENT
    ),
}  # fmt: skip
ALL_OPERATORS = {"eq", "not_eq", "contains", "not_contains", "exists", "not_exists", "range"}


def search(service: HighLevel, call: Call) -> Reply:
    """POST /contacts/search."""
    body = BODY.check(call.body)
    location = call.scratch.location(body["locationId"])
    limit, page, after = int(body["pageLimit"]), int(body.get("page") or 1), body.get("searchAfter")
    _check(body, limit, page, after)
    index = location.index
    index.settle(service.clock.now())
    sort = _sort(body.get("sort"))
    key = (index.version, repr(sort), repr(body.get("filters")), body.get("query"))
    if index.sorted is None or index.sorted[0] != key:
        rows = [row for row in index.rows.values() if _matches_query(row, body.get("query"))]
        test = _group({"group": "AND", "filters": body.get("filters") or []})
        rows = [row for row in rows if test(row)]
        for field, descending in reversed(sort):
            rows.sort(key=lambda row, field=field: _sort_key(row, field), reverse=descending)  # type: ignore[misc]
        index.sorted = (key, rows)
    rows = index.sorted[1]
    start = _after(rows, sort, after) if after else (page - 1) * limit
    contacts = [_found(row, sort) for row in rows[start : start + limit]]
    return Reply(200, {"contacts": contacts, "total": len(rows), "traceId": service.trace()})


def _check(body: Row, limit: int, page: int, after: Json) -> None:
    if not 1 <= limit <= PAGE_MAX:
        raise unprocessable(
            ["pageLimit must not be greater than 500" if limit > 1 else "pageLimit must not be less than 1"]
        )
    if page < 1:
        raise unprocessable(["page must not be less than 1"])
    if after and "page" in body:
        raise bad_request("page and searchAfter cannot be used together")
    if not after and page * limit > REACH:
        raise bad_request("Result window is too large: use searchAfter beyond 10000 records")
    if len(body.get("query") or "") > VALUE_MAX:
        raise unprocessable(["query must be shorter than or equal to 75 characters"])


def _sort(items: Json) -> list[tuple[str, bool]]:
    """Checked (field, descending) pairs; newest first by default, ties by id."""
    pairs = []
    for item in items or [{"field": "dateAdded", "direction": "desc"}]:
        if not isinstance(item, dict) or item.get("direction") not in ("asc", "desc"):
            raise unprocessable(["sort.direction must be one of the following values: asc, desc"])
        if item.get("field") not in SORTABLE:
            raise bad_request(f"Invalid sort field: {item.get('field')}")
        pairs.append((str(item["field"]), item["direction"] == "desc"))
    return [*pairs, ("id", False)]


def _value(row: Row, field: str) -> Json:
    if field.startswith("customFields."):
        return row["customFields"].get(field.removeprefix("customFields."))
    if field in ("firstNameLowerCase", "lastNameLowerCase"):
        return (row.get(field.removesuffix("LowerCase")) or "").lower() or None
    if field == "contactName":
        return f"{row.get('firstName') or ''} {row.get('lastName') or ''}".strip().lower() or None
    if field == "address":
        return row.get("address1")
    if "dndSettings" in field.lower():
        value: Json = row
        for part in field.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        return value
    return row.get(field)


def _sort_key(row: Row, field: str) -> Json:
    if field == "dateAdded":
        return row["added"]
    return str(_value(row, field) or "")


def _after(rows: list[Row], sort: list[tuple[str, bool]], after: list[Json]) -> int:
    """Where the page after this cursor begins; the cursor is the sort values and the id of a row."""
    if len(after) != len(sort):
        raise bad_request("searchAfter must have the length of the sort")

    def place(values: list[Json]) -> list[Json]:
        return [
            _Down(value) if descending else value for value, (_, descending) in zip(values, sort, strict=True)
        ]

    try:
        return bisect_right(rows, place(after), key=lambda row: place(_cursor(row, sort)))
    except TypeError:
        raise bad_request("searchAfter does not suit the sort") from None


class _Down:
    """A value that sorts the other way round."""

    __slots__ = ("value",)

    def __init__(self, value: Json) -> None:
        self.value = value

    def __lt__(self, other: _Down) -> bool:
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and bool(other.value == self.value)

    __hash__ = None  # type: ignore[assignment]


def _cursor(row: Row, sort: list[tuple[str, bool]]) -> list[Json]:
    return [_sort_key(row, field) for field, _ in sort]


def _matches_query(row: Row, query: str | None) -> bool:
    if not query:
        return True
    fields = ("firstName", "lastName", "email", "phone", "companyName")
    text = " ".join(str(row.get(field) or "") for field in fields).lower()
    return query.lower() in text


def _group(node: Row) -> Callable[[Row], bool]:
    """A test for a group of filters, nested ones included."""
    if not isinstance(node, dict):
        raise unprocessable(["filters must be an array of objects"])
    if "group" in node:
        name, children = node.get("group"), node.get("filters")
        if name not in ("AND", "OR") or not isinstance(children, list):
            raise unprocessable(["group must be one of the following values: AND, OR"])
        tests = [_group(child) for child in children]
        if name == "AND":
            return lambda row: all(test(row) for test in tests)
        return lambda row: any(test(row) for test in tests)
    return _filter(node)


def _filter(node: Row) -> Callable[[Row], bool]:
    field, operator, wanted = str(node.get("field")), str(node.get("operator")), node.get("value")
    known = OPERATORS.get(field)
    if field.startswith("customFields.") or "dndSettings." in field:
        known = ALL_OPERATORS
    if known is None and field != "inboundDndSettings.all.status":
        raise bad_request(f"Invalid field: {field}")
    if operator not in ALL_OPERATORS or operator not in (known or _EQUAL):
        raise unprocessable([f"Invalid Operator {operator} for field {field}"])
    if operator == "range":
        return _range(field, wanted)
    for item in wanted if isinstance(wanted, list) else [wanted]:
        if len(str(item)) > VALUE_MAX:
            raise unprocessable(["value must be shorter than or equal to 75 characters"])
    if operator in _PRESENT:
        return lambda row: bool(_value(row, field)) == (operator == "exists")
    negative = operator.startswith("not_")
    plain = operator.removeprefix("not_")
    return lambda row: _holds(_value(row, field), plain, wanted) != negative


def _holds(value: Json, operator: str, wanted: Json) -> bool:
    if isinstance(wanted, list):
        return any(_holds(value, operator, item) for item in wanted)
    if isinstance(value, list):
        return any(_holds(item, operator, wanted) for item in value)
    if value is None:
        return False
    if isinstance(value, bool) or isinstance(wanted, bool):
        return bool(value is wanted)
    mine, theirs = str(value).lower(), str(wanted).lower()
    return theirs in mine if operator == "contains" else mine == theirs


def _range(field: str, wanted: Json) -> Callable[[Row], bool]:
    if not isinstance(wanted, dict) or not set(wanted) <= {"gte", "lte", "gt", "lt"}:
        raise unprocessable(["value of range must be an object with gte and lte"])
    bounds = {}
    for name, text in wanted.items():
        try:
            bound = text / 1000 if isinstance(text, int | float) else _stamp(str(text))
        except ValueError:
            raise unprocessable([f"value.{name} must be a date"]) from None
        bounds[name] = bound

    def test(row: Row) -> bool:
        value = _value(row, field)
        if value is None:
            return False
        at = _stamp(value)
        return (
            at >= bounds.get("gte", at)
            and at <= bounds.get("lte", at)
            and ("gt" not in bounds or at > bounds["gt"])
            and ("lt" not in bounds or at < bounds["lt"])
        )

    return test


def _stamp(text: str) -> float:
    value = datetime.fromisoformat(text)
    return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()


_SHOWN = (
    "id", "country", "source", "type", "locationId", "dnd", "state", "tags", "dateAdded", "phone",
    "companyName",
    "dateUpdated", "city", "dateOfBirth", "firstName", "lastName", "email", "assignedTo", "followers",
    "postalCode",
    "businessId",
)  # fmt: skip


def _found(row: Row, sort: list[tuple[str, bool]]) -> Row:
    """A contact as search shows it: null where there is nothing, ``address`` for address1."""
    shown = {name: row.get(name) for name in _SHOWN}
    shown["followers"] = row.get("followers") or []
    shown["address"] = row.get("address1")
    shown["firstNameLowerCase"] = (row.get("firstName") or "").lower()
    shown["lastNameLowerCase"] = (row.get("lastName") or "").lower()
    shown["customFields"] = [{"id": key, "value": value} for key, value in row["customFields"].items()]
    shown["additionalEmails"] = row.get("additionalEmails", [])
    shown["additionalPhones"] = row.get("additionalPhones", [])
    shown["opportunities"] = []
    shown["searchAfter"] = _cursor(row, sort)
    return shown


def duplicate(service: HighLevel, call: Call) -> Reply:
    """GET /contacts/search/duplicate: by the location's priority, or e-mail then phone."""
    location = need_location(call)
    given = {"email": call.one("email"), "phone": call.one("number")}
    if not any(given.values()):
        raise unprocessable(["number or email should not be empty"])
    if given["phone"]:
        given["phone"] = e164(given["phone"].strip(), location.country)
    for name in ("email", "phone") if location.allow_duplicates else location.priority:
        for holder in location.holders(name, given[name]):
            full = view(location.contacts[holder])
            thin = {key: full.get(key) for key in _SHOWN if full.get(key) is not None}
            return Reply(
                200, {"contact": {**thin, "customFields": full["customFields"]}, "traceId": service.trace()}
            )
    return Reply(200, {"contact": None, "traceId": service.trace()})


OPERATIONS = [
    Operation("search-contacts", "POST", "/contacts/search", search, "contacts.readonly"),
    Operation("get-duplicate-contact", "GET", "/contacts/search/duplicate", duplicate, "contacts.readonly"),
]
