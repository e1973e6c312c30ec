"""What changed with a run, told to Prefect, whose automations alert people."""

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, TaskRunFilter
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort
from prefect.runtime import deployment, flow_run
from prefect.settings import get_current_settings

from tasks.engine import changes
from tasks.engine.report import Report, Status
from tasks.engine.run import Run
from tasks.events import emit
from tasks.options import SyncOptions
from tasks.outlets import discreet, text_of

log = logging.getLogger(__name__)

ENDED: dict[str, Status] = {
    "Completed": "ok",
    "Degraded": "degraded",
    "Failed": "failed",
    "TimedOut": "failed",
}
"""Names of the states in which a sync has said how its account stands, and what each says."""


async def tell(run: Run, made: Report) -> None:
    """Emit the events of what changed; what Prefect does not take now, the next run tells.

    Prefect's temporary API has no automations: what changes there is told by the first run on a real one.
    """
    if not get_current_settings().api.url:
        return
    try:
        if events := await changes.note(run, made, broke=await _last(run.name) == "failed"):
            await emit(events)
            await changes.taken(run)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run is what it is
        log.warning("alerts wait for the next run: %s", text_of(error))


@asynccontextmanager
async def telling(account: str, options: SyncOptions) -> AsyncIterator[None]:
    """Be discreet, and tell of what ends a standing sync that cannot record it: no configuration, no ledger.

    What the ledger cannot remember, Prefect does: nothing is told where the sync before failed as well. A
    person who runs a command sees why it failed.
    """
    try:
        with discreet():
            yield
    except Exception as error:
        if deployment.id is not None and options.mode == "incremental":
            await _tell_of_the_end(account, error)
        raise


async def _tell_of_the_end(account: str, error: Exception) -> None:
    try:
        if (before := await _last(account)) != "failed":
            await emit([changes.broken(account, before or "new", text_of(error), time.time())])
    except Exception as trouble:  # noqa: BLE001 - the run ends as it would have
        log.warning("nobody is alerted: %s", text_of(trouble))


async def _last(account: str) -> Status | None:
    """How the account's last sync ended, as Prefect saw it: a flow run of its own, or a task in a shard's."""
    ended = {"name": {"any_": [f"sync {account}"]}, "state": {"name": {"any_": list(ENDED)}}}
    async with get_client() as client:
        found = (
            await client.read_task_runs(
                task_run_filter=TaskRunFilter.model_validate(ended), sort=TaskRunSort.END_TIME_DESC, limit=1
            )
            if flow_run.flow_name == "shard"
            else await client.read_flow_runs(
                flow_run_filter=FlowRunFilter.model_validate(ended), sort=FlowRunSort.END_TIME_DESC, limit=1
            )
        )
    return ENDED[str(found[0].state_name)] if found else None
