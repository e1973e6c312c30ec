"""A long job lets the live sync go first, between two batches; and a run that is to stop does so soon."""

from __future__ import annotations

import asyncio

import pytest

from tasks.engine.opening import open_run
from tasks.engine.run import Run, Stopped
from tasks.engine.steps import open_steps, turn
from tasks.ledger import lease
from tasks.options import SyncOptions
from tests.support.accounts import settings_of, sync
from tests.support.truth import check


async def test_a_full_sync_steps_aside_for_an_incremental_one(box, url, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.02)
    box.reset(contacts=150, activities=False, burst=5000)
    box.options(highlevel={"latency": 0.05})
    ended = []

    async def run(mode):
        report = await sync(box, url, mode=mode, destination={"concurrency": 8})
        ended.append((mode, report.status))

    long = asyncio.create_task(run("full"))
    while len(box.contacts()) < 10:
        await asyncio.sleep(0.02)
    await run("incremental")
    await long
    assert ended == [("incremental", "ok"), ("full", "ok")]
    emails = [row["email"] for row in box.contacts() if row.get("email")]
    assert len(emails) == len(set(emails))
    assert box.counters()["highlevel"]["operations"]["create-contact"] == len(box.contacts())


async def test_what_a_full_sync_finds_refused_is_told_although_another_one_went_first(box, url, monkeypatch):
    for number in (1, 2):
        box.insert_source("contacts", first_name=f"Person{number}", email=f"person{number}@example.com")
    box.fault("status", status=422, body={}, method="POST", path="/contacts/$", containing="person2@")
    assert (await sync(box, url)).status == "degraded"
    step_aside, left = Run.step_aside, iter([True])

    async def live_sync():
        assert (await sync(box, url)).status == "degraded"

    async def stepping(run, meanwhile=None):
        await step_aside(run, live_sync if run.full and next(left, False) else meanwhile)

    monkeypatch.setattr(Run, "step_aside", stepping)
    report = await sync(box, url, mode="full")
    assert (report.status, report.entities["contacts"]["rejected"]) == ("degraded", 1)


async def test_who_stands_in_line_ends_where_that_is_asked_for(box, url):
    settings = settings_of(box, url)
    async with open_run("acme", settings, SyncOptions(mode="full")) as long:

        async def meanwhile():
            async with open_run("acme", settings, SyncOptions()):
                long.stop("stopped by a test")

        with pytest.raises(Stopped, match="stopped by a test"):
            await long.step_aside(meanwhile)
    assert (await sync(box, url)).status == "ok"


@pytest.mark.parametrize("path", ["/contacts/$", "/notes$"])
async def test_who_is_asked_to_stop_waits_for_no_service_that_is_silent(box, url, monkeypatch, path):
    monkeypatch.setattr("tasks.engine.run.LAST_SECONDS", 0.2)
    number = box.insert_source("contacts", first_name="Ann", email="ann@example.com")["id"]
    box.insert_source("notes", number, body="Said")
    box.fault("hang", service="highlevel", method="POST", path=path)
    async with open_steps("acme", SyncOptions(), settings_of(box, url)) as steps:
        turning = asyncio.create_task(turn(steps))
        while not box.faults()[0]["fired"]:
            await asyncio.sleep(0.01)
        steps.run.stop("stopped by a test")
        async with asyncio.timeout(5):
            with pytest.raises(Stopped, match="stopped by a test"):
                await turning
    box.clear_faults()
    assert (await sync(box, url)).status == "ok"
    assert (len(box.contacts()), len(box.notes())) == (1, 1)


async def test_who_is_asked_to_stop_waits_for_no_quota_that_is_spent(box, url, monkeypatch):
    monkeypatch.setattr("tasks.engine.run.LAST_SECONDS", 0.2)
    box.reset(contacts=40, burst=5000)
    scarce = {"requests": 12, "seconds": 4.0, "cap": 12}
    async with open_steps(
        "acme", SyncOptions(), settings_of(box, url, destination={"quota": scarce})
    ) as steps:
        turning = asyncio.create_task(turn(steps))
        while box.counters()["highlevel"]["requests"] < 12:
            await asyncio.sleep(0.01)
        steps.run.stop("stopped by a test")
        async with asyncio.timeout(2):
            with pytest.raises(Stopped, match="stopped by a test"):
                await turning
        assert box.counters()["highlevel"]["requests"] == 12
    assert (await sync(box, url)).status == "ok"
    assert check(box, url) == []


async def test_what_another_run_has_read_later_is_not_undone_by_who_stepped_aside(box, url, monkeypatch):
    number = box.insert_source("contacts", first_name="Ann", last_name="Zero", email="ann@example.com")["id"]
    kept, gone = (box.insert_source("notes", number, body="Zero")["id"] for _ in range(2))
    assert (await sync(box, url)).status == "ok"
    box.edit_source("contacts", number, last_name="One")
    box.edit_source("notes", kept, number, body="One")
    step_aside, left = Run.step_aside, iter([True])

    async def live_sync():
        box.edit_source("contacts", number, last_name="Two")
        box.edit_source("notes", kept, number, body="Two")
        box.delete_source("notes", gone, number)
        assert (await sync(box, url)).status == "ok"

    async def stepping(run, meanwhile=None):
        await step_aside(run, live_sync if run.full and next(left, False) else meanwhile)

    monkeypatch.setattr(Run, "step_aside", stepping)
    assert (await sync(box, url, mode="full")).status == "ok"
    assert box.contacts()[0]["lastName"] == "Two"
    assert [note["body"].partition("\n")[0] for note in box.notes()] == ["Two"]
    box.reset_counters()
    assert (await sync(box, url)).status == "ok"
    assert box.writes() == {}
