"""One operation of the catalogue, run by a person: for looking around and for support."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import httpx

from tasks.errors import ConfigurationError
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.operations import OPERATIONS
from tasks.highlevel.quota import Quota
from tasks.redaction import redact
from tasks.settings import Account
from tasks.transport import Transport


async def call_by_hand(
    name: str, account: Account, access: httpx.Auth, operation: str, values: Sequence[str], *, clear: bool
) -> Any:  # noqa: ANN401 - any JSON
    """Run one operation and return the service's JSON, secrets masked, and personal data unless ``clear``.

    Args:
        name: the account's.
        account: its settings.
        access: its credential.
        operation: of the catalogue.
        values: ``key=value``, each.
        clear: whether personal data is shown.

    Raises:
        ConfigurationError: there is no such operation, or it does not take these values.
    """
    if operation not in OPERATIONS:
        raise ConfigurationError(f"unknown operation {operation!r}: `voipsync operations` lists them")
    path, query, body = OPERATIONS[operation].sort_out(dict(map(_value, values)))
    destination = account.destination
    wire = Transport(
        "HighLevel",
        destination.base_url,
        access,
        pacer=Quota(destination.quota, where=f"accounts.{name}.destination.quota"),
    )
    try:
        api = ContactsApi(wire, location_id=destination.location_id, version=destination.api_version)
        answer = await api.send(operation, path=path, query=query, body=body or None)
    finally:
        await wire.close()
    return redact(answer.data, clear=clear)


def _value(given: str) -> tuple[str, Any]:
    """``key=value``: JSON where it is JSON and no number, so that ids and phones stay text."""
    key, found, raw = given.partition("=")
    if not found or not key:
        raise ConfigurationError(f"{given!r} is not key=value")
    try:
        value = json.loads(raw)
    except ValueError:
        return key, raw
    return key, raw if isinstance(value, int | float) and not isinstance(value, bool) else value
