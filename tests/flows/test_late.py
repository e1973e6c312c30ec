"""Scheduled runs that meet: late ones become one, and none waits where its work is being done."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from uuid import UUID

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running, Scheduled

from sandbox.serve import Sandbox
from tasks.engine.status import sync_under_way
from tasks.engine.steps import open_steps
from tasks.late import server_time, superseded
from tasks.options import SyncOptions
from tests.support.accounts import settings_of
from tests.support.command import Command

INCREMENTAL, FULL = SyncOptions(wait_seconds=20), SyncOptions(mode="full", wait_seconds=20)


async def test_whose_work_a_sync_under_way_does(tmp_path: Path) -> None:
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        settings = settings_of(box, f"sqlite:///{tmp_path}/ledger.db")
        account = settings.account("acme")

        def other(name: str = "acme") -> str | None:
            return sync_under_way(settings.state, name, account)

        assert other() is None  # there is no ledger yet
        async with open_steps("acme", INCREMENTAL, settings) as steps:
            assert other() == steps.run.id
            assert other("another") is None
            await steps.conclude()
        assert other() is None
        async with open_steps("acme", FULL, settings) as steps:
            assert other() is None  # it steps aside

            async def waits() -> str:
                async with open_steps("acme", INCREMENTAL, settings) as late:
                    await late.conclude()
                    return late.run.id

            waiting = asyncio.create_task(waits())
            while (found := other()) is None:
                await asyncio.sleep(0.05)
            await steps.conclude()
        assert await waiting == found
        assert other() is None


async def test_late_runs_of_a_schedule_are_collapsed_and_a_persons_are_not(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        made = Command(tmp_path).configure(box)
        for name, value in made.env.items():
            if name.startswith("VOIPSYNC"):
                monkeypatch.setenv(name, value)
        monkeypatch.setenv("VOIPSYNC_CONFIG", str(made.path))
        monkeypatch.setattr("tasks.late.LOST_SECONDS", 5.0)
        with temporary_settings({PREFECT_API_URL: prefect_api}):
            async with get_client() as client:
                flow = await client.create_flow_from_name("late")
                every = {"schedule": {"interval": 1}, "active": True}
                deployment = await client.create_deployment(flow, "late", schedules=[every])
                monkeypatch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", str(deployment))
                ago = Scheduled(scheduled_time=datetime.now(UTC) - timedelta(minutes=5))
                own = await client.create_flow_run_from_deployment(deployment, state=ago)
                dead = [
                    await client.create_flow_run_from_deployment(
                        deployment, parameters={"account": name}, state=ago
                    )
                    for name in ("acme", "another")
                ]
                for one in dead:
                    began = Running()
                    await client.set_flow_run_state(one.id, began, force=True)
                ours = FlowRunFilter.model_validate({"deployment_id": {"any_": [deployment]}})

                taken = set[UUID]()

                async def due() -> list[str]:
                    found = await client.read_flow_runs(flow_run_filter=ours, limit=200)
                    return [
                        one.state.name
                        for one in found
                        if one.state and one.expected_start_time and one.expected_start_time < started
                        if one.auto_scheduled and one.id not in taken
                    ]

                async def now(identity: UUID) -> str:
                    found = (await client.read_flow_run(identity)).state
                    return found.name or "" if found else ""

                started = datetime.now(UTC) + timedelta(hours=1)
                until = time.monotonic() + 30
                while not await due() and time.monotonic() < until:
                    await asyncio.sleep(0.3)
                await asyncio.sleep(6)  # they have come due, and the dead are lost
                started = datetime.now(UTC).replace(microsecond=0)  # the server tells whole seconds
                found = await client.read_flow_runs(flow_run_filter=ours, limit=200)
                ready = [one for one in found if one.auto_scheduled and one.expected_start_time]
                ready.sort(key=lambda one: one.expected_start_time or started)
                taken.update(one.id for one in ready[:2])
                for one_id in taken:
                    await client.set_flow_run_state(one_id, Running(), force=True)
                ended = []
                for one in ready[:2]:
                    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__ID", str(one.id))
                    state = await superseded("acme", SyncOptions(overlap="skip"))
                    ended.append(state.name if state else None)
                assert ended == ["Skipped", None]
                monkeypatch.delenv("PREFECT__RUNTIME__FLOW_RUN__ID")
                assert await superseded("acme", SyncOptions()) is None
                assert await superseded("acme", SyncOptions(overlap="skip")) is None
                until = time.monotonic() + 20  # the server may store a run after its time has come
                while "Scheduled" in await due() and time.monotonic() < until:
                    assert await superseded("acme", SyncOptions(overlap="skip")) is None
                assert set(await due()) == {"Collapsed"}
                assert await now(own.id) in ("Scheduled", "Late")
                assert [await now(one.id) for one in dead] == ["Crashed", "Running"]
                await client.delete_deployment(deployment)


class Ahead(datetime):
    """This machine's clock, an hour ahead."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:
        return datetime.now(tz) + timedelta(hours=1)


async def test_what_is_due_is_said_by_prefects_own_clock(
    prefect_api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.late.datetime", Ahead)
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        async with get_client() as client:
            assert abs(await server_time(client) - datetime.now(UTC)) < timedelta(seconds=10)
