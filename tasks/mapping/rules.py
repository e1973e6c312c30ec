"""What mapping needs to know of an account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self
from zoneinfo import ZoneInfo

from tasks.mapping_settings import CUSTOM, SOURCES, FieldRule, MappingSettings
from tasks.settings import Account


@dataclass(frozen=True, slots=True)
class Rules:
    """An account's choices, as mapping uses them."""

    origin: str
    """Who wrote it, in markers: the account's name."""
    zone: ZoneInfo
    """Where VoIPstudio's offset-less timestamps are at home."""
    default_country: str
    """ISO 3166 code for phone numbers without a country code."""
    appointment_minutes: int = 30
    """The length of an appointment that has no end."""
    group_as_tag: bool = True
    tag_prefix: str = ""
    tag_rename: tuple[tuple[str, str], ...] = ()
    """Labels and the tags they become."""
    tag_allow: tuple[str, ...] = ()
    tag_deny: tuple[str, ...] = ()
    fields: tuple[tuple[str, FieldRule], ...] = field(
        default_factory=lambda: contact_fields(MappingSettings())
    )
    """What of a contact is written where, by our names of its fields."""
    named_users: tuple[tuple[str, str], ...] = ()
    """The users' table as configured: a change of it changes what contacts, notes and tasks should hold."""
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    """VoIPstudio user ids and the HighLevel users they are; known once the location is."""
    kinds: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Data types of the location's custom fields, by our names of them; known once the location is."""

    @property
    def policies(self) -> dict[str, FieldRule]:
        """Who has the last word on a contact's fields."""
        return dict(self.fields)

    def at(self, users: Mapping[str, str], kinds: Mapping[str, str]) -> Self:
        """These rules at a location whose users and custom fields are known."""
        return replace(self, users=users, kinds=kinds)

    @classmethod
    def of(cls, name: str, account: Account) -> Self:
        """The rules of a configured account."""
        mapping = account.mapping
        return cls(
            origin=mapping.origin or name,
            zone=ZoneInfo(account.source.timezone),
            default_country=mapping.default_country,
            appointment_minutes=mapping.appointment_minutes,
            group_as_tag=mapping.group_as_tag,
            tag_prefix=mapping.tag_prefix,
            tag_rename=tuple(sorted(mapping.tag_rename.items())),
            tag_allow=tuple(sorted(mapping.tag_allow)),
            tag_deny=tuple(sorted(mapping.tag_deny)),
            fields=contact_fields(mapping),
            named_users=tuple(sorted(mapping.users.items())),
        )


def contact_fields(mapping: MappingSettings) -> tuple[tuple[str, FieldRule], ...]:
    """The rules of all fields that a mapping writes, those configured and those that go without saying."""
    label = mapping.source_label.replace("{", "{{").replace("}", "}}")
    rules: dict[str, FieldRule] = {name: FieldRule(source=source) for name, source in SOURCES.items()}
    rules["source"] = FieldRule(template=label)
    if mapping.users or mapping.users_by_email:
        rules["assignedTo"] = FieldRule(source="user_id")
    for name, rule in mapping.fields.items():
        said = rule.source is not None or rule.template is not None
        origin = {} if said else {key: getattr(rules.get(name), key, None) for key in ("source", "template")}
        rules[name] = rule.model_copy(update=origin)
    rules |= {f"{CUSTOM}{name}": rule for name, rule in mapping.custom_fields.items()}
    return tuple((name, rule) for name, rule in rules.items() if rule.policy != "off")
