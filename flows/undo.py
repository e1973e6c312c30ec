"""What takes a run back: found out from the history, and kept as a plan."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.engine.plan import PlanReport
from tasks.engine.steps import open_steps
from tasks.options import SyncOptions, UndoOptions
from tasks.outlets import discreet
from tasks.plan import plan_undo, planned_state


@flow(name="undo", flow_run_name="undo {account}", persist_result=False)
async def undo(account: str, options: UndoOptions) -> State[PlanReport]:
    """Plan the reverse of a run, for what nobody has changed since; to carry it out, apply the plan.

    Args:
        account: The account's name in the configuration.
        options: Which run.
    """
    waiting = SyncOptions(wait_seconds=options.wait_seconds)
    with discreet():
        async with open_steps(account, waiting, kind="plan") as steps:
            return planned_state(await plan_undo(steps, options.run_id))
