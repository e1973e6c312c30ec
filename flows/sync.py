"""The standing sync of one account: what is new or changed at the source reaches the destination."""

import asyncio

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.alerts import telling
from tasks.engine.report import Report
from tasks.engine.steps import open_steps
from tasks.errors import ApiError, Fatal
from tasks.extract import extract
from tasks.late import superseded
from tasks.load import finish, load, prepare
from tasks.options import EVERYTHING_NEW, TIMEOUT_SECONDS, SyncOptions
from tasks.report import final_state, report
from tasks.transform import transform


@flow(name="sync", flow_run_name="sync {account}", persist_result=False, timeout_seconds=TIMEOUT_SECONDS)
async def sync(account: str, options: SyncOptions = EVERYTHING_NEW) -> State[Report]:
    """Bring an account's contacts, notes, tasks and appointments from VoIPstudio to its HighLevel location.

    Args:
        account: The account's name in the configuration.
        options: How the sync is done.
    """
    async with telling(account, options):
        if ended := await superseded(account, options):
            return ended
        async with open_steps(account, options) as steps:
            try:
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
            except (Fatal, ApiError) as error:
                steps.error = error
            return final_state(await report(steps))
