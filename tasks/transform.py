"""Prefect tasks that map source rows."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.engine.batch import Batch
from tasks.engine.shape import Work
from tasks.engine.steps import Steps
from tasks.outlets import discreet


@task(name="transform", cache_policy=NO_CACHE, persist_result=False)
async def transform(steps: Steps, batch: Batch) -> Work:
    """Turn a batch of rows into what the destination should hold."""
    with discreet():
        return await steps.map(batch)
