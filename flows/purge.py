"""What the ledger has kept long enough goes."""

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks.engine.purge import Purged
from tasks.options import TIMEOUT_SECONDS, WHAT_IS_OLD, PurgeOptions
from tasks.outlets import discreet
from tasks.purge import let_go


@flow(name="purge", persist_result=False, timeout_seconds=TIMEOUT_SECONDS)
async def purge(account: str | None = None, options: PurgeOptions = WHAT_IS_OLD) -> State[Purged]:
    """Drop what is older than the configuration keeps it, in small batches beside all other runs.

    Args:
        account: The account's name; empty: all that are configured.
        options: What goes.
    """
    with discreet():
        made = await let_go(account or None, options)
        return Completed(message=str(made), data=made)
