"""What the bootstrap makes of a real Prefect server, and that its automations do what they are for."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.__main__ import PROJECT, main
from deployments.automations import automations
from tasks.engine.changes import STATE
from tasks.engine.effects import Event
from tasks.events import SUSPENDED, emit
from tests.support.prefect_http import prefect_client


@pytest.fixture(scope="module")
def messages() -> Iterator[tuple[str, list[str]]]:
    """An address that takes alerts, and what was posted there."""
    got: list[str] = []

    class Inbox(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_given: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Inbox)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/alerts", got
    server.shutdown()
    server.server_close()


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


def deploy(api: str, *arguments: str, no_deploy: bool = True, **env: str) -> Ran:
    """``python -m deployments``, in this process: each of its own would import Prefect again."""
    out, err = io.StringIO(), io.StringIO()
    with (
        temporary_settings({PREFECT_API_URL: api}),
        mock.patch.dict(os.environ, {"PREFECT_API_URL": api, **env}),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            code = main([*["--no-deploy"] * no_deploy, *arguments])
        except SystemExit as ended:
            code = int(str(ended.code))
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def prepared(prefect_api: str, messages: tuple[str, list[str]]) -> Iterator[str]:
    """A server that was prepared twice."""
    _forget(prefect_api)  # other tests have a pool of this name, too
    for words in ("created", "updated"):
        done = deploy(prefect_api, VOIPSYNC_ALERTS_URL=messages[0])
        assert done.code == 0, done.err
        assert done.out.count(f": {words}") == len(automations(None)) + (words == "created")
        assert "nobody is alerted" not in done.out
        assert messages[0] not in done.out + done.err
    yield prefect_api
    _forget(prefect_api)


def _forget(prefect_api: str) -> None:
    """Take the pool and the automations away: these write at every event of the other tests' runs."""
    with prefect_client(prefect_api) as client:
        client.delete("/work_pools/voipsync")
        for one in client.post("/automations/filter", json={}).raise_for_status().json():
            client.delete(f"/automations/{one['id']}").raise_for_status()


def until(found: Callable[[], Any], seconds: float = 20.0) -> Any:
    end = time.monotonic() + seconds
    while not (one := found()):
        assert time.monotonic() < end
        time.sleep(0.2)
    return one


def test_there_is_one_of_each_and_what_was_paused_stays_so(prepared: str) -> None:
    with prefect_client(prepared) as client:
        found = client.post("/automations/filter", json={}).json()
        ours = [one for one in found if one["name"].startswith("voipsync: ")]
        assert sorted(one["name"] for one in ours) == sorted(one.name for one in automations(None))
        client.patch(f"/automations/{ours[0]['id']}", json={"enabled": False}).raise_for_status()
        assert deploy(prepared).code == 0
        assert client.get(f"/automations/{ours[0]['id']}").json()["enabled"] is False
        client.patch(f"/automations/{ours[0]['id']}", json={"enabled": True})
        kinds = {one["slug"] for one in client.post("/block_types/filter", json={}).json()}
    assert "sync-account" in kinds


def test_the_project_may_lie_elsewhere_for_those_who_run_it(prepared: str) -> None:
    ended = subprocess.CompletedProcess[str]([], 0)
    for arguments, folder in (((), str(PROJECT)), (("--directory", "/app"), "/app")):
        with mock.patch("deployments.__main__.subprocess.run", return_value=ended) as run:
            assert deploy(prepared, *arguments, no_deploy=False).code == 0
        assert run.call_args.kwargs["env"]["PWD"] == folder
        assert run.call_args.kwargs["cwd"] == PROJECT


def test_how_many_runs_there_may_be_at_a_time_is_the_pools(prepared: str) -> None:
    with prefect_client(prepared) as client:
        for arguments in (("--limit", "3"), ()):
            assert deploy(prepared, *arguments).code == 0
            assert client.get("/work_pools/voipsync").json()["concurrency_limit"] == 3
        client.patch("/work_pools/voipsync", json={"concurrency_limit": None}).raise_for_status()


def test_how_long_an_account_may_be_silent_is_configured(prepared: str) -> None:
    with prefect_client(prepared) as client:
        for env, seconds in (({"VOIPSYNC_STATE__SILENCE_MINUTES": "90"}, 5400.0), (dict[str, str](), 900.0)):
            assert deploy(prepared, **env).code == 0
            found = client.post("/automations/filter", json={}).json()
            (silence,) = (one for one in found if one["name"] == "voipsync: silence")
            assert silence["trigger"]["within"] == seconds


async def test_a_change_of_state_is_one_message(prepared: str, messages: tuple[str, list[str]]) -> None:
    one = Event(
        id=str(uuid4()),
        name=STATE,
        at=datetime.now(UTC),
        resource={"prefect.resource.id": "voipsync.account.acme", "prefect.resource.name": "acme"},
        location={"prefect.resource.id": "voipsync.location.x", "prefect.resource.role": "location"},
        payload={"account": "acme", "from": "ok", "to": "degraded", "message": "contacts: 2 rejected"},
    )
    with temporary_settings({PREFECT_API_URL: prepared}):
        await emit([one])
        await emit([one])
    await asyncio.to_thread(until, lambda: messages[1])
    await asyncio.sleep(1)
    assert messages[1] == ["voipsync: acme: degraded, was ok (contacts: 2 rejected)"]


async def test_a_schedule_has_runs(prepared: str) -> None:
    """With SQLAlchemy 2.1 the scheduler of Prefect 3.8 creates none."""
    with temporary_settings({PREFECT_API_URL: prepared}):
        async with get_client() as client:
            flow = await client.create_flow_from_name("scheduled")
            made = await client.create_deployment(
                flow, "scheduled", schedules=[{"schedule": {"interval": 3600}, "active": True}]
            )

            async def scheduled() -> int:
                body = {"deployments": {"id": {"any_": [str(made)]}}}
                answer = await client._client.post("/flow_runs/count", json=body)
                return int(answer.json())

            end = time.monotonic() + 30
            while not await scheduled():
                assert time.monotonic() < end, "the scheduler created no runs"
                await asyncio.sleep(0.5)
            await client.delete_deployment(made)


@pytest.mark.parametrize(
    ("arguments", "env", "told"),
    [
        (("--notify", "https://example.com"), {}, "must be ${NAME}"),
        (("--notify-block", "slack-webhook/nobody"), {}, "Prefect has no block slack-webhook/nobody"),
        (("--pool-type", "kubernetes"), {}, "is there and of type process"),
        ((), {"PREFECT_API_URL": ""}, "PREFECT_API_URL is not set"),
        (("--limit", "0"), {}, "argument --limit: '0' is no number from 1 up"),
        ((), {"VOIPSYNC_STATE__SILENCE_MINUTES": "no"}, "state.silence_minutes"),
    ],
)
def test_a_slip_is_one_line(
    prepared: str, arguments: tuple[str, ...], env: dict[str, str], told: str
) -> None:
    done = deploy(prepared, *arguments, **env)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert "Traceback" not in done.err


def test_dead_runs_are_ours_and_their_time_is_longer_than_three_heartbeats() -> None:
    dead = [one for one in automations(None) if "has crashed" in one.name]
    assert len(dead) == 2
    for one in dead:
        assert one.trigger.within >= timedelta(seconds=90)
        assert SUSPENDED in one.trigger.expect
        assert one.trigger.match_related["prefect.resource.role"] == ["flow"]
