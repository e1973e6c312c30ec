"""``voipsync backfill`` and ``voipsync retry`` as a user meets them, and what the UI may ask of the flow."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import httpx
import pytest
from prefect.exceptions import Pause
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli_run import run_flow
from sandbox.client import Box
from sandbox.serve import Sandbox
from tasks.errors import VoipsyncError
from tasks.events import SUSPENDED
from tests.support.accounts import sync
from tests.support.command import Command, Running
from tests.support.prefect_http import prefect_client

Make = Callable[..., Command]
PROJECT = Path(__file__).parents[2]


def flow_run(api: httpx.Client, account: str, status: str) -> dict[str, Any] | None:
    chosen = {"name": {"any_": [f"backfill {account}"]}, "state": {"type": {"any_": [status]}}}
    found = api.post("flow_runs/filter", json={"flow_runs": chosen}).raise_for_status().json()
    return found[0] if found else None


def wait_for(box: Box, contacts: int) -> None:
    until = time.monotonic() + 30
    while len(box.contacts()) < contacts:
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_backfill_is_paused_resumed_cancelled_and_done(prefect_api: str, command: Make) -> None:
    with (
        Sandbox.threaded(contacts=70, activities=False, burst=10, interval=1.0) as box,
        prefect_client(prefect_api) as api,
    ):
        quota = f'{box.calendar_id}"\nquota.requests = 10\nquota.seconds = 1.0 #'
        made = command("history", PREFECT_API_URL=prefect_api).configure(box, calendar=quota)
        running = made.start("backfill", "history", "--only", "contacts", "--json")
        wait_for(box, 5)
        one = flow_run(api, "history", "RUNNING")
        assert one is not None
        paused = {"type": "PAUSED", "name": "Paused", "state_details": {"pause_reschedule": False}}
        api.post(f"flow_runs/{one['id']}/set_state", json={"state": paused, "force": True})
        running.says("the location is free")
        number = len(box.contacts())
        time.sleep(1.0)
        assert len(box.contacts()) == number < 70
        assert api.post(f"flow_runs/{one['id']}/resume").json()["status"] == "ACCEPT"
        wait_for(box, number + 1)
        cancelling = {"type": "CANCELLING", "name": "Cancelling"}
        api.post(f"flow_runs/{one['id']}/set_state", json={"state": cancelling, "force": True})
        ran = running.end()
        assert (ran.code, "cancelled in Prefect" in ran.json["warnings"][0]) == (1, True)
        told = ran.err.index("backfill of history: 70 contacts to look at")
        assert told < ran.err.index("contacts done")  # what it will cost, before anything is written
        ended = api.get(f"flow_runs/{one['id']}").json()["state"]
        assert (ended["type"], ended["name"]) == ("CANCELLED", "Cancelled")
        box.options(location={"burst": 5000})
        ran = made.run("backfill", "history", "--only", "contacts", "--json")
        assert (ran.code, box.writes()["create-contact"]) == (0, len(box.contacts()))
        chosen = {"artifacts": {"key": {"any_": ["backfill-history"]}}, "sort": "UPDATED_DESC"}
        page = api.post("artifacts/filter", json=chosen).json()[0]
        assert "| contacts looked at | 70 of 70 (100 %) |" in page["data"]
        emails = [row["email"] for row in box.source("contacts") if row["email"]]
        assert [email for email in emails if email in json.dumps(page)] == []


def deployed(api: httpx.Client, account: str) -> str:
    """Create a run of a deployment, for a worker to execute; return its id."""
    flow = api.post("flows/", json={"name": "backfill"}).raise_for_status().json()
    folder = {"prefect.deployments.steps.set_working_directory": {"directory": str(PROJECT)}}
    wanted = {"name": account, "flow_id": flow["id"], "entrypoint": "flows/backfill.py:backfill"}
    made = api.post("deployments/", json={**wanted, "pull_steps": [folder]}).raise_for_status().json()
    given = {"account": account, "options": {"only": ["contacts"]}}
    run = api.post(f"deployments/{made['id']}/create_flow_run", json={"parameters": given})
    return str(run.raise_for_status().json()["id"])


EXECUTE = 'import runpy; runpy.run_module("prefect.engine", run_name="__main__")'
"""What a worker starts for each of its flow runs."""


def execute(made: Command, run: str) -> Running:
    """As a worker executes a run."""
    return made.execute(EXECUTE, run, VOIPSYNC_CONFIG=str(made.path))


def test_a_suspended_run_ends_is_taken_for_dead_by_nobody_and_is_resumed(
    prefect_api: str, command: Make
) -> None:
    with (
        Sandbox.threaded(contacts=40, activities=False, burst=10, interval=1.0) as box,
        prefect_client(prefect_api) as api,
    ):
        quota = f'{box.calendar_id}"\nquota.requests = 10\nquota.seconds = 1.0 #'
        made = command("longer", PREFECT_API_URL=prefect_api).configure(box, calendar=quota)
        run = deployed(api, "longer")
        working = execute(made, run)
        wait_for(box, 5)
        suspended = {"type": "PAUSED", "name": "Suspended", "state_details": {"pause_reschedule": True}}
        api.post(f"flow_runs/{run}/set_state", json={"state": suspended, "force": True}).raise_for_status()
        working.end(30)
        assert api.get(f"flow_runs/{run}").json()["state"]["name"] == "Suspended"
        number = len(box.contacts())
        assert 5 <= number < 40
        told = {"event": {"name": [SUSPENDED]}, "resource": {"id": [f"prefect.flow-run.{run}"]}}
        until = time.monotonic() + 20
        while not api.post("events/filter", json={"filter": told}).json()["events"]:
            assert time.monotonic() < until, "nobody was told that its heart rests"
            time.sleep(0.2)
        box.options(location={"burst": 5000})
        assert api.post(f"flow_runs/{run}/resume").json()["status"] == "ACCEPT"
        execute(made, run).end(60)
        assert api.get(f"flow_runs/{run}").json()["state"]["type"] == "COMPLETED"
        assert number < box.writes()["create-contact"] == len(box.contacts())


def test_what_was_refused_is_tried_again(prefect_api: str, command: Make) -> None:
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        box.insert_source("contacts", first_name="Ann", last_name="Smith", email="ann@example.com")
        made = command(PREFECT_API_URL=prefect_api).configure(box)
        box.fault("status", status=422, body={}, method="POST", path="/contacts/$")
        assert asyncio.run(sync(box, made.ledger)).status == "degraded"
        box.clear_faults()
        ran = made.run("retry", "acme", "--json")
        assert (ran.code, ran.json["mode"], len(box.contacts())) == (0, "retry", 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--ids", "1,x"], "x: ids of contacts at VoIPstudio are whole numbers"),
        (["--ids", ""], "nothing: ids of contacts at VoIPstudio are whole numbers"),
        (["--only", ""], "nothing: choose from contacts, notes, tasks, appointments"),
        (["--ids", "1", "--since", "2026-01-01"], "give either --ids or days"),
        (["--since", "2026-01-02", "--until", "2026-01-01"], "--since is after --until"),
        (["--since", "yesterday"], "yesterday"),
    ],
)
def test_slips_are_told_at_once(command: Make, arguments: list[str], says: str) -> None:
    ran = command("slips").run("backfill", "slips", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_a_run_that_somebody_suspends_in_the_ui_ends_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    async def held(*_given: object, **_more: object) -> None:
        raise Pause  # as the next task of a run does that was suspended

    monkeypatch.setitem(sys.modules, "flows.held", SimpleNamespace(held=held))
    nowhere = "http://127.0.0.1:9/api"
    before = signal.getsignal(signal.SIGTERM)
    try:
        with (
            mock.patch.dict(os.environ, {"PREFECT_API_URL": nowhere}),
            temporary_settings({PREFECT_API_URL: nowhere}),
            pytest.raises(VoipsyncError, match="somebody suspended this run in Prefect"),
        ):
            run_flow("held", "acme", {})
    finally:
        signal.signal(signal.SIGTERM, before)
