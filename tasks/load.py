"""Prefect tasks that write; Prefect retries none of them: the engine knows what may be repeated."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.engine.shape import Work
from tasks.engine.steps import Steps
from tasks.events import emit
from tasks.outlets import discreet
from tasks.report import show_progress


@task(name="prepare", cache_policy=NO_CACHE, persist_result=False)
async def prepare(steps: Steps) -> int:
    """Settle the writes whose outcome an earlier run did not record; events of routes go to Prefect."""
    steps.effects.emit = emit
    with discreet():
        return await steps.prepare()


@task(name="load", cache_policy=NO_CACHE, persist_result=False)
async def load(steps: Steps, work: Work) -> int:
    """Decide on each record and bring it to the destination; return the number of contacts."""
    with discreet():
        done = await steps.write(work)
        await show_progress(steps)
        return done


@task(name="finish", cache_policy=NO_CACHE, persist_result=False)
async def finish(steps: Steps) -> int:
    """Settle the writes whose outcome this run does not know."""
    with discreet():
        return await steps.finish()
