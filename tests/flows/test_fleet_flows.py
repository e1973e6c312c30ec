"""A fleet on a real Prefect API: what it starts, whom it passes over, and what becomes of a bad account."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.serve import Sandbox
from tests.support.command import CONFIGURATION, KEY, TOKEN
from tests.support.prefect_http import prefect_client

PROJECT = Path(__file__).parents[2]
RUN = """
import asyncio, json, sys
import tasks.fleet
from prefect.client.orchestration import get_client
from prefect.states import Running
from flows.fleet import fleet
from flows.shard import shard
from tasks.blocks import SyncAccount
from tasks.ledger.database import opened
from tasks.ledger.lease import hold
from tasks.options import FleetOptions
from tasks.settings import load

async def main():
    await SyncAccount(location_id="boxed").save("boxed")
    state = await shard(("good", "ill", "unknown"), return_state=True)
    print(json.dumps([state.name, state.message]))
    deployment = await shard.ato_deployment("fleet", work_pool_name="nowhere")
    await deployment.aapply()
    options = FleetOptions(accounts=("good", "ill", "new*", "boxed"), every_seconds=0, most_runs=2)
    for _ in range(2):
        state = await fleet(options, return_state=True)
        print(json.dumps([state.name, state.message]))
    tasks.fleet.LOST_SECONDS = 1.0
    about = {"account": "boxed"}
    number, tags = await deployment.aapply(), ["voipsync-fleet"]
    async with get_client() as client:
        shards = [await client.create_flow_run_from_deployment(
            number, parameters={"accounts": [one]}, tags=tags, state=Running()
        ) for one in ("newest", "boxed", "another fleet's")]
        await asyncio.sleep(3)
        settings = load()
        with opened(settings.state.url) as ledger:
            async with hold(ledger, "L", "o", wait=0, usage=dict, tell=print, about=about):
                await fleet(options)
        print(json.dumps([(await client.read_flow_run(one.id)).state_name for one in shards]))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def ran(prefect_api: str, tmp_path_factory: pytest.TempPathFactory) -> list[list[str]]:
    folder = tmp_path_factory.mktemp("fleet")
    with prefect_client(prefect_api) as api:
        api.post("/work_pools/", json={"name": "nowhere", "type": "process"}).raise_for_status()
    with Sandbox.threaded(contacts=6, burst=5000) as box:
        text = ""
        for account in ("good", "ill", "newest"):
            filled = CONFIGURATION.format(
                ledger=folder / "ledger.db",
                account=account,
                source=box.voipstudio_url,
                destination=box.highlevel_url,
                location=box.location_id if account == "good" else f"elsewhere{account}",
                calendar=box.calendar_id,
            )
            text += filled if not text else filled.split("\n\n", 1)[1]
        (folder / "voipsync.toml").write_text(text, encoding="utf-8")
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "VOIPSYNC_"))}
        env = kept | {
            "HOME": str(folder),
            "PREFECT_HOME": str(folder / "prefect"),
            "PREFECT_API_URL": prefect_api,
            "PYTHONPATH": str(PROJECT),
            "VOIPSYNC_CONFIG": str(folder / "voipsync.toml"),
            KEY: box.api_key,
            TOKEN: box.token,
        }
        done = subprocess.run(
            [sys.executable, "-c", RUN], env=env, cwd=PROJECT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert box.contacts()
    return [json.loads(line) for line in done.stdout.splitlines()]


def of_flow(prefect_api: str, what: str, name: str) -> list[dict[str, Any]]:
    with prefect_client(prefect_api) as api:
        found = api.post(f"/{what}/filter", json={"flows": {"name": {"any_": [name]}}})
        return list(found.raise_for_status().json())


def test_a_bad_account_holds_up_no_other_and_is_named(ran, prefect_api):
    assert ran[0][0] == "Degraded"
    assert ran[0][1].endswith("2 failed: ill, unknown")
    states = {run["name"]: run["state_name"] for run in of_flow(prefect_api, "task_runs", "shard")}
    assert states == {"sync good": "Completed", "sync ill": "Failed", "sync unknown": "Failed"}


def test_a_fleet_starts_those_whose_turn_it_is_and_nobody_twice(ran, prefect_api):
    assert ran[1] == ["Completed", "4 accounts: 4 started now, 0 degraded last time, 1 failed last time"]
    assert ran[2] == ["Completed", "4 accounts: 0 started now, 0 degraded last time, 1 failed last time"]
    started = [run for run in of_flow(prefect_api, "flow_runs", "shard") if run["state_type"] == "SCHEDULED"]
    started.sort(key=lambda run: run["expected_start_time"])
    names = [name for run in started for name in run["parameters"]["accounts"]]
    assert set(names[:2]) == {"boxed", "newest"}
    assert sorted(names) == ["boxed", "good", "ill", "newest"]


def test_a_flow_run_that_died_keeps_no_place(ran):
    assert ran[3] == ["Crashed", "Running", "Running"]
