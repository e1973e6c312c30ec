"""Prefect tasks and states that show a run: progress and report artifacts, and the flow run's final state."""

import asyncio
import logging
from uuid import UUID

from prefect import task
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from tasks.alerts import tell
from tasks.engine.report import Report, markdown
from tasks.engine.steps import Steps
from tasks.errors import VoipsyncError
from tasks.outlets import discreet, guard


class _OneLine(logging.Filter):
    """Our own errors are one line that says what to do; where they were raised is shown at debug level."""

    def filter(self, record: logging.LogRecord) -> bool:
        expected = record.exc_info is not None and isinstance(record.exc_info[1], VoipsyncError)
        if expected and not logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            record.exc_info = None
        return True


guard()
for _logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_logger).addFilter(_OneLine())


async def show_progress(steps: Steps) -> None:
    """Show on the run's page in the Prefect UI how far it is, in percent of the contacts read so far."""
    progress = steps.progress
    percent = min(100.0, 100.0 * progress.read / progress.total) if progress.total else 0.0
    about = f"{progress.read} of about {progress.total or '?'} contacts read, {progress.done} written"
    if isinstance(steps.shown, UUID):
        await aupdate_progress_artifact(artifact_id=steps.shown, progress=percent, description=about)
    else:
        key = f"progress-{artifact_key(steps.run.name)}"
        steps.shown = await acreate_progress_artifact(progress=percent, key=key, description=about)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
async def report(steps: Steps) -> Report:
    """Record how the run ended, and show it in the Prefect UI as a table and as text."""
    with discreet():
        made = await steps.conclude()
        await tell(steps.run, made)
    await show(made)
    return made


async def show(made: Report) -> None:
    """Show a report in the Prefect UI as a table and as text."""
    about = f"Sync of {made.account}: {made.status}, run {made.run_id}"
    table = [{"entity": entity, **counts} for entity, counts in made.entities.items()]
    await asyncio.gather(
        acreate_table_artifact(table=table, key=f"report-{artifact_key(made.account)}", description=about),
        acreate_markdown_artifact(
            markdown(made), key=f"summary-{artifact_key(made.account)}", description=about
        ),
    )


def final_state(made: Report) -> State[Report]:
    """The flow run's state: it says what the report says."""
    message = made.warnings[0] if made.warnings and made.status != "ok" else f"run {made.run_id}"
    match made.status:
        case "failed":
            return Failed(message=message, data=made)
        case "degraded":
            return Completed(name="Degraded", message=message, data=made)
        case _:
            return Completed(message=message, data=made)


def artifact_key(account: str) -> str:
    """An account's name as part of an artifact key: lower-case letters, digits and dashes."""
    return account.replace("_", "-").strip("-")
