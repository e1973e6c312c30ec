"""Prefect's part in a fleet: who is under way, starting flow runs, and what a fleet looks like in the UI."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from prefect import task
from prefect.artifacts import TableArtifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.runtime import flow_run
from prefect.states import Completed, Crashed, Failed, Scheduled

from tasks.alerts import telling
from tasks.blocks import accounts_in_blocks
from tasks.engine import fleet
from tasks.engine.fleet import Standing
from tasks.engine.fleet_runs import OpenRun, UnderWay, under_way
from tasks.engine.steps import sync_once
from tasks.events import emit
from tasks.late import LOST_SECONDS, server_time
from tasks.ledger import migrate
from tasks.ledger.database import Database, opened
from tasks.ledger.lease import hold
from tasks.ledger.sealing import Sealer
from tasks.options import FleetOptions, SyncOptions
from tasks.outlets import discreet
from tasks.report import final_state, renew, show
from tasks.settings import load

log = logging.getLogger(__name__)

TAG = "voipsync-fleet"
"""On the flow runs that a fleet starts: by it the next one finds those that did not end yet."""
BEGUN = {StateType.PENDING, StateType.RUNNING, StateType.CANCELLING}
OPEN = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
PAGE = 200
APART_SECONDS = 1.0
"""Between the first accounts of a flow run: as long as one takes to send what its quota allows at once."""
TURN, TURN_SECONDS = "one fleet at a time", 120.0
"""What fleets lease to start flow runs, and how long one waits for another; no location has such an id."""
SHOWN = 100
"""Accounts that the artifact names, those in most need first."""


@task(name="choose", cache_policy=NO_CACHE, persist_result=False)
async def choose(options: FleetOptions) -> list[Standing]:
    """Return how the accounts stand that the options choose, from the configuration and from blocks."""
    with discreet():
        configured = {name: one.tags for name, one in load().accounts.items()}
        names = fleet.chosen({**await accounts_in_blocks(), **configured}, options.accounts, options.tags)
        with _ledger() as database:
            await database.do(migrate.upgrade)
            return await database.look(lambda connection: fleet.standings(connection, names))


@task(name="start", cache_policy=NO_CACHE, persist_result=False)
async def start(found: list[Standing], options: FleetOptions) -> int:
    """Start flow runs for those whose turn it is, within the bound; return how many accounts that were.

    One fleet after the other: each sees what the one before it has started.
    """
    about, names = {"run": f"fleet {flow_run.id}"}, [one.account for one in found]
    with discreet(), _ledger() as database:
        async with (
            hold(database, TURN, token_hex(), wait=TURN_SECONDS, usage=dict, tell=log.info, about=about),
            get_client() as client,
        ):
            now = await database.look(lambda connection: fleet.standings(connection, names))
            return await _start(client, now, await database.look(fleet.at_work), options)


async def _start(
    client: PrefectClient, found: list[Standing], at_work: set[str], options: FleetOptions
) -> int:
    there = await _under_way(client, found, at_work)
    late = options.spread_seconds + fleet.BEGIN_SECONDS
    ordered = fleet.due(found, busy=there.busy, every=options.every_seconds, late=late)
    made = fleet.shards(ordered, options.at_once)
    chosen = fleet.fitting(made, found, under_way=there.accounts, most=options.most_runs)
    deployment = await client.read_deployment_by_name(options.deployment)
    now = await server_time(client)
    for number, accounts in enumerate(chosen):
        at = now + timedelta(seconds=options.spread_seconds * number / len(chosen))
        await client.create_flow_run_from_deployment(
            deployment.id,
            parameters={
                "accounts": accounts,
                "options": options.sync.model_dump(mode="json"),
                "at_once": options.at_once,
            },
            state=Scheduled(scheduled_time=at),
            name=f"sync {accounts[0]}" + (f" and {len(accounts) - 1} more" if accounts[1:] else ""),
            tags=[TAG],
        )
    return sum(map(len, chosen))


async def _under_way(client: PrefectClient, found: list[Standing], at_work: set[str]) -> UnderWay:
    """What the flow runs that did not end mean to this fleet; those that died are called crashed.

    They would keep their places: Prefect shows a run as under way for ever whose worker died, unless an
    automation ends it.
    """
    unended = FlowRunFilter.model_validate({"tags": {"all_": [TAG]}, "state": {"type": {"any_": OPEN}}})
    runs: list[FlowRun] = []
    while page := await client.read_flow_runs(flow_run_filter=unended, limit=PAGE, offset=len(runs)):
        runs += page
    at = await server_time(client)
    told = under_way([_open(run, at) for run in sorted(runs, key=_made)], found, at_work, lost=LOST_SECONDS)
    for dead in told.dead:
        died: State[None] = Crashed(message="it died: nobody syncs any of its accounts")
        await client.set_flow_run_state(dead, died, force=True)
    return told


def _open(run: FlowRun, at: datetime) -> OpenRun:
    accounts = frozenset(map(str, run.parameters.get("accounts", ())))
    began = taken_at(run)
    return OpenRun(run.id, accounts, (at - began).total_seconds() if began else 0.0)


def _made(run: FlowRun) -> datetime:
    return run.created or datetime.min.replace(tzinfo=UTC)


def taken_at(run: FlowRun) -> datetime | None:
    """When a worker took a run that did not end yet; by then it may have been due for long."""
    if run.state is None or run.state.type not in BEGUN:
        return None
    return run.start_time or run.state.timestamp


@task(name="show fleet", cache_policy=NO_CACHE, persist_result=False)
async def show_fleet(found: list[Standing], started: int) -> str:
    """Show all accounts' last reports as one table; return it all in one sentence."""
    about = f"{len(found)} account{'s' * (len(found) != 1)}: {started} started now, " + ", ".join(
        f"{sum(one.status == status for one in found)} {status} last time"
        for status in ("degraded", "failed")
    )
    shown = fleet.neediest(found, SHOWN)
    if len(found) > SHOWN:
        about += f"; the {SHOWN} in most need of attention are shown"
    with discreet(), _ledger() as database:
        reports = await database.look(
            lambda connection: fleet.last_reports(connection, [one.account for one in shown])
        )
        table = TableArtifact(key="fleet", table=fleet.table(shown, reports), description=about)
        await renew(database, "", "fleet", table)
    return about


