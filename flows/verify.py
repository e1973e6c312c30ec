"""Whether the destination holds what was written there."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.engine.verify import open_verification
from tasks.engine.verify_report import VerifyReport
from tasks.errors import ApiError, Fatal
from tasks.options import A_SAMPLE, TIMEOUT_SECONDS, VerifyOptions
from tasks.outlets import discreet
from tasks.report import final_state
from tasks.verify import compare, mend, survey, tell


@flow(
    name="verify",
    flow_run_name="verify {account}",
    persist_result=False,
    timeout_seconds=TIMEOUT_SECONDS,
)
async def verify(account: str, options: VerifyOptions = A_SAMPLE) -> State[VerifyReport]:
    """Compare an account's HighLevel location with what was written there; nothing is written.

    Args:
        account: The account's name in the configuration.
        options: What is compared, and whether what mends it is planned.
    """
    with discreet():
        async with open_verification(account, options) as verification:
            try:
                await survey(verification)
                while await compare(verification):
                    pass
                if options.repair:
                    await mend(verification)
            except (Fatal, ApiError) as error:
                verification.error = error
            return final_state(await tell(verification))
