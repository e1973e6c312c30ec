"""Runs of a schedule that meet: late ones are collapsed into one, and none waits while its work is done.

Prefect starts every run that came due while no worker was there. A concurrency limit of the deployment would
cancel them, too, but a run that dies with its worker keeps its slot for minutes (measured), and for these
nothing would be synced; our lease is free at once, or after ten seconds.
"""

import asyncio
import logging
from datetime import UTC, datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from tasks.engine.report import Report
from tasks.engine.status import sync_under_way
from tasks.options import SyncOptions
from tasks.outlets import text_of
from tasks.settings import load

log = logging.getLogger(__name__)

PAGE = 200


async def superseded(account: str, options: SyncOptions) -> State[Report] | None:
    """End a scheduled run whose work another one does, and take over the work of those that are late."""
    if options.overlap == "wait":
        return None
    try:
        if late := await _collapse():
            log.info("%d late runs of this schedule are cancelled: this one does their work", late)
    except Exception as error:  # noqa: BLE001 - then each of them starts, and ends at once
        log.warning("late runs of this schedule are not cancelled: %s", text_of(error))
    settings = load()
    other = await asyncio.to_thread(sync_under_way, settings.state, account, settings.account(account))
    return Completed(name="Skipped", message=f"run {other} does this one's work") if other else None


async def _collapse() -> int:
    """Cancel the runs that this one's schedule made and nobody has started, though they are due."""
    if flow_run.deployment_id is None:
        return 0
    due = {
        "deployment_id": {"any_": [flow_run.deployment_id]},
        "state": {"type": {"any_": ["SCHEDULED"]}},
        "expected_start_time": {"before_": datetime.now(UTC)},
    }
    done = set[UUID]()
    async with get_client() as client:
        while found := await _more(client, FlowRunFilter.model_validate(due), done):
            for one in found:
                ours: State[None] = Cancelled(
                    name="Collapsed", message=f"flow run {flow_run.id} does this one's work"
                )
                await client.set_flow_run_state(one, ours)
            done.update(found)
    return len(done)


async def _more(client: PrefectClient, due: FlowRunFilter, done: set[UUID]) -> list[UUID]:
    found = await client.read_flow_runs(flow_run_filter=due, limit=PAGE)
    return [one.id for one in found if one.auto_scheduled and one.id not in done]
