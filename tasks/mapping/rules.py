"""What mapping needs to know of an account."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from zoneinfo import ZoneInfo

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
    source_label: str = "VoIPstudio"
    """The ``source`` of contacts."""
    appointment_minutes: int = 30
    """The length of an appointment that has no end."""
    group_as_tag: bool = True
    tag_prefix: str = ""

    @classmethod
    def of(cls, name: str, account: Account) -> Self:
        """The rules of a configured account."""
        mapping = account.mapping
        return cls(
            origin=mapping.origin or name,
            zone=ZoneInfo(account.source.timezone),
            default_country=mapping.default_country,
            source_label=mapping.source_label,
            appointment_minutes=mapping.appointment_minutes,
            group_as_tag=mapping.group_as_tag,
            tag_prefix=mapping.tag_prefix,
        )
