"""What an account's mapping needs of its location, and the clear word where the location lacks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Self

from tasks.errors import ConfigurationError
from tasks.highlevel.answers import Calendar, CustomField, User, Workflow
from tasks.mapping_settings import CUSTOM
from tasks.settings import Account

SHOWN = 5
"""Names of what there is that a message gives, at most."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What the configuration names, by the paths of its keys.

    Attributes:
        where: path of the account's keys, for messages.
        own: our names of the custom fields that we keep ourselves → their labels.
        custom: custom fields that must be there, as configured.
        users: VoIPstudio user id → HighLevel user's id or e-mail.
        users_by_email: further users are matched by e-mail.
        workflows: (path of the key, workflow's name or id).
        calendar: id of the calendar that appointments go to.
    """

    where: str
    own: Mapping[str, str]
    custom: tuple[str, ...]
    users: Mapping[str, str]
    users_by_email: bool
    workflows: tuple[tuple[str, str], ...]
    calendar: str | None

    @classmethod
    def of(cls, name: str, account: Account) -> Self:
        """The needs of a configured account."""
        mapping, where = account.mapping, f"accounts.{name}"
        routes = enumerate(mapping.routes)
        wants_calendar = account.source.streams.appointments != "off"
        return cls(
            where=where,
            own={"id": mapping.id_field, "other_phones": mapping.phones_field},
            custom=tuple(mapping.custom_fields),
            users=mapping.users,
            users_by_email=mapping.users_by_email,
            workflows=tuple(
                (f"{where}.mapping.routes.{number}.workflow", route.workflow)
                for number, route in routes
                if route.workflow
            ),
            calendar=account.destination.calendar_id if wants_calendar else None,
        )

    def as_json(self) -> dict[str, Any]:
        """What the ledger keeps, to see whether the answer still fits the question."""
        return {
            "own": dict(self.own),
            "custom": list(self.custom),
            "users": dict(self.users),
            "users_by_email": self.users_by_email,
            "workflows": [name for _, name in self.workflows],
            "calendar": self.calendar,
        }

    def find_fields(self, existing: list[CustomField]) -> dict[str, CustomField]:
        """The location's custom fields by our names of them; our own may be missing.

        Raises:
            ConfigurationError: a field that the mapping names is not there.
        """
        found: dict[str, CustomField] = {}
        for name in self.custom:
            one = find_field(existing, name)
            if one is None:
                path = f"{self.where}.mapping.custom_fields.{name}"
                raise _missing(path, "custom field", name, (_label(field) for field in existing))
            found[f"{CUSTOM}{name}"] = one
        own = {name: find_field(existing, label) for name, label in self.own.items()}
        return found | {name: one for name, one in own.items() if one is not None}

    def find_users(self, users: list[User], sources: Mapping[str, str]) -> dict[str, str]:
        """VoIPstudio user ids → HighLevel user ids.

        Args:
            users: the location's users.
            sources: VoIPstudio user id → e-mail, where users are matched by it.

        Raises:
            ConfigurationError: a user that the mapping names is not there.
        """
        present = [user for user in users if not user.deleted]
        by_email = {user.email.casefold(): user.id for user in present if user.email}
        by_id = {user.id: user.id for user in present}
        found = {
            number: by_email[email.casefold()]
            for number, email in sources.items()
            if email.casefold() in by_email
        }
        for number, name in self.users.items():
            known = by_id.get(name) or by_email.get(name.casefold())
            if known is None:
                names = [user.email or user.name or user.id for user in present]
                raise _missing(f"{self.where}.mapping.users.{number}", "user", name, names)
            found[number] = known
        return found

    def find_workflows(self, existing: list[Workflow]) -> dict[str, str]:
        """Workflow ids by the names or ids that routes give.

        Raises:
            ConfigurationError: a workflow that a route names is not there.
        """
        by_name = {(one.name or "").strip().casefold(): one.id for one in existing}
        by_id = {one.id: one.id for one in existing}
        found = {}
        for path, name in self.workflows:
            known = by_id.get(name) or by_name.get(name.strip().casefold())
            if known is None:
                raise _missing(path, "workflow", name, (one.name or one.id for one in existing))
            found[name] = known
        return found

    def check_calendar(self, existing: list[Calendar]) -> list[str]:
        """The user ids of the calendar's team.

        Raises:
            ConfigurationError: the calendar is not there.
        """
        for one in existing:
            if one.id == self.calendar:
                members = (member.get("userId") for member in one.team_members)
                return [member for member in members if isinstance(member, str)]
        names = (f"{one.id} ({one.name})" for one in existing)
        raise _missing(f"{self.where}.destination.calendar_id", "calendar", self.calendar or "", names)


def find_field(existing: list[CustomField], label: str) -> CustomField | None:
    """A field by its id, name, key, or the key that HighLevel makes of a name (``contact.voipstudio_id``)."""
    bare = label.strip().casefold().removeprefix("contact.")
    key = "contact." + "_".join(bare.split())
    for one in existing:
        if one.id == label or (one.name or "").strip().casefold() == label.strip().casefold():
            return one
    return next((one for one in existing if one.field_key == key), None)


def _label(field: CustomField) -> str:
    return (field.field_key or field.name or field.id).removeprefix("contact.")


def _missing(path: str, what: str, name: str, existing: Iterable[str]) -> ConfigurationError:
    every = list(dict.fromkeys(existing))
    near = get_close_matches(name, every, n=SHOWN, cutoff=0.5) or sorted(every)[:SHOWN]
    there = f"the nearest of what there is: {', '.join(near)}" if near else "it has none at all"
    return ConfigurationError(f"{path}: the location has no {what} {name!r}; {there}")
