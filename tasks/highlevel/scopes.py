"""The scopes that an account's streams and mapping need, and no others."""

from __future__ import annotations

from tasks.highlevel.operations import OPERATIONS
from tasks.settings import Account

ALWAYS = (
    *("get-contact", "search-contacts", "find-duplicate", "create-contact", "update-contact"),
    *("get-location", "list-custom-fields", "create-custom-field"),
)
APPOINTMENTS = ("list-calendars", "calendar-events", "get-appointment", "create-appointment")
"""Notes and tasks need no more than contacts do."""
USERS = ("search-users",)
WORKFLOWS = ("list-workflows", "enrol-in-workflow")
AGENCY = "oauth.write"
"""What an agency's token needs to be exchanged for a location's."""


def needed_scopes(account: Account) -> tuple[str, ...]:
    """Return the least that a token of the location must be allowed, in alphabetical order."""
    mapping = account.mapping
    operations = [*ALWAYS]
    if account.destination.calendar_id and account.source.streams.appointments != "off":
        operations += APPOINTMENTS
    if mapping.users or mapping.users_by_email:
        operations += USERS
    if any(route.workflow for route in mapping.routes):
        operations += WORKFLOWS
    return tuple(sorted({OPERATIONS[name].scope for name in operations}))
