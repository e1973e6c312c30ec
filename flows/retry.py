"""Another try, now, for what was refused."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.engine.report import Report
from tasks.engine.retry import open_retry
from tasks.errors import ApiError, Fatal
from tasks.extract import extract
from tasks.load import finish, load, prepare
from tasks.options import EVERYTHING_REFUSED, TIMEOUT_SECONDS, RetryOptions
from tasks.outlets import discreet
from tasks.report import final_state, report
from tasks.transform import transform


@flow(
    name="retry",
    flow_run_name="retry {account}",
    persist_result=False,
    timeout_seconds=TIMEOUT_SECONDS,
)
async def retry(account: str, options: RetryOptions = EVERYTHING_REFUSED) -> State[Report]:
    """Read an account's refused records afresh at the source, and try each once, whatever its turn.

    Args:
        account: The account's name in the configuration.
        options: Which of them are tried.
    """
    with discreet():
        async with open_retry(account, options) as steps:
            try:
                await prepare(steps)
                while (batch := await extract(steps)) is not None:
                    if len(batch):
                        await load(steps, await transform(steps, batch))
                await finish(steps)
            except (Fatal, ApiError) as error:
                steps.error = error
            return final_state(await report(steps))
