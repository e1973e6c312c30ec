"""Prefect's part in a fleet: who is under way, starting flow runs, and what a fleet looks like in the UI."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from prefect import task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.client.schemas.objects import State, StateType
from prefect.states import Completed, Failed, Scheduled

from tasks.blocks import accounts_in_blocks
from tasks.engine import fleet
from tasks.engine.fleet import Standing
from tasks.engine.steps import sync_once
from tasks.events import emit
from tasks.ledger import migrate
from tasks.ledger.database import opened
from tasks.ledger.sealing import Sealer
from tasks.options import FleetOptions, SyncOptions
from tasks.outlets import discreet
from tasks.report import final_state, show
from tasks.settings import load

TAG = "voipsync-fleet"
"""On the flow runs that a fleet starts: by it the next one finds those that did not end yet."""
OPEN = [StateType.SCHEDULED, StateType.PENDING, StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING]
PAGE = 200
SHOWN = 100
"""Accounts that the artifact names, those in most need first."""


@task(name="choose", cache_policy=NO_CACHE, persist_result=False)
async def choose(options: FleetOptions) -> list[Standing]:
    """Return how the accounts stand that the options choose, from the configuration and from blocks."""
    with discreet():
        settings = load()
        configured = {name: one.tags for name, one in settings.accounts.items()}
        names = fleet.chosen({**await accounts_in_blocks(), **configured}, options.accounts, options.tags)
        with opened(settings.state.url, Sealer.of_ledger(settings.state)) as database:
            await database.do(migrate.upgrade)
            return await database.look(lambda connection: fleet.standings(connection, names))


@task(name="start", cache_policy=NO_CACHE, persist_result=False)
async def start(found: list[Standing], options: FleetOptions) -> int:
    """Start flow runs for those whose turn it is, within the bound; return how many accounts that were."""
    with discreet():
        async with get_client() as client:
            busy, under_way = await _under_way(client)
            ordered = fleet.due(found, busy=busy, every=options.every_seconds)
            chosen = [
                shard
                for shard, _ in zip(
                    fleet.shards(ordered, options.at_once), range(options.most_runs - under_way), strict=False
                )
            ]
            deployment = await client.read_deployment_by_name(options.deployment)
            now = datetime.now(UTC)
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


async def _under_way(client: PrefectClient) -> tuple[set[str], int]:
    """The accounts of the fleet's flow runs that did not end yet, and how many runs these are."""
    unended = FlowRunFilter.model_validate({"tags": {"all_": [TAG]}, "state": {"type": {"any_": OPEN}}})
    busy, number = set[str](), 0
    while page := await client.read_flow_runs(flow_run_filter=unended, limit=PAGE, offset=number):
        number += len(page)
        busy |= {str(name) for run in page for name in run.parameters.get("accounts", ())}
    return busy, number


@task(name="show fleet", cache_policy=NO_CACHE, persist_result=False)
async def show_fleet(found: list[Standing], started: int) -> str:
    """Show all accounts as one table, those in most need first; return it all in one sentence."""
    ill = [one for one in found if one.status == "failed"]
    about = f"{len(found)} accounts: {started} started now, {len(ill)} failed last time"
    await acreate_table_artifact(table=fleet.table(found, SHOWN), key="fleet", description=about)
    return about


@task(name="sync", task_run_name="sync {account}", cache_policy=NO_CACHE, persist_result=False)
async def sync_account(account: str, options: SyncOptions) -> Any:  # noqa: ANN401 - a state, of which Prefect makes its own
    """Sync one account of several that share a flow run; the task run is what the UI shows of it."""
    with discreet():
        return final_state(await sync_once(account, options, emit=emit, end=show))


async def sync_together(accounts: Sequence[str], options: SyncOptions, at_once: int) -> State[int]:
    """Sync accounts, a few at the same time; what becomes of one is nothing to the others."""
    places = asyncio.Semaphore(at_once)

    async def one(account: str) -> State[Any]:
        async with places:
            state: State[Any] = await sync_account(  # type: ignore[misc]  # Prefect's types leave out the await
                account, options, return_state=True
            )
            return state

    states = dict(zip(accounts, await asyncio.gather(*map(one, accounts)), strict=True))
    failed = [account for account, state in states.items() if not state.is_completed()]
    degraded = [account for account, state in states.items() if state.name == "Degraded"]
    message = f"{len(states)} accounts, {len(degraded)} degraded, {len(failed)} failed"
    if failed:
        message += ": " + ", ".join(failed[:10]) + (", …" if failed[10:] else "")
    if len(failed) == len(states):
        return Failed(message=message, data=len(failed))
    name = "Degraded" if failed or degraded else "Completed"
    return Completed(name=name, message=message, data=len(failed))
