"""Prefect's part in a purge: whose accounts there are, and what went as an artifact."""

from prefect import task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks.blocks import accounts_in_blocks
from tasks.engine import purge
from tasks.engine.purge import Purged
from tasks.options import PurgeOptions
from tasks.outlets import discreet
from tasks.settings import load


@task(name="purge", cache_policy=NO_CACHE, persist_result=False)
async def let_go(account: str | None, options: PurgeOptions) -> Purged:
    """Drop what is old, batch after batch, and show what went: numbers alone."""
    with discreet():
        settings = load()
        configured = {*settings.accounts, *(await accounts_in_blocks())}
        made = await purge.purge(account, options, settings, configured)
    table = [{"account": name, **counts} for name, counts in made.rows.items()]
    about = ". ".join([str(made), *made.notes()])
    await acreate_table_artifact(table=table, key="purge", description=about)
    return made
