"""Checks of what the location has, against what the configuration expects of it."""

from __future__ import annotations

from tasks.engine.checks.finding import Verdict, listed
from tasks.engine.checks.subject import Subject
from tasks.errors import ConfigurationError


async def duplicates(subject: Subject) -> Verdict:
    """Whether two contacts may have the same e-mail or phone."""
    allows = (await subject.borrowed("location")).settings.allow_duplicate_contact
    if allows is False:
        return Verdict("ok", "the location lets no two contacts have the same e-mail or phone")
    how = "lets" if allows else "does not say whether it lets"
    return Verdict(
        "warning",
        f"the location {how} two contacts have the same e-mail or phone: each person is looked up before a "
        "contact is made, and people can still make second ones by hand",
        "at HighLevel, under Settings, Business Profile, switch Allow Duplicate Contact off",
    )


async def custom_fields(subject: Subject) -> Verdict:
    """Ours are there or will be made; those of the mapping are there."""
    try:
        found = subject.needs.find_fields(await subject.borrowed("fields"))
    except ConfigurationError as error:
        return Verdict("wrong", str(error), "make the field at HighLevel, or mend the name in the mapping")
    missing = [label for name, label in subject.needs.own.items() if name not in found]
    if missing:
        return Verdict("ok", f"all that the mapping names are there; the first run makes {listed(missing)}")
    return Verdict("ok", "ours and all that the mapping names are there")


async def mapping(subject: Subject) -> Verdict:
    """The users and workflows that the mapping names are there."""
    needs = subject.needs
    try:
        named = []
        if needs.users or needs.users_by_email:
            by_email = await subject.borrowed("source users") if needs.users_by_email else {}
            found = needs.find_users(await subject.borrowed("users"), by_email)
            named.append(f"{len(found)} users")
        if needs.workflows:
            named.append(f"{len(needs.find_workflows(await subject.borrowed('workflows')))} workflows")
    except ConfigurationError as error:
        return Verdict(
            "wrong", str(error), "mend the name in the mapping, or make what it names at HighLevel"
        )
    if not named:
        return Verdict("ok", "it names no users or workflows of the location")
    return Verdict("ok", f"it names {listed(named)} of the location, and all are there")


async def calendar(subject: Subject) -> Verdict:
    """Appointments have a calendar, and that has a team."""
    where = f"{subject.where}.destination.calendar_id"
    off = f'{subject.where}.source.streams.appointments = "off"'
    if subject.account.source.streams.appointments == "off":
        return Verdict("ok", "appointments are off")
    if subject.needs.calendar is None:
        return Verdict(
            "warning",
            "appointments are not synced: there is no calendar to put them in",
            f"give {where}, or set {off}",
        )
    try:
        team = subject.needs.check_calendar(await subject.borrowed("calendars"))
    except ConfigurationError as error:
        return Verdict("wrong", str(error), f"mend {where}, or set {off}")
    if not team:
        return Verdict(
            "warning",
            "nobody is in the calendar's team, so no appointment can be anybody's",
            "at HighLevel, under Calendars, add people to the calendar's team",
        )
    return Verdict("ok", f"the calendar is there, with {len(team)} in its team")
