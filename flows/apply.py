"""Executes a plan, and only it: what is otherwise by now is left as it is, and named."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.engine.apply import open_application
from tasks.engine.report import Report
from tasks.errors import ApiError, Fatal, NotPlanned
from tasks.load import prepare
from tasks.options import THE_LATEST, ApplyOptions
from tasks.outlets import discreet
from tasks.plan import approved, carry_out, finish_plan
from tasks.report import final_state, report


@flow(name="apply", flow_run_name="apply {account}", persist_result=False)
async def apply(account: str, options: ApplyOptions = THE_LATEST) -> State[Report]:
    """Write what a plan says, once somebody approved of it where that is asked for.

    Args:
        account: The account's name in the configuration.
        options: Which plan, and who approves of it.
    """
    with discreet():
        if options.approval:
            options = await approved(account, options)
        async with open_application(account, options) as application:
            if isinstance(application, Report):
                return final_state(application)
            try:
                await prepare(application.steps)
                while await carry_out(application):
                    pass
                await finish_plan(application)
            except (Fatal, ApiError, NotPlanned) as error:
                application.steps.error = error
            application.tell()
            return final_state(await report(application.steps))
