"""Prefect blocks as a source of configuration: secrets, and whole accounts for workers that have no file."""

from __future__ import annotations

from typing import Any, Literal

import httpx
from prefect.blocks.core import Block
from prefect.blocks.system import Secret
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import Field, SecretStr

from tasks.errors import ConfigurationError

SECRETS = {
    "voipstudio_api_key": ("source", "api_key"),
    "highlevel_token": ("destination", "token"),
}
"""The secret fields of a `SyncAccount`, and the keys of the configuration that they are."""


class SyncAccount(Block):
    """One VoIPstudio account synced into one HighLevel location; the block's name is the account's.

    Instead of ``[accounts.NAME]`` in voipsync.toml. Prefect encrypts the secret fields, not the others.
    """

    _block_type_name = "Sync Account"
    _block_type_slug = "sync-account"

    location_id: str = Field(title="HighLevel location", description="its id: Settings, Business Profile")
    voipstudio_api_key: SecretStr = Field(
        SecretStr(""),
        title="VoIPstudio API key",
        description="Administration, Users, API Keys; empty: what `voipsync auth` stored",
    )
    highlevel_token: SecretStr = Field(
        SecretStr(""),
        title="HighLevel token",
        description="Settings, Private Integrations; empty: what `voipsync auth` stored",
    )
    timezone: str = Field(
        "UTC", title="Time zone", description="of VoIPstudio's times, such as Europe/London"
    )
    default_country: str = Field(
        "US", title="Country", description="of phone numbers without a country code, such as GB"
    )
    calendar_id: str = Field("", title="Calendar", description="where appointments go; empty: they are off")
    api_version: Literal["v3", "2021-07-28"] = Field(
        "v3", title="API version", description="of HighLevel's Contacts API"
    )
    tags: list[str] = Field([], description='by which a fleet chooses its accounts, such as ["uk"]')
    source: dict[str, Any] = Field(
        {}, title="More of VoIPstudio", description="further keys of [accounts.NAME.source], as JSON"
    )
    destination: dict[str, Any] = Field(
        {}, title="More of HighLevel", description="further keys of [accounts.NAME.destination], as JSON"
    )
    mapping: dict[str, Any] = Field(
        {}, title="Mapping", description="further keys of [accounts.NAME.mapping], as JSON"
    )

    def tables(self, name: str) -> dict[str, Any]:
        """The tables of ``[accounts.NAME]``; secrets are references to this block."""
        tables: dict[str, Any] = {
            "tags": self.tags,
            "source": {"timezone": self.timezone, **self.source},
            "destination": {
                "location_id": self.location_id,
                "calendar_id": self.calendar_id or None,
                "api_version": self.api_version,
                **self.destination,
            },
            "mapping": {"default_country": self.default_country, **self.mapping},
        }
        for field, (table, key) in SECRETS.items():
            if getattr(self, field).get_secret_value():
                tables[table][key] = f"block:sync-account/{name}.{field}"
        return tables


def secret_block(name: str, *, where: str) -> str:
    """Return the value of a Prefect Secret block.

    Raises:
        ConfigurationError: there is no such block, or no Prefect API to ask.
    """
    return str(_load(Secret, name, where=where).get())


def account_secret(name: str, field: str, *, where: str) -> str:
    """Return a secret field of an account's block.

    Raises:
        ConfigurationError: as `secret_block`.
    """
    value = getattr(_account(name, where=where), field, None)
    return value.get_secret_value() if isinstance(value, SecretStr) else ""


def account_tables(name: str) -> dict[str, Any]:
    """Return the tables of an account that lives in a block.

    Raises:
        ConfigurationError: as `secret_block`.
    """
    return _account(name, where=f"account {name}").tables(name)


async def accounts_in_blocks() -> dict[str, list[str]]:
    """Return the names of all accounts that live in blocks, each with its tags."""
    async with get_client() as client:
        try:
            # all at once: Prefect's server knows no pages of a type's blocks, whatever its client offers
            blocks = await client.read_block_documents_by_type("sync-account", include_secrets=False)
        except PrefectHTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:  # the block's type was never registered
                return {}
            raise
    return {str(one.name): list(one.data.get("tags") or ()) for one in blocks}


def _account(name: str, *, where: str) -> SyncAccount:
    """An account's block, read once a process: its tables are asked for, and then each of its secrets."""
    if name not in _read:
        _read[name] = _load(SyncAccount, name, where=where)
    return _read[name]


_read: dict[str, SyncAccount] = {}


def _load(kind: type[Block], name: str, *, where: str) -> Any:  # noqa: ANN401 - a block
    try:
        return kind.load(name, _sync=True)  # type: ignore[call-arg]  # not in its signature
    except Exception as error:  # noqa: BLE001 - Prefect raises whatever its client met
        what = f"{kind.get_block_type_slug()}/{name}"
        raise ConfigurationError(
            f"{where}: cannot read Prefect block {what} ({type(error).__name__}): "
            "create it in the Prefect UI and set PREFECT_API_URL"
        ) from None
