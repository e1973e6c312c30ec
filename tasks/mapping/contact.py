"""A page of contacts as a frame, into what the destination should hold."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pandas as pd
from email_validator import EmailNotValidError, validate_email

from tasks.mapping.desired import Desired, Mapped, Skipped
from tasks.mapping.phones import numbers
from tasks.mapping.tags import tags
from tasks.mapping.text import clean, line
from tasks.voipstudio.models import Contact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.mapping.rules import Rules

PHONE_FIELDS = ("tel", "tel_1", "tel_2", "mobile", "mobile_1", "mobile_2")
"""In the order in which they are looked through for the contact's ``phone``."""


def frame_of(models: Sequence[Contact]) -> pd.DataFrame:
    """One row per contact, one column per field, the values as in the models (None stays None)."""
    columns = {name: [getattr(model, name) for model in models] for name in Contact.model_fields}
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in columns.items()})


def contacts(frame: pd.DataFrame, rules: Rules) -> list[Mapped]:
    """What the destination should hold for each row of ``frame``, in its order.

    ``content`` has ``firstName, lastName, email, phone, companyName, source, tags`` under the destination's
    names, and ``id`` and ``other_phones``, the values of the two custom fields. Skipped: colleagues
    (``internal``), and whoever has neither a valid e-mail address nor a valid phone number
    (``no_email_or_phone``), because the destination takes none such (measured by integrators).
    """
    phones = [_column(frame, name) for name in PHONE_FIELDS]
    rows = zip(
        _column(frame, "id"),
        _column(frame, "internal"),
        map(line, _column(frame, "first_name")),
        map(line, _column(frame, "last_name")),
        map(line, _column(frame, "company")),
        map(line, _column(frame, "email")),
        (numbers(fields, rules.default_country) for fields in zip(*phones, strict=True)),
        (tags(labels, groups, rules) for labels, groups in _named(frame)),
        strict=True,
    )
    mapped: list[Mapped] = []
    for number, internal, first, last, company, typed, phone, tagged in rows:
        source_id, email = str(int(number)), address(typed)
        if internal or not (email or phone.phone):
            reason = "internal" if internal else "no_email_or_phone"
            mapped.append(Skipped("contacts", source_id, None, reason))
            continue
        content = {
            "firstName": first,
            "lastName": last,
            "email": email,
            "phone": phone.phone,
            "companyName": company,
            "source": rules.source_label,
            "tags": tagged,
            "id": source_id,
            "other_phones": phone.others,
        }
        told = {name: value for name, value in content.items() if value}
        lost = {"invalid_email": typed and not email, "invalid_phone": phone.unusable}
        kept_back = tuple(code for code, is_lost in lost.items() if is_lost)
        mapped.append(Desired("contacts", source_id, None, told, kept_back))
    return mapped


@lru_cache(maxsize=1 << 16)
def address(typed: str) -> str:
    """The e-mail address ``typed`` in lower case; empty where it is none. Asks no name server."""
    if not typed:
        return ""
    try:
        found = validate_email(typed, check_deliverability=False)
    except EmailNotValidError:
        return ""
    return clean(found.normalized.lower())


def _named(frame: pd.DataFrame) -> list[tuple[Sequence[str], list[str | None]]]:
    """Labels and groups of each row."""
    labels, groups = _column(frame, "labels"), _column(frame, "groups")
    alone = _column(frame, "group_name")
    return [
        (label or (), [name, *(group or ())])
        for label, name, group in zip(labels, alone, groups, strict=True)
    ]


def _column(frame: pd.DataFrame, name: str) -> list[Any]:
    """A column as plain Python values, whatever pandas has made of it: None where nothing stands."""
    if name not in frame:
        return [None] * len(frame)
    column = frame[name].astype(object)
    return [
        None if empty else value for value, empty in zip(column.tolist(), column.isna().tolist(), strict=True)
    ]
