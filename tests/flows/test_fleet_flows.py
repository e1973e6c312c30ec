"""A fleet on a real Prefect API: what it starts, whom it passes over, and what becomes of a bad account."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, State, StateType

from sandbox.serve import Sandbox
from tasks.fleet import taken_at
from tests.support.command import CONFIGURATION, Command
from tests.support.prefect_http import prefect_client

PROJECT = Path(__file__).parents[2]
RUN = """
import asyncio, json, os, sys
from datetime import UTC, datetime, timedelta
import tasks.fleet
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.states import Running, Scheduled
from flows.fleet import fleet
from flows.shard import shard
from tasks.blocks import SyncAccount
from tasks.ledger.database import opened
from tasks.ledger.lease import hold
from tasks.options import FleetOptions
from tasks.settings import load

os.chdir(sys.argv[1])

async def main():
    for name in ("boxed", "twin"):
        await SyncAccount(location_id=name).save(name)
    deployment = await shard.ato_deployment("fleet", work_pool_name="nowhere")
    number, tags, about = await deployment.aapply(), ["voipsync-fleet"], {"account": "boxed"}

    async def at_once(times, **options):
        chosen = FleetOptions(every_seconds=0, **options)
        states = await asyncio.gather(*(fleet(chosen, return_state=True) for _ in range(times)))
        print(json.dumps(sorted(state.message for state in states)))

    async with get_client() as client:
        slow = await client.create_flow_run_from_deployment(
            number, parameters={"accounts": ["good", "boxed"]}, tags=tags, state=Running()
        )
        await asyncio.sleep(4)  # the server tells whole seconds, and where it is busy late
        later = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
        others = await client.create_flow_run_from_deployment(
            number, parameters={"accounts": ["other"]}, state=later
        )
        os.environ["PREFECT__RUNTIME__DEPLOYMENT__ID"] = str(number)
        state = await shard(("good", "ill", "unknown"), return_state=True)
        del os.environ["PREFECT__RUNTIME__DEPLOYMENT__ID"]
        await client.delete_flow_run(others.id)
        print(json.dumps([state.name, state.message]))
        await at_once(1, accounts=("good",))
        with opened(load().state.url) as ledger:
            async with hold(ledger, "L", "o", wait=0, usage=dict, tell=print, about=about):
                await at_once(1, accounts=("good",))
        await client.delete_flow_run(slow.id)
        await at_once(2, accounts=("twin",))
        ours = FlowRunFilter.model_validate({"tags": {"all_": tags}})
        for one in await client.read_flow_runs(flow_run_filter=ours):
            await client.delete_flow_run(one.id)
    options = FleetOptions(accounts=("good", "ill", "new*", "boxed"), every_seconds=0, most_runs=2)
    for _ in range(2):
        state = await fleet(options, return_state=True)
        print(json.dumps([state.name, state.message]))
    tasks.fleet.LOST_SECONDS = 1.0
    async with get_client() as client:
        shards = [await client.create_flow_run_from_deployment(
            number, parameters={"accounts": [one]}, tags=tags, state=Running()
        ) for one in ("newest", "boxed", "another fleet's")]
        await asyncio.sleep(5)
        settings = load()
        with opened(settings.state.url) as ledger:
            async with hold(ledger, "L", "o", wait=0, usage=dict, tell=print, about=about):
                await fleet(options)
        print(json.dumps([(await client.read_flow_run(one.id)).state_name for one in shards]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def ran(prefect_api: str, command: Callable[..., Command]) -> list[list[str]]:
    with prefect_client(prefect_api) as api:
        api.post("/work_pools/", json={"name": "nowhere", "type": "process"}).raise_for_status()
    with Sandbox.threaded(contacts=6, burst=5000) as box:
        made = command("good", PREFECT_API_URL=prefect_api).configure(box)
        text = made.path.read_text(encoding="utf-8")
        for account in ("ill", "newest"):
            filled = CONFIGURATION.format(
                ledger="",
                account=account,
                source=box.voipstudio_url,
                destination=box.highlevel_url,
                location=f"elsewhere{account}",
                calendar=box.calendar_id,
            )
            text += filled.split("\n\n", 1)[1]
        made.path.write_text(text, encoding="utf-8")
        done = made.execute(RUN, str(PROJECT), VOIPSYNC_CONFIG=str(made.path)).end(120)
        assert done.code == 0, done.err[-3000:]
        assert box.contacts()
    return [json.loads(line) for line in done.out.splitlines()]


def of_flow(prefect_api: str, what: str, name: str) -> list[dict[str, Any]]:
    with prefect_client(prefect_api) as api:
        found = api.post(f"/{what}/filter", json={"flows": {"name": {"any_": [name]}}})
        return list(found.raise_for_status().json())


def test_a_bad_account_holds_up_no_other_and_is_named(ran, prefect_api):
    assert ran[0][0] == "Degraded"
    assert ran[0][1].endswith("2 failed: ill, unknown")
    states = {run["name"]: run["state_name"] for run in of_flow(prefect_api, "task_runs", "shard")}
    assert states == {"sync good": "Completed", "sync ill": "Failed", "sync unknown": "Failed"}


def test_one_table_is_brought_up_to_date_by_every_fleet(ran, prefect_api):
    with prefect_client(prefect_api) as api:
        (table,) = api.post("/artifacts/filter", json={"artifacts": {"key": {"any_": ["fleet"]}}}).json()
    assert {row["account"] for row in json.loads(table["data"])} == {"good", "ill", "newest", "boxed"}


def test_an_account_is_not_said_to_be_due_when_others_are(ran, prefect_api):
    with prefect_client(prefect_api) as api:
        (page,) = api.post(
            "/artifacts/filter", json={"artifacts": {"key": {"any_": ["overview-good"]}}}
        ).json()
    assert "Last run: **ok**" in page["data"]
    assert "Next run due" not in page["data"]


def test_who_had_its_turn_is_not_held_up_by_another_of_its_flow_run(ran):
    said = "1 account: {} started now, 0 degraded last time, 0 failed last time"
    assert ran[1:3] == [[said.format(0)], [said.format(1)]]


def test_two_fleets_at_once_start_nobody_twice(ran):
    assert [one.split(",")[0] for one in ran[3]] == ["1 account: 0 started now", "1 account: 1 started now"]


def test_what_was_due_for_long_and_is_taken_now_did_not_die():
    now = datetime.now(UTC)
    due = {"flow_id": uuid4(), "expected_start_time": now - timedelta(hours=1)}
    began = now - timedelta(minutes=5)
    assert taken_at(FlowRun(**due, state=State(type=StateType.SCHEDULED))) is None
    assert taken_at(FlowRun(**due, state=State(type=StateType.PENDING, timestamp=now))) == now
    assert taken_at(FlowRun(**due, start_time=began, state=State(type=StateType.RUNNING))) == began


def test_a_fleet_starts_those_whose_turn_it_is_and_nobody_twice(ran, prefect_api):
    assert ran[4] == ["Completed", "4 accounts: 4 started now, 0 degraded last time, 1 failed last time"]
    assert ran[5] == ["Completed", "4 accounts: 0 started now, 0 degraded last time, 1 failed last time"]
    started = [run for run in of_flow(prefect_api, "flow_runs", "shard") if run["state_type"] == "SCHEDULED"]
    started.sort(key=lambda run: run["expected_start_time"])
    names = [name for run in started for name in run["parameters"]["accounts"]]
    assert set(names[:2]) == {"boxed", "newest"}
    assert sorted(names) == ["boxed", "good", "ill", "newest"]


def test_a_flow_run_that_died_keeps_no_place(ran):
    assert ran[6] == ["Crashed", "Running", "Running"]
