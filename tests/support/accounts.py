"""An account whose two services are a sandbox."""

from __future__ import annotations

import os
from typing import Any

from sandbox.client import Box
from tasks.engine.backfill import Between, backfill_once
from tasks.engine.report import Report
from tasks.engine.retry import retry_once
from tasks.engine.steps import sync_once
from tasks.options import BackfillOptions, RetryOptions, SyncOptions
from tasks.settings import Account, Settings, State

KEY, TOKEN = "VOIPSYNC_TEST_API_KEY", "VOIPSYNC_TEST_TOKEN"
CONTACTS_ALONE = {"streams": {"notes": "off", "tasks": "off", "appointments": "off"}}
"""Of a source, for tests of contacts: to ask each for activities that nobody has takes longest."""


def settings_of(
    box: Box, url: str, *, state: dict[str, Any] | None = None, **sections: dict[str, Any]
) -> Settings:
    """Settings of account ``acme``, synced from and into the sandbox; sections change its tables."""
    os.environ[KEY], os.environ[TOKEN] = box.api_key, box.token
    tables: dict[str, dict[str, Any]] = {
        "source": {"base_url": box.voipstudio_url, "api_key": f"${{{KEY}}}", "timezone": "Europe/London"},
        "destination": {
            "base_url": box.highlevel_url,
            "location_id": box.location_id,
            "token": f"${{{TOKEN}}}",
            "calendar_id": box.calendar_id,
            "settle_seconds": 0.2,
            "search_lag_seconds": 1.0,
        },
        "mapping": {"default_country": "GB"},
    }
    for name, values in sections.items():
        tables[name] = {**tables[name], **values}
    return Settings(state=State(url=url, **(state or {})), accounts={"acme": Account.model_validate(tables)})


async def sync(
    box: Box,
    url: str,
    *,
    mode: str = "incremental",
    only: tuple[str, ...] = (),
    accept_fewer: bool = False,
    **sections: Any,
) -> Report:
    """Sync the sandbox once, without Prefect."""
    options = SyncOptions.model_validate({"mode": mode, "only": only, "accept_fewer": accept_fewer})
    return await sync_once("acme", options, settings_of(box, url, **sections))


async def retry(box: Box, url: str, *, only: tuple[str, ...] = (), **sections: Any) -> Report:
    """Try what was refused once more, without Prefect."""
    options = RetryOptions.model_validate({"only": only})
    return await retry_once("acme", options, settings_of(box, url, **sections))


async def backfill(box: Box, url: str, between: Between | None = None, **more: Any) -> Report:
    """Bring history into the sandbox, without Prefect; options by name, and sections of the settings."""
    options = {name: more.pop(name) for name in list(more) if name in BackfillOptions.model_fields}
    chosen, settings = BackfillOptions.model_validate(options), settings_of(box, url, **more)
    return await backfill_once("acme", chosen, settings, *([between] if between else []))
