"""The standing sync of many accounts: starts flow runs for those whose turn it is, and shows how all are."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.fleet import choose, show_fleet, start
from tasks.late import outdated
from tasks.options import WHOLE_FLEET, FleetOptions


@flow(name="fleet", persist_result=False, timeout_seconds=300)
async def fleet(options: FleetOptions = WHOLE_FLEET) -> State[None]:
    """Start syncs for the accounts that are longest unsynced, and show how all accounts stand.

    It waits for none of them: what they did is shown by the next run.

    Args:
        options: Which accounts, and how many flow runs at a time.
    """
    if ended := await outdated():
        return ended
    found = await choose(options)
    return Completed(message=await show_fleet(found, await start(found, options)))
