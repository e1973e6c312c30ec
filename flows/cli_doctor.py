"""``voipsync doctor``: whether all is well that runs need, in words, with the remedy."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from flows.cli_options import config, json_option
from tasks import settings as configuration
from tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from tasks.engine.checks.finding import Finding, Verdict

POOL = "voipsync"
"""The work pool of prefect.yaml."""
POLLED_SECONDS = 120.0
"""A worker that polled within this time is there: they poll every 15 s."""
PREFECT_SECONDS = 30.0


@click.command()
@click.argument("account", required=False)
@json_option
@config
def doctor(account: str | None, *, as_json: bool) -> None:
    """Check what runs of ACCOUNT (or of every account) need.

    What is wrong is told with what to do. Looks at configuration, database, credentials and their scopes,
    clocks, rate limit, duplicate policy, custom fields, mapping, calendar and Prefect; nothing is written at
    either service. Exit codes: 0 all is well, or there are warnings; 1 something is wrong; 2 the
    configuration cannot be read.
    """
    from tasks.engine.checks.finding import Finding, Verdict, listed  # noqa: PLC0415 - the help is quick

    try:
        settings = configuration.load()
        names = [account] if account else sorted(settings.accounts)
        for name in names:
            settings.account(name)
    except ConfigurationError as error:
        if as_json:
            _show([Finding.of(None, "configuration", Verdict("wrong", str(error), "mend it"))], as_json=True)
        raise
    from tasks.engine.doctor import examine  # noqa: PLC0415

    found = asyncio.run(examine(settings, names))
    accounts = listed(sorted(settings.accounts))
    found = [
        Finding.of(None, "configuration", Verdict("ok", f"it can be read; accounts: {accounts}")),
        *found,
        Finding.of(None, "prefect", asyncio.run(_prefect())),
    ]
    _show(found, as_json=as_json)
    if any(one.result == "wrong" for one in found):
        sys.exit(1)


def _show(found: list[Finding], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"checks": [one.as_json() for one in found]}, ensure_ascii=False))
    else:
        for one in found:
            click.echo(f"{one.result:8}{f'{one.account}: ' if one.account else ''}{one.check}: {one.says}")
            if one.remedy:
                click.echo(f"{'':8}→ {one.remedy}")


async def _prefect() -> Verdict:
    """Whether Prefect's API answers and its work pool has a worker; asked only where an API is set."""
    from tasks.engine.checks.finding import Verdict  # noqa: PLC0415

    if not os.environ.get("PREFECT_API_URL"):
        return Verdict("ok", "PREFECT_API_URL is not set: each command uses a temporary API of its own")
    try:
        async with asyncio.timeout(PREFECT_SECONDS):
            return await _work_pool()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        why = "no answer" if isinstance(error, TimeoutError) else type(error).__name__
        return Verdict(
            "wrong",
            f"Prefect's API does not answer ({why})",
            "start it (prefect server start), check PREFECT_API_URL and PREFECT_API_KEY, or unset them",
        )


async def _work_pool() -> Verdict:
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - seconds
    from prefect.exceptions import ObjectNotFound  # noqa: PLC0415

    from tasks.engine.checks.finding import Verdict  # noqa: PLC0415

    async with get_client() as client:
        try:
            await client.read_work_pool(POOL)
        except ObjectNotFound:
            return Verdict(
                "warning",
                f"Prefect's API answers, but has no work pool {POOL!r}: commands work, schedules do not",
                "in the project's folder: python -m deployments",
            )
        workers = await client.read_workers_for_work_pool(POOL)
    polls = [worker.last_heartbeat_time for worker in workers if worker.last_heartbeat_time]
    ago = (datetime.now(UTC) - max(polls)).total_seconds() if polls else None
    if ago is None or ago > POLLED_SECONDS:
        since = "has never polled" if ago is None else f"last polled {ago:,.0f} s ago"
        return Verdict(
            "warning",
            f"the work pool {POOL!r} is there, but its worker {since}: nothing that is scheduled runs",
            f"prefect worker start --pool {POOL}",
        )
    return Verdict("ok", f"Prefect's API answers, and the work pool {POOL!r} has a worker")
