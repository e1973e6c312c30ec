"""A page of contacts as a frame, into what the destination should hold."""

from __future__ import annotations

from functools import lru_cache
from string import Formatter
from typing import TYPE_CHECKING, Any

from email_validator import EmailNotValidError, validate_email

from tasks.mapping.desired import Desired, Mapped, Skipped
from tasks.mapping.phones import Numbers, numbers
from tasks.mapping.tags import tags
from tasks.mapping.text import block, clean, line
from tasks.voipstudio.models import Contact
from tasks.voipstudio.times import RawTime, instant, stamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from tasks.mapping.rules import Rules
    from tasks.mapping_settings import FieldRule

PHONE_FIELDS = ("tel", "tel_1", "tel_2", "mobile", "mobile_1", "mobile_2")
"""In the order in which they are looked through for the contact's ``phone``."""


def frame_of(models: Sequence[Contact]) -> pd.DataFrame:
    """One row per contact, one column per field, the values as in the models (None stays None)."""
    import pandas as pd  # noqa: PLC0415 - as in the engine: only once something changed

    columns = {name: [getattr(model, name) for model in models] for name in Contact.model_fields}
    return pd.DataFrame(columns, dtype=object)


def contacts(frame: pd.DataFrame, rules: Rules) -> list[Mapped]:
    """What the destination should hold for each row of ``frame``, in its order.

    ``content`` has the fields of the account's rules under our names of them (``firstName``,
    ``custom.membership``), ``tags``, and ``id`` and ``other_phones``, the values of our own custom fields.
    Nothing empty is in it. ``labels`` is for the ledger: labels, groups, and the tags that they became.
    Skipped: colleagues (``internal``), and whoever has neither a valid e-mail address nor a valid phone
    number to send (``no_email_or_phone``), because the destination takes none such (measured by integrators).
    """
    policies = rules.policies
    phones = [_column(frame, name) for name in _phone_fields(policies.get("phone"))]
    numbered = [numbers(fields, rules.default_country) for fields in zip(*phones, strict=True)]
    written = _written(frame, rules, numbered)
    rows = zip(
        _column(frame, "id"),
        _column(frame, "internal"),
        numbered,
        _named(frame),
        zip(*written.values(), strict=True),
        strict=True,
    )
    mapped: list[Mapped] = []
    for number, internal, phone, (labels, groups), values in rows:
        source_id, kept_back = str(int(number)), list[str]()
        content: dict[str, Any] = {name: value for name, value in zip(written, values, strict=True) if value}
        if typed := content.pop("email", None):
            email = address(typed)
            content |= {"email": email} if email else {}
            kept_back += [] if email else ["invalid_email"]
        if "assignedTo" in content:
            user = rules.users.get(content.pop("assignedTo"))
            content |= {"assignedTo": user} if user else {}
            kept_back += [] if user or not rules.users else ["unknown_user"]
        others = phone.others if "phone" in policies else ", ".join(filter(None, (phone.phone, phone.others)))
        content |= {"phone": phone.phone} if phone.phone and "phone" in policies else {}
        kept_back += ["invalid_phone"] if phone.unusable else []
        if internal or not (content.get("email") or content.get("phone")):
            reason = "internal" if internal else "no_email_or_phone"
            mapped.append(Skipped("contacts", source_id, None, reason))
            continue
        tagged = tags(labels, groups, rules)
        told = [sorted(map(line, labels)), sorted(filter(None, map(line, groups))), tagged]
        own = {"tags": tagged, "id": source_id, "other_phones": others, "labels": told}
        content |= {name: value for name, value in own.items() if value}
        mapped.append(Desired("contacts", source_id, None, content, tuple(kept_back)))
    return mapped


def _phone_fields(rule: FieldRule | None) -> Sequence[str]:
    """The phone fields in the order in which they are looked through."""
    if rule is None or rule.source not in PHONE_FIELDS:
        return PHONE_FIELDS
    return (rule.source, *(name for name in PHONE_FIELDS if name != rule.source))


def _written(frame: pd.DataFrame, rules: Rules, numbered: Sequence[Numbers]) -> dict[str, list[str]]:
    """What the rules make of each contact, field by field; ``phone`` apart."""
    texts: dict[str, list[str]] = {
        "phone": [number.phone for number in numbered],
        "other_phones": [number.others for number in numbered],
    }

    def text(name: str) -> list[str]:
        if name not in texts:
            texts[name] = _texts(frame, name, rules)
        return texts[name]

    def filled(template: str) -> list[str]:
        names = [name for _, name, _, _ in Formatter().parse(template) if name]
        if not names:
            return [template.format()] * len(frame)
        rows = zip(*map(text, names), strict=True)
        return [template.format(**dict(zip(names, row, strict=True))) if any(row) else "" for row in rows]

    return {
        name: filled(rule.template) if rule.template is not None else text(str(rule.source))
        for name, rule in rules.fields
        if name != "phone"
    }


def _texts(frame: pd.DataFrame, name: str, rules: Rules) -> list[str]:
    """A column as text of one line (``notes``: of many); times as instants, empty where unreadable."""
    column = _column(frame, name)
    if name == "labels":
        return [", ".join(map(line, labels or ())) for labels in column]
    if name == "notes":
        return list(map(block, column))
    if name.endswith("_at"):
        return [_instant(raw, rules) for raw in column]
    return [line(None if value is None else str(value)) for value in column]


def _instant(raw: RawTime, rules: Rules) -> str:
    try:
        moment = instant(raw, rules.zone)
    except (ValueError, OverflowError):
        return ""
    return stamp(moment) if moment else ""


@lru_cache(maxsize=1 << 10)
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
