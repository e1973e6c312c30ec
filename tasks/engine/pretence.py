"""How the destination would show what is only pretended to be written. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from tasks.engine.foreseen import PLANNED
from tasks.highlevel.answers import Contact
from tasks.highlevel.requests import Request, SearchContacts, Tags
from tasks.identity.directory import normal_form
from tasks.identity.location import Location


def written(current: BaseModel, name: str, body: Request | None) -> dict[str, Any]:
    """A record's properties after a request, by our names of them."""
    shown = {key: getattr(current, key, None) for key in type(current).model_fields}
    if isinstance(body, Tags):
        there = list(shown["tags"] or ())
        if name == "add-tags":
            shown["tags"] = list(dict.fromkeys([*there, *body.tags]))
        else:
            shown["tags"] = [tag for tag in there if tag not in body.tags]
        return shown
    given = body.model_dump(exclude_unset=True) if body is not None else {}
    custom = given.pop("custom_fields", {})
    shown |= {key: value for key, value in given.items() if key in shown}
    if custom:
        kept = [one for one in shown["custom_fields"] or () if one.get("id") not in custom]
        shown["custom_fields"] = kept + [{"id": key, "value": value} for key, value in custom.items()]
    return shown


def holding(shown: Mapping[str, Any], content: Mapping[str, Any], location: Location) -> Contact | None:
    """A pretended contact, if it holds any of these keys."""
    contact = Contact.model_construct(**shown)
    form = normal_form(contact, location)
    return contact if any(form.get(name) == value for name, value in content.items()) else None


def askable(search: SearchContacts) -> SearchContacts | None:
    """A search without the custom fields that exist in the plan only; None where that leaves nothing."""
    if search.filters is None:
        return search
    kept = []
    for one in search.filters:
        if "filters" in one:
            inner = [each for each in one["filters"] if PLANNED not in str(each.get("field"))]
            kept += [{**one, "filters": inner}] if inner else []
        elif PLANNED not in str(one.get("field")):
            kept.append(one)
    return search.model_copy(update={"filters": kept}) if kept else None
