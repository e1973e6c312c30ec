"""Runs of a schedule that meet: late ones are collapsed into one, and none waits while its work is done.

Prefect starts every run that came due while no worker was there. A concurrency limit of the deployment would
cancel them, too, but a run that dies with its worker keeps its slot for minutes (measured), and for these
nothing would be synced; our lease is free at once, or after ten seconds.
"""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.runtime import deployment, flow_run
from prefect.states import Cancelled, Completed, Crashed

from tasks.engine.report import Report
from tasks.engine.status import sync_under_way
from tasks.options import SyncOptions
from tasks.outlets import text_of
from tasks.settings import load

log = logging.getLogger(__name__)

PAGE = 200
LOST_SECONDS = 90.0
"""A run takes its lease, or stands in line for it, long before that."""


async def superseded(account: str, options: SyncOptions) -> State[Report] | None:
    """End a scheduled run whose work another one does, and take over the work of those that are late."""
    if options.overlap == "wait":
        return None
    if ended := await outdated():
        return ended
    settings = load()
    other = await asyncio.to_thread(sync_under_way, settings.state, account, settings.account(account))
    if other:
        return Completed(name="Skipped", message=f"run {other} does this one's work")
    try:
        if dead := await _bury(account):
            log.info("%d runs of this schedule are called crashed: nobody else syncs the account", dead)
    except Exception as error:  # noqa: BLE001 - they are shown as running, and that is all
        log.warning("dead runs of this schedule are not called crashed: %s", text_of(error))
    return None


async def outdated() -> State[Any] | None:
    """End a scheduled run of which a newer one is under way, and cancel those that are late: they are one."""
    try:
        if late := await _collapse():
            log.info("%d late runs of this schedule are cancelled: this one does their work", late)
        if newer := await _newer():
            return Completed(name="Skipped", message=f"flow run {newer}, due later, does this one's work")
    except Exception as error:  # noqa: BLE001 - then each of them starts, and ends at once
        log.warning("late runs of this schedule are not cancelled: %s", text_of(error))
    return None


async def server_time(client: PrefectClient) -> datetime:
    """What time it is at Prefect's server, to the second: by its clock runs come due, whatever ours says.

    Prefect's temporary API, which does not tell, is in this process.
    """
    told = (await client.hello()).headers.get("date")
    return parsedate_to_datetime(told) if told else datetime.now(UTC)


async def _collapse() -> int:
    """Cancel the runs that this one's schedule made and nobody has started, though they are due."""
    if deployment.id is None:
        return 0
    done = set[UUID]()
    async with get_client() as client:
        due = {
            "deployment_id": {"any_": [deployment.id]},
            "state": {"type": {"any_": ["SCHEDULED"]}},
            "expected_start_time": {"before_": await server_time(client)},
        }
        while found := await _more(client, FlowRunFilter.model_validate(due), done):
            for one in found:
                ours: State[None] = Cancelled(
                    name="Collapsed", message=f"flow run {flow_run.id} does this one's work"
                )
                await client.set_flow_run_state(one, ours)
            done.update(found)
    return len(done)


async def _newer() -> UUID | None:
    """Return a run of this one's schedule that is due, too, and later than this one, and taken by a worker.

    Of runs that start together the latest is so never ended by this, and each of the others is.
    """
    if deployment.id is None or flow_run.id is None:
        return None
    async with get_client() as client:
        own = await client.read_flow_run(UUID(flow_run.id))
        if not own.auto_scheduled or own.expected_start_time is None:
            return None
        taken = {
            "deployment_id": {"any_": [deployment.id]},
            "state": {"type": {"any_": ["PENDING", "RUNNING"]}},
            "expected_start_time": {
                "after_": own.expected_start_time + timedelta(milliseconds=1),
                "before_": await server_time(client),
            },
        }
        found = await client.read_flow_runs(flow_run_filter=FlowRunFilter.model_validate(taken), limit=PAGE)
    return next((one.id for one in found if one.auto_scheduled), None)


async def _bury(account: str) -> int:
    """Call those crashed that Prefect shows as under way for long, while nobody else syncs the account.

    An automation does so where no sign of life comes any more. Where the server died with the run, it never
    heard of one.
    """
    if deployment.id is None:
        return 0
    dead = 0
    async with get_client() as client:
        long_ago = await server_time(client) - timedelta(seconds=LOST_SECONDS)
        open_ = {
            "deployment_id": {"any_": [deployment.id]},
            "state": {"type": {"any_": ["PENDING", "RUNNING", "CANCELLING"]}},
            "expected_start_time": {"before_": long_ago},
        }
        for one in await client.read_flow_runs(
            flow_run_filter=FlowRunFilter.model_validate(open_), limit=PAGE
        ):
            began = one.start_time or one.expected_start_time
            lost = began and began < long_ago
            mode = (one.parameters.get("options") or {}).get("mode", "incremental")
            same = (one.parameters.get("account"), mode) == (account, "incremental")
            if lost and same and str(one.id) != flow_run.id:
                ours: State[None] = Crashed(message="it died: nobody but its successor syncs the account")
                await client.set_flow_run_state(one.id, ours, force=True)
                dead += 1
    return dead


async def _more(client: PrefectClient, due: FlowRunFilter, done: set[UUID]) -> list[UUID]:
    found = await client.read_flow_runs(flow_run_filter=due, limit=PAGE)
    return [one.id for one in found if one.auto_scheduled and one.id not in done]
