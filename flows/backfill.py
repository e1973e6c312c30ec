"""History in windows, behind the live sync."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause

from tasks.backfill import Page, close, ended, fill, survey
from tasks.engine.backfill import open_backfill
from tasks.engine.estimate import Estimate
from tasks.engine.report import Report
from tasks.errors import ApiError, Fatal
from tasks.load import finish, prepare
from tasks.options import ALL_HISTORY, BackfillOptions
from tasks.outlets import discreet


@flow(name="backfill", flow_run_name="backfill {account}", persist_result=False)
async def backfill(account: str, options: BackfillOptions = ALL_HISTORY) -> State[Report] | State[Estimate]:
    """Bring an account's history from VoIPstudio to its HighLevel location, window by window.

    It can be suspended, resumed and cancelled. Whatever ends it, the same backfill goes on where it stopped.

    Args:
        account: The account's name in the configuration.
        options: Which history is brought, and how.
    """
    with discreet():
        async with open_backfill(account, options) as work:
            page = Page(work)
            try:
                await prepare(work.steps)
                if await survey(page):
                    while (until := await work.next()) is not None:
                        await fill(page, until)
                    await finish(work.steps)
            except (Fatal, ApiError) as error:
                work.steps.error = error
            except Pause:  # Prefect begins no task of a run that was suspended
                page.suspended()
            made = await close(page)
        return await ended(page, made)
