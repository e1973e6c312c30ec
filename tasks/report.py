"""Prefect tasks and states that show a run: progress and report artifacts, and the flow run's final state."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

import httpx
from prefect import task
from prefect.artifacts import (
    Artifact,
    MarkdownArtifact,
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException, PrefectHTTPStatusError
from prefect.runtime import deployment, flow_run
from prefect.states import Completed, Failed

from tasks import logs
from tasks.alerts import tell
from tasks.engine.attention import shown
from tasks.engine.estimate import in_words
from tasks.engine.overview import headline, overview, summary
from tasks.engine.report import Report, Status
from tasks.engine.run import Run
from tasks.engine.status import status
from tasks.engine.steps import Progress, Steps
from tasks.errors import LedgerUnavailable, VoipsyncError
from tasks.ledger import facts
from tasks.ledger.database import Database
from tasks.outlets import discreet, guard, text_of

log = logging.getLogger(__name__)


class _OneLine(logging.Filter):
    """Our own errors are one line that says what to do; where they were raised is shown at debug level."""

    def filter(self, record: logging.LogRecord) -> bool:
        expected = record.exc_info is not None and isinstance(record.exc_info[1], VoipsyncError)
        if expected and not logging.getLogger(record.name).isEnabledFor(logging.DEBUG):
            record.exc_info = None
        return True


def _flow_run() -> dict[str, str]:
    return {"flow_run": flow_run.id} if flow_run.id else {}


guard()
logs.arrange()
logs.knowing(_flow_run)
for _logger in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_logger).addFilter(_OneLine())


WORTH_SHOWING = 50
"""What is done so soon that nobody looks needs no bar."""


class Shown(Protocol):
    """What a progress is shown of: the steps of a sync, or of anything else that takes long."""

    run: Run
    shown: object
    """Where it is shown, once it is."""

    @property
    def progress(self) -> Progress:
        """How far it is."""


async def show_progress(steps: Shown) -> None:
    """Show on the run's page in the Prefect UI how far it is, in percent of what was looked at so far."""
    how = steps.progress
    if steps.shown is None and how.done < WORTH_SHOWING:
        return
    percent = min(100.0, 100.0 * how.read / how.total) if how.total else 0.0
    about = f"{how.read} of about {how.total or '?'} {how.what} read, {how.done} done"
    about += f", {how.refused} refused" if how.refused else ""
    if 0 < percent < 100:  # noqa: PLR2004 - percent
        left = (steps.run.now() - steps.run.started) * (100 - percent) / percent
        about += f"; about {in_words(left)} left"
    about += f"; {how.quota_left:,} requests of the day left" if how.quota_left is not None else ""
    if isinstance(steps.shown, UUID):
        await aupdate_progress_artifact(artifact_id=steps.shown, progress=percent, description=about)
    else:
        key = f"progress-{artifact_key(steps.run.name)}"
        steps.shown = await acreate_progress_artifact(progress=percent, key=key, description=about)


@task(name="report", cache_policy=NO_CACHE, persist_result=False)
async def report(steps: Steps) -> Report:
    """Record how the run ended, and show it in the Prefect UI."""
    return await show(steps)


async def show(steps: Steps) -> Report:
    """Record how the run ended, and show it in the Prefect UI, beside how its account stands."""
    run = steps.run
    with discreet():
        made = await steps.conclude()
        await tell(run, made)
    try:
        how = partial(status, name=run.name, account=run.account, day=run.quota.day)
        standing = await run.state.look(how)
        await _show(run, made, standing)
    except (PrefectException, httpx.HTTPError, LedgerUnavailable) as error:
        log.warning("the run's report is not in the Prefect UI (%s): voipsync status has it", text_of(error))
    return made


async def _show(run: Run, made: Report, standing: Mapping[str, Any]) -> None:
    """Make the artifacts; a run that had nothing to do only brings its account's page up to date."""
    key, page = artifact_key(made.account), overview(standing, next_run=await _next_run())
    shows = MarkdownArtifact(key=f"overview-{key}", markdown=page, description=headline(standing))
    making: list[Awaitable[object]] = [renew(run.state, run.name, "overview", shows)]
    if not made.idle:
        about = f"{made.mode} run {made.run_id} of {made.account}: {made.status}"
        table = [
            {"entity": entity, **{name: counts[name] for name in made.shown}}
            for entity, counts in made.entities.items()
        ]
        page = summary(made, [*standing["attention"], *shown(run.account, run.findings.disputed)])
        making += [
            acreate_table_artifact(table=table, key=f"report-{key}", description=about),
            acreate_markdown_artifact(page, key=f"summary-{key}", description=about),
        ]
    await asyncio.gather(*making)


async def renew(database: Database, account: str, name: str, artifact: Artifact) -> None:
    """Bring an artifact up to date in place: Prefect keeps all of them, and one a minute would fill it.

    Args:
        database: the ledger's, which remembers it.
        account: whose it is; empty: of all.
        name: under which it is remembered.
        artifact: as it is to be.
    """
    known = await database.look(partial(facts.get, account=account, name=name))
    async with get_client() as client:
        if known is not None:
            now = {"data": await artifact.aformat(), "description": artifact.description}
            with suppress(PrefectHTTPStatusError):  # it is there no more, or this is another server
                # as `update_artifact`, without its event, which would be kept with all that it carries
                await client.request("PATCH", "/artifacts/{id}", json=now, path_params={"id": known[0]})
                return
        made = await artifact.acreate(client)
    await database.do(partial(facts.put, account=account, name=name, value=str(made.id)))


async def _next_run() -> float | None:
    """When the deployment that this run is of runs next, where it is of one."""
    if not deployment.id or flow_run.flow_name == "shard":  # its deployment's next run is of other accounts
        return None
    async with get_client() as client:
        scheduled = await client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[UUID(deployment.id)])),
            flow_run_filter=FlowRunFilter(
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
            ),
            sort=FlowRunSort.EXPECTED_START_TIME_ASC,
            limit=1,
        )
    due = scheduled[0].expected_start_time if scheduled else None
    return due.timestamp() if due else None


class Ended(Protocol):
    """What every report says of how its run ended."""

    @property
    def run_id(self) -> str:
        """The run."""

    @property
    def status(self) -> Status:
        """The one word for it all."""

    @property
    def warnings(self) -> list[str]:
        """What else there is to say, the most important first."""


Made = TypeVar("Made", bound=Ended)


def final_state(made: Made) -> State[Made]:
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
