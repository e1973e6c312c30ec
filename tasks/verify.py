"""Prefect tasks of a verification: its parts, its progress, and what it found as artifacts."""

import asyncio

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE

from tasks.engine.outline import outline
from tasks.engine.verify import Verification
from tasks.engine.verify_report import VerifyReport, markdown
from tasks.outlets import discreet
from tasks.plan import ROWS, show_plan
from tasks.report import artifact_key, show_progress


@task(name="survey", cache_policy=NO_CACHE, persist_result=False)
async def survey(verification: Verification) -> None:
    """Learn what is to be verified and what that costs."""
    with discreet():
        await verification.prepare()


@task(name="compare", cache_policy=NO_CACHE, persist_result=False)
async def compare(verification: Verification) -> bool:
    """Compare the next part; False when all is done."""
    with discreet():
        going_on = await verification.step()
        if going_on:
            await show_progress(verification)
        return going_on


@task(name="mend", cache_policy=NO_CACHE, persist_result=False)
async def mend(verification: Verification) -> None:
    """Plan what mends the deviations, and show that plan."""
    with discreet():
        await verification.mend()
        made = verification.plan
        if made is not None:
            lines = await verification.run.state.look(
                lambda connection: outline(connection, made.plan_id, ROWS)
            )
            await show_plan(made, lines)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
async def tell(verification: Verification) -> VerifyReport:
    """Record what was found, and show it in the Prefect UI as a table and as text: ids and fields' names."""
    with discreet():
        made = await verification.conclude()
    key = artifact_key(made.account)
    about = f"Verification of {made.account}: {made.status}, run {made.run_id}"
    await asyncio.gather(
        acreate_table_artifact(table=made.table(), key=f"verify-{key}", description=about),
        acreate_markdown_artifact(markdown(made), key=f"verify-summary-{key}", description=about),
    )
    return made
