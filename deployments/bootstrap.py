"""Prepares a Prefect server: work pool, block types, where alerts go, automations; as often as wanted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.events import AutomationCore
from prefect.exceptions import ObjectNotFound
from prefect.workers.utilities import get_default_base_job_template_for_infrastructure_type
from pydantic import SecretStr

from deployments.automations import automations
from tasks.blocks import SyncAccount
from tasks.errors import ConfigurationError
from tasks.values import resolve_secret

POOL = "voipsync"
"""The work pool of prefect.yaml."""
POOL_TYPES = ("process", "kubernetes")
BLOCK = "voipsync-alerts"
"""The notification block that ``--notify`` makes."""
_HERE = Path(__file__).parent
_TEMPLATES = {"kubernetes": _HERE / "kubernetes" / "work-pool.json"}
"""Job templates of ours; a process pool has Prefect's own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be prepared."""

    pool_type: str = "process"
    notify: str | None = None
    """A reference to the address that alerts are posted to."""
    notify_block: str | None = None
    """Or a notification block that is there: type and name."""
    silence_minutes: float = 15.0
    """How long no sync of an account may have ended well before that is an alert."""
    limit: int | None = None
    """Flow runs of the pool at a time. A worker's own ``--limit`` is no substitute: with it a worker of
    Prefect 3.8 ends where a suspended run is resumed before its process has ended (measured)."""


async def bootstrap(wanted: Wanted) -> list[str]:
    """Prepare the server that Prefect's settings name; return what was done, in lines.

    Raises:
        ConfigurationError: the reference leads nowhere, or there is no such block, or the pool is of another
            type.
    """
    async with get_client() as client:
        done = [await _pool(client, wanted)]
        await SyncAccount.register_type_and_schema(client=client)
        done.append(f"block type {SyncAccount.get_block_type_slug()}: registered")
        block = await _alerts_to(client, wanted)
        done += [await _upsert(client, one) for one in automations(block, wanted.silence_minutes)]
    if block is None:
        done.append(
            "nobody is alerted: give --notify or --notify-block (automations only show in Prefect's UI)"
        )
    return done


async def _upsert(client: PrefectClient, wanted: AutomationCore) -> str:
    """Make an automation what it is to be, by its name; one that somebody paused stays so."""
    known = await client.read_automations_by_name(wanted.name)
    for twin in known[1:]:
        await client.delete_automation(twin.id)
    if not known:
        await client.create_automation(wanted)
        return f"automation {wanted.name!r}: created"
    # the client sends what was set, and the API wants all of it but this
    whole = wanted.model_dump(exclude={"owner_resource"}) | {"enabled": known[0].enabled}
    await client.update_automation(known[0].id, AutomationCore.model_validate(whole))
    return f"automation {wanted.name!r}: updated"


async def _pool(client: PrefectClient, wanted: Wanted) -> str:
    kind = wanted.pool_type
    template = await _template(kind)
    try:
        known = await client.read_work_pool(POOL)
    except ObjectNotFound:
        await client.create_work_pool(
            WorkPoolCreate(name=POOL, type=kind, base_job_template=template, concurrency_limit=wanted.limit)
        )
        return f"work pool {POOL!r}: created, {kind}"
    if known.type != kind:
        raise ConfigurationError(
            f"work pool {POOL!r} is there and of type {known.type}: give --pool-type {known.type}, or delete "
            f"it (prefect work-pool delete {POOL})"
        )
    # our template may have changed; that of a process pool may have been changed by its owner
    changes: dict[str, Any] = {"base_job_template": template} if kind in _TEMPLATES else {}
    changes |= {"concurrency_limit": wanted.limit} if wanted.limit else {}
    if changes:
        await client.update_work_pool(POOL, WorkPoolUpdate(**changes))
    return f"work pool {POOL!r}: {'updated' if changes else 'there'}"


async def _template(kind: str) -> dict[str, Any]:
    if path := _TEMPLATES.get(kind):
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return read
    return await get_default_base_job_template_for_infrastructure_type(kind) or {}


async def _alerts_to(client: PrefectClient, wanted: Wanted) -> UUID | None:
    """The block that alerts go to; where none is named, the one of an earlier time stays."""
    kind, _, name = (wanted.notify_block or f"custom-webhook/{BLOCK}").partition("/")
    if wanted.notify:
        webhook = CustomWebhookNotificationBlock(
            name=BLOCK,
            url="{{address}}",
            json_data={"text": "{{body}}"},
            secrets={"address": SecretStr(resolve_secret(wanted.notify, where="--notify"))},
        )
        await webhook.save(BLOCK, overwrite=True, client=client)
    try:
        found = await client.read_block_document_by_name(name, kind, include_secrets=False)
    except ObjectNotFound:
        if wanted.notify_block:
            raise ConfigurationError(f"--notify-block: Prefect has no block {wanted.notify_block}") from None
        return None
    return found.id
