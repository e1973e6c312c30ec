"""Prefect tasks that read the source."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.engine.batch import Batch
from tasks.engine.steps import Steps
from tasks.outlets import discreet


@task(name="extract", cache_policy=NO_CACHE, persist_result=False)
async def extract(steps: Steps) -> Batch | None:
    """Read pages of contacts, and the activities of those due, until there is a batch of changes."""
    with discreet():
        return await steps.read()
