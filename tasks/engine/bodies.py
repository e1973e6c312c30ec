"""The requests that create and change a contact, from contents in our names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.engine.merge import BESIDES
from tasks.highlevel.custom_values import to_api
from tasks.highlevel.requests import CreateContact, UpdateContact
from tasks.identity.location import Location

NEVER_NULL = ("postalCode", "country")
"""What an update empties with an empty text, for it may not be null (HighLevel OpenAPI)."""

Content = Mapping[str, Any]


def create_body(ours: Content, location: Location) -> CreateContact:
    """The request that creates a contact; tags and custom fields travel in it."""
    tags = {"tags": ours["tags"]} if ours.get("tags") else {}
    return CreateContact(**_fields(ours, location), **tags)


def update_body(write: Content, location: Location) -> UpdateContact:
    """The request that changes these fields."""
    return UpdateContact(**_fields(write, location))


def _fields(content: Content, location: Location) -> dict[str, Any]:
    plain = {
        name: "" if value is None and name in NEVER_NULL else value
        for name, value in content.items()
        if name not in location.fields and name not in BESIDES
    }
    custom = {
        location.fields[name]: None if value is None else to_api(location.kinds.get(name), value)
        for name, value in content.items()
        if name in location.fields
    }
    return plain | ({"customFields": custom} if custom else {})
