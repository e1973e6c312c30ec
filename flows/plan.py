"""What a sync would write: computed by the same steps, and kept as a plan."""

import asyncio

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.engine.plan import PlanReport
from tasks.engine.rehearsal import rehearsing
from tasks.engine.steps import open_steps
from tasks.extract import extract
from tasks.load import finish, load, prepare
from tasks.options import EVERYTHING_NEW, TIMEOUT_SECONDS, SyncOptions
from tasks.outlets import discreet
from tasks.plan import keep_plan, planned_state
from tasks.transform import transform


@flow(name="plan", flow_run_name="plan {account}", persist_result=False, timeout_seconds=TIMEOUT_SECONDS)
async def plan(account: str, options: SyncOptions = EVERYTHING_NEW) -> State[PlanReport]:
    """Compute what a sync of an account would write, and keep it as a plan that can be applied.

    Args:
        account: The account's name in the configuration.
        options: How the sync that is planned would be done.
    """
    with discreet():
        async with open_steps(account, options, kind="plan") as steps, rehearsing(steps.run):
            await prepare(steps)
            ahead = asyncio.create_task(extract(steps))
            try:
                while (batch := await ahead) is not None:
                    ahead = asyncio.create_task(extract(steps))
                    if len(batch):
                        await load(steps, await transform(steps, batch))
            finally:
                ahead.cancel()
                await asyncio.wait([ahead])
            await finish(steps)
            return planned_state(await keep_plan(steps))
