"""VoIPstudio's lists: ``page``, ``limit``, ``sort``, ``dir``, ``filter``, answered as ``{data, total}``."""

from __future__ import annotations

import json
import operator
from typing import TYPE_CHECKING, Any

from sandbox.source import Printer, SourceOptions
from sandbox.voipstudio_errors import error
from sandbox.wire import Call, Json, Reply, Row

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.voipstudio import VoipStudio

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "like": lambda mine, theirs: str(theirs).strip("%").lower() in str(mine).lower(),
}
UNFILTERABLE = ("labels", "groups")


def number(call: Call, name: str, default: int) -> int:
    """A positive number of the query."""
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
        if how not in OPERATORS or name not in known or name in UNFILTERABLE:
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


def page_of(
    service: VoipStudio, call: Call, rows: list[Row], show: Callable[[Row], Row], *, in_order: bool = False
) -> Reply:
    """A list answer: ``{data, total}``; past the end an empty page with the same total.

    Rows that are ``in_order`` are in that of their ids already.
    """
    page = number(call, "page", 1)
    limit = min(number(call, "limit", service.options.default_limit), service.options.max_limit)
    known = set(rows[0]) if rows else set()
    tests = _tests(call, known) if known else []
    if tests:
        plain = Printer(SourceOptions(zone=service.options.zone))
        rows = [row for row in rows if _passes({**row, **plain.moments(row)}, tests)]
    sort, direction = call.one("sort"), (call.one("dir") or "ASC").upper()
    if direction not in ("ASC", "DESC") or (sort and known and sort not in known):
        raise error(400, "Validation error", ("sort", "This value is not valid"))
    if not service.options.ignore_sort:
        if sort == "id" and not in_order:
            rows = sorted(rows, key=operator.itemgetter("id"))
        elif sort and sort != "id":
            rows = sorted(rows, key=lambda row: (row[sort] is not None, _rank(row[sort]), row["id"]))
        if direction == "DESC":
            rows = rows[::-1]
    total = service.drifted(len(rows))
    return Reply(
        200, {"data": [show(row) for row in rows[(page - 1) * limit : page * limit]], "total": total}
    )
