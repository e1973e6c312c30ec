"""Connects an account to its location: a person's agreement, or a token, becomes a stored credential."""

from __future__ import annotations

from tasks.engine.vault import Vault
from tasks.highlevel.access import BearerToken
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.oauth import Grant
from tasks.transport import Transport


async def connect(vault: Vault, code: str) -> Grant:
    """Exchange the code of a person's agreement and store what it gives, in place of what was stored.

    Nothing is stored unless it opens the account's location.

    Raises:
        Unauthorized: the code is refused, or it is for another location.
        ServiceUnavailable: no useful answer.
    """
    service, keeper = vault.token_service(), vault.keeper()
    grant, issued = await service.exchange(code)
    if grant.company_id is not None:
        grant = await service.locate(grant, issued)
    service.check(grant)
    await vault.database.do(lambda connection: keeper.put(connection, grant))
    return grant


async def keep_token(vault: Vault, token: str) -> None:
    """Store a private integration token that opens the account's location.

    Raises:
        Unauthorized: it does not.
        ServiceUnavailable: no useful answer.
    """
    destination = vault.account.destination
    wire = Transport("HighLevel", destination.base_url, BearerToken(token))
    try:
        api = ContactsApi(wire, location_id=destination.location_id, version=destination.api_version)
        await api.get_location()
    finally:
        await wire.close()
    vault.store_token(token)
