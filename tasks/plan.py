"""Prefect tasks that keep a plan, have it approved, and carry it out."""

import asyncio
import logging
from typing import Any

from prefect import task
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import apause_flow_run
from prefect.input import RunInput
from prefect.states import Completed
from pydantic import Field

from tasks.engine import plan as engine
from tasks.engine.apply import Application, chosen
from tasks.engine.outline import Line, markdown, outline
from tasks.engine.plan import PlanReport
from tasks.engine.steps import Steps
from tasks.engine.undo import reverse_of
from tasks.errors import Fatal
from tasks.ledger import plans
from tasks.ledger.plans import Plan
from tasks.options import ApplyOptions
from tasks.outlets import discreet
from tasks.report import artifact_key, show_progress
from tasks.settings import load

log = logging.getLogger(__name__)

BLOCKS = 5
"""Blocks of items that one task run carries out."""
ROWS = 500
"""Requests that the artifact lists."""
ASKS_EVERY = 5
"""Seconds between two looks whether a plan was approved."""


class Approval(RunInput):
    """The form with which a person approves of a plan."""

    approve: bool = Field(False, description="write what the plan says")
    note: str = Field("", max_length=500, description="kept in the log of this run")


class Declined(Fatal):
    """A person declined the plan, or nobody approved of it in time: nothing was written."""


@task(name="keep plan", cache_policy=NO_CACHE, persist_result=False)
async def keep_plan(steps: Steps) -> PlanReport:
    """Seal and keep what was rehearsed, and show it in the Prefect UI, without anybody's values."""
    with discreet():
        made = await engine.keep(steps)
        lines = await steps.run.state.look(lambda connection: outline(connection, made.plan_id, ROWS))
    await show_plan(made, lines)
    return made


@task(name="plan undo", cache_policy=NO_CACHE, persist_result=False)
async def plan_undo(steps: Steps, run_id: str) -> PlanReport:
    """Find out what takes a run back, and keep it as a plan, shown as any."""
    with discreet():
        items, told = await reverse_of(steps.run, run_id)
        made = await engine.plan_of(steps, items, kind=engine.UNDO, told=told)
        await steps.conclude()
        lines = await steps.run.state.look(lambda connection: outline(connection, made.plan_id, ROWS))
    await show_plan(made, lines)
    return made


async def show_plan(made: PlanReport, lines: list[Line]) -> None:
    """Show a plan in the Prefect UI: as text, and as a table of its requests."""
    key = _artifact(made.account)
    table: list[dict[str, Any]] = [line.masked() for line in lines]
    then = f"Apply it: `voipsync apply {made.account} {made.plan_id}`, or the deployment `apply`."
    await asyncio.gather(
        acreate_markdown_artifact(
            markdown(made, then), key=f"{key}-summary", description=f"Plan {made.plan_id}"
        ),
        acreate_table_artifact(
            table=table, key=key, description=f"Requests of plan {made.plan_id}, {ROWS} at most"
        ),
    )


def planned_state(made: PlanReport) -> State[PlanReport]:
    """The flow run's state: whether everything could be planned."""
    message = f"plan {made.plan_id}"
    if made.status == "ok":
        return Completed(message=message, data=made)
    return Completed(name="Degraded", message=f"{message}: some records need a person", data=made)


async def approved(account: str, options: ApplyOptions) -> ApplyOptions:
    """Wait until somebody approves of a plan on the run's page; the location is free meanwhile.

    Returns:
        The options, which name that plan and no other, whatever is planned in between.

    Raises:
        Declined: nobody does.
        ConfigurationError: there is no such plan.
        Refused: it may not be applied.
    """
    plan = await asyncio.to_thread(chosen, account, options.plan, load())
    options = options.model_copy(update={"plan": plan.id})
    if plan.state in (plans.APPLIED, plans.APPLYING):  # it was approved when it was begun
        return options
    each = f"The artifact `{_artifact(account)}` of the planning run lists each of them."
    about = markdown(_report(plan), f"{each} Nothing is written before you approve.")
    # a default handed in here would take the field's description away
    form = Approval.with_initial_data(description=about)
    # not under the plan's own key, whose newest version is to say how to apply it
    await acreate_markdown_artifact(about, key=f"approval-{artifact_key(account)}")
    log.info("plan %s waits for approval: press Resume on this run's page, which asks for it", plan.id)
    try:
        said = await apause_flow_run(
            wait_for_input=form, timeout=int(options.approval_hours * 3600), poll_interval=ASKS_EVERY
        )
    except FlowPauseTimeout:
        hours = f"{options.approval_hours:g}"
        raise Declined(f"plan {plan.id}: nobody approved of it within {hours} hours") from None
    if not said.approve:
        raise Declined(f"plan {plan.id} was declined: nothing was written")
    log.info("plan %s was approved%s", plan.id, f": {said.note}" if said.note else "")
    return options


def _artifact(account: str) -> str:
    return f"plan-{artifact_key(account)}"


def _report(plan: Plan) -> PlanReport:
    return PlanReport(
        plan.id, plan.account, plan.kind, "ok", plan.created_at, plan.checksum, dict(plan.about)
    )


@task(name="carry out", cache_policy=NO_CACHE, persist_result=False)
async def carry_out(application: Application) -> int:
    """Carry out the next items of a plan; return how many there were."""
    done = 0
    with discreet():
        for _ in range(BLOCKS):
            if not (number := await application.block()):
                break
            done += number
        await show_progress(application.steps)
        return done


@task(name="finish plan", cache_policy=NO_CACHE, persist_result=False)
async def finish_plan(application: Application) -> int:
    """Carry out what waited for its turn, and settle the writes whose outcome this run does not know."""
    with discreet():
        return await application.finish()
