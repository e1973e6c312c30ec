"""A sync of several accounts in one flow run, each with its own lease, ledger rows, report and failure."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.fleet import sync_together
from tasks.options import EVERYTHING_NEW, TIMEOUT_SECONDS, SyncOptions


@flow(name="shard", persist_result=False, timeout_seconds=TIMEOUT_SECONDS)
async def shard(
    accounts: tuple[str, ...], options: SyncOptions = EVERYTHING_NEW, at_once: int = 4
) -> State[int]:
    """Sync accounts that share a flow run, because starting one for each would cost more than syncing it.

    Args:
        accounts: Names of accounts in the configuration, or of Sync Account blocks.
        options: How each is synced.
        at_once: How many are synced at the same time.
    """
    return await sync_together(accounts, options, at_once)
