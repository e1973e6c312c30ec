"""Custom-field values of contacts: how they are written, checked and stored.

Items are ``{id or key, field_value or fieldValue}``; what is stored is id → value. An option that is not
byte-equal to one of the field's options is dropped without a word, as seen live.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.wire import Json, Row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.world import Location

ITEM = {"id", "key", "field_value", "fieldValue"}
DATE_LENGTH = 10


def find_field(location: Location, item: Row) -> Row | None:
    """The definition that an item names by id or by key, with or without the ``contact.`` before it."""
    by_id = location.custom_fields.get(item.get("id") or "")
    if by_id is not None or not isinstance(item.get("key"), str):
        return by_id
    key = item["key"] if item["key"].startswith("contact.") else f"contact.{item['key']}"
    return next((row for row in location.custom_fields.values() if row["fieldKey"] == key), None)


def apply_custom_fields(
    location: Location, stored: Row, items: Json, *, check_only: bool = False
) -> Iterator[tuple[int, str]]:
    """Merges the items into ``stored`` by id; yields (position, problem) for what is wrong."""
    if not isinstance(items, list):
        return
    for at, item in enumerate(items):
        if not isinstance(item, dict):
            yield at, "must be an object"
            continue
        yield from ((at, f"property {name} should not exist") for name in item if name not in ITEM)
        if not item.get("id") and not item.get("key"):
            yield at, "id or key should not be empty"
            continue
        definition = find_field(location, item)
        if definition is None:
            yield at, "custom field does not exist"
            continue
        if "field_value" not in item and "fieldValue" not in item:
            yield at, "field_value should not be empty"
            continue
        value = item["fieldValue"] if "fieldValue" in item else item["field_value"]
        if value in ("", None, []):
            if not check_only:
                stored.pop(definition["id"], None)
            continue
        good, value = _typed(definition, value)
        if not good:
            yield at, "field_value has a wrong type"
        elif not check_only and value is not None:
            stored[definition["id"]] = value


def _typed(definition: Row, value: Json) -> tuple[bool, Json]:
    """Whether the value suits the field, and the value as stored (None: silently dropped)."""
    kind, options = definition["dataType"], definition.get("picklistOptions") or []
    if kind in ("NUMERICAL", "MONETORY"):
        if isinstance(value, str):
            value = value.replace(",", "")
        try:
            number = float(value)
        except (TypeError, ValueError):
            return False, None
        return True, int(number) if number.is_integer() else number
    if kind in ("CHECKBOX", "MULTIPLE_OPTIONS"):
        if not isinstance(value, list):
            return False, None
        return True, [item for item in value if item in options] or None
    if kind == "FILE_UPLOAD":
        return isinstance(value, dict), value
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return False, None
    text = str(value)
    if kind in ("SINGLE_OPTIONS", "RADIO"):
        return True, text if text in options else None
    return True, text[:DATE_LENGTH] if kind == "DATE" else text
