"""Prefect tasks of a backfill: its windows, its page in the UI, and what somebody asks of it there.

*Suspend* in the UI leaves the run to be resumed in a process of its own: this one ends after the chunk under
way. A pause that keeps the process waits in it, without the location's lease. *Cancel* ends the run after the
chunk under way. In each case what is done is recorded, and the same backfill goes on from there.
"""

import asyncio
import logging
import time
from uuid import UUID

import httpx
from prefect import task
from prefect.artifacts import acreate_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactUpdate
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import Pause, PrefectException
from prefect.runtime import flow_run
from prefect.states import Cancelled, Completed

from tasks.engine.backfill import Backfill
from tasks.engine.estimate import Estimate
from tasks.engine.report import Report
from tasks.events import rests
from tasks.outlets import discreet, text_of
from tasks.report import final_state, report, show_progress

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often the run's state is looked at, at most."""
SHOW_SECONDS = 5.0
"""How often its page is brought up to date, at most."""
SUSPENDED = "suspended in Prefect: what was done is recorded, and resuming goes on from there"
CANCELLED = "cancelled in Prefect: what was done is recorded, the same backfill goes on from there"


class Page:
    """What the UI is told of a backfill, and asked about it."""

    def __init__(self, work: Backfill) -> None:
        self.work = work
        self._looked = self._shown = 0.0
        self._artifact: UUID | None = None
        self._unheard = False

    async def between(self) -> None:
        """Between two chunks: do what somebody asked for, and show how far it is."""
        now = time.monotonic()
        if now - self._looked >= LOOK_SECONDS:
            self._looked = now
            await self._heed(await self.ask())
        if now - self._shown >= SHOW_SECONDS:
            await self.show()

    def suspended(self) -> None:
        """Go on when it is resumed, in a process of its own."""
        self.work.halt(SUSPENDED)

    async def show(self) -> None:
        """Show how far it is."""
        self._shown = time.monotonic()
        try:
            await show_progress(self.work.steps)
            text = self.work.markdown()
            if self._artifact is None:
                key = f"backfill-{self.work.run.name.replace('_', '-').strip('-')}"
                about = f"Backfill of {self.work.run.name}, run {self.work.run.id}"
                self._artifact = await acreate_markdown_artifact(text, key=key, description=about)
            else:
                async with get_client() as client:
                    await client.update_artifact(self._artifact, ArtifactUpdate(data=text))
        except (PrefectException, httpx.HTTPError) as error:
            self._tell(error)

    async def _heed(self, run: FlowRun | None) -> None:
        work, state = self.work, run.state if run else None
        if run is None or state is None:
            return
        if state.type in (StateType.CANCELLING, StateType.CANCELLED):
            work.run.stop_reason = work.run.stop_reason or CANCELLED
        elif state.is_paused() and not state.state_details.pause_reschedule:
            await work.run.step_aside(self._paused)
        elif state.is_paused() and run.deployment_id is not None:
            self.suspended()
        elif state.is_paused():  # nobody could resume it
            work.run.stop_reason = work.run.stop_reason or CANCELLED

    async def _paused(self) -> None:
        """Wait, without the location's lease, until somebody resumes it, or ends it."""
        log.warning("paused: the location is free until somebody resumes this run")
        await self.show()
        while True:
            self.work.run.check()
            await asyncio.sleep(LOOK_SECONDS)
            run = await self.ask()
            state = run.state if run else None
            if state is None:
                continue
            if not state.is_paused():
                if not state.is_running():
                    self.work.run.stop_reason = CANCELLED
                self.work.run.check()
                log.warning("resumed")
                return

    async def ask(self) -> FlowRun | None:
        """The flow run as Prefect's API shows it; None where it cannot be asked just now."""
        if flow_run.id is None:
            return None
        try:
            async with get_client() as client:
                return await client.read_flow_run(UUID(flow_run.id))
        except (PrefectException, httpx.HTTPError) as error:
            self._tell(error)
            return None

    def _tell(self, error: Exception) -> None:
        if not self._unheard:
            log.warning("Prefect's API does not answer (%s): the backfill goes on", text_of(error))
        self._unheard = True


@task(name="survey", cache_policy=NO_CACHE, persist_result=False)
async def survey(page: Page) -> bool:
    """Stage the contacts and say what it will cost; tell whether there is work."""
    with discreet():
        wanted = await page.work.survey(by=flow_run.id)
        await page.show()
        return wanted


@task(name="window", cache_policy=NO_CACHE, persist_result=False)
async def fill(page: Page, until: float) -> int:
    """Bring the contacts of one window, some at a time; return how many."""
    with discreet():
        number = await page.work.fill(until, page.between)
        await page.show()
        return number


async def close(page: Page) -> Report:
    """Record how the run ended, and show it; of one that was suspended, its page alone."""
    if not page.work.halted:
        return await report(page.work.steps)
    await page.show()
    return await page.work.steps.conclude()


async def ended(page: Page, made: Report) -> State[Report] | State[Estimate]:
    """The flow run's state: what the report says, unless somebody ended the run in the UI.

    Raises:
        Pause: it was suspended, and its state is not this process's any more.
    """
    work, run = page.work, await page.ask()
    if work.halted:
        await _rest(run)
        raise Pause(state=run.state if run else None)
    state = run.state if run else None
    if work.run.stop_reason == CANCELLED or (state and state.type is StateType.CANCELLING):
        return Cancelled(message=CANCELLED, data=made)
    if work.options.estimate and work.told and made.status != "failed":
        return Completed(message=str(work.told), data=work.told)
    return final_state(made)


async def _rest(run: FlowRun | None) -> None:
    """Where this fails, an automation may take the run for dead: what was done stays recorded."""
    try:
        if run is not None:
            await rests(run)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run is suspended
        log.warning("Prefect may call this run crashed: %s", text_of(error))