def _ledger() -> AbstractContextManager[Database]:
    settings = load()
    return opened(settings.state.url, Sealer.of_ledger(settings.state))


@task(name="sync", task_run_name="sync {account}", cache_policy=NO_CACHE, persist_result=False)
async def sync_account(account: str, options: SyncOptions) -> Any:  # noqa: ANN401 - a state, of which Prefect makes its own
    """Sync one account of several that share a flow run; the task run is what the UI shows of it."""
    async with telling(account, options):
        state = final_state(await sync_once(account, options, emit=emit, end=show))
    state.data = None  # it is in the ledger and in an artifact; Prefect would log it whole where this failed
    return state


async def sync_together(accounts: Sequence[str], options: SyncOptions, at_once: int) -> State[int]:
    """Sync accounts, a few at the same time; what becomes of one is nothing to the others.

    Each begins with as many requests as its quota allows: so they begin one after the other.
    """
    waiting, states = deque(accounts), dict[str, State[Any]]()

    async def place(number: int) -> None:
        await asyncio.sleep(number * APART_SECONDS)
        while waiting:
            account = waiting.popleft()
            states[account] = await sync_account(  # type: ignore[misc]  # Prefect's types leave out the await
                account, options, return_state=True
            )

    await asyncio.gather(*map(place, range(at_once)))
    failed = sorted(account for account, state in states.items() if not state.is_completed())
    degraded = [account for account, state in states.items() if state.name == "Degraded"]
    message = f"{len(states)} accounts, {len(degraded)} degraded, {len(failed)} failed"
    if failed:
        message += ": " + ", ".join(failed[:10]) + (", …" if failed[10:] else "")
    if len(failed) == len(states):
        return Failed(message=message, data=len(failed))
    name = "Degraded" if failed or degraded else "Completed"
    return Completed(name=name, message=message, data=len(failed))
