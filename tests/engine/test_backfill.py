"""History in windows: what is chosen, what it costs, and that any ending leaves it to be continued."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tasks.engine import backfill as engine
from tasks.engine import estimate
from tasks.engine.backfill import open_backfill
from tasks.ledger import lease
from tasks.options import BackfillOptions
from tests.support.accounts import backfill, settings_of, sync
from tests.support.truth import check


def at(day):
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())


@pytest.fixture
def each(ledger_url, database):
    """A ledger on both databases, where their own ways with dates, transactions or leases matter."""
    return ledger_url


def person(box, number=1, **values):
    given = {"first_name": f"Person{number}", "last_name": "Smith", "email": f"person{number}@example.com"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def counts(report, entity):
    return {name: number for name, number in report.entities[entity].items() if number}


def names(box):
    return {row["firstName"] for row in box.contacts()}


class DeathError(Exception):
    """The process ends here."""


def dies_after(chunks):
    """What is called between chunks, until it raises."""
    left = iter(range(chunks))

    async def between():
        if next(left, None) is None:
            raise DeathError

    return between


@pytest.fixture
def small(monkeypatch):
    """Chunks of five contacts."""
    monkeypatch.setattr(engine, "FIRST", 5)
    monkeypatch.setattr(engine, "MOST", 5)


async def test_all_history_is_what_a_sync_brings_and_is_done_once(box, each):
    box.reset(contacts=12, burst=5000)
    report = await backfill(box, each)
    assert (report.mode, report.status) == ("backfill", "ok")
    assert check(box, each) == []
    box.reset_counters()
    again = await backfill(box, each)
    assert "this backfill was finished at" in again.warnings[0]
    assert (again.status, box.counters()["voipstudio"]["requests"]) == ("ok", 0)
    assert box.counters()["highlevel"]["requests"] == 0
    synced = await sync(box, each)
    assert (synced.status, box.writes()) == ("ok", {})
    restarted = await backfill(box, each, restart=True)
    assert (restarted.entities["contacts"]["created"], box.writes()) == (0, {})
    assert restarted.entities["contacts"]["unchanged"] == report.entities["contacts"]["created"]


async def test_contacts_and_activities_are_chosen_by_their_own_dates(box, each):
    old = person(box, 1, created_at=at("2024-01-10"))
    quiet = person(box, 2, created_at=at("2024-01-11"))
    new = person(box, 3, created_at=at("2025-03-01"))
    person(box, 4, created_at=at("2025-06-02"))
    person(box, 5, created_at=None)
    box.insert_source("notes", old, body="Before", created_at=at("2024-02-01"))
    box.insert_source("notes", old, body="Within", created_at=at("2025-03-03"))
    box.insert_source("notes", quiet, body="Before", created_at=at("2024-02-01"))
    box.insert_source(
        "appointments", new, title="Within", starts_at=at("2025-05-31"), created_at=at("2025-03-02")
    )
    box.insert_source(
        "appointments", new, title="After", starts_at=at("2025-06-01"), created_at=at("2025-03-02")
    )
    report = await backfill(box, each, since="2025-03-01", until="2025-05-31")
    assert (report.status, names(box)) == ("ok", {"Person1", "Person3"})
    assert [row["body"].partition("\n")[0] for row in box.notes()] == ["Within"]
    assert [row["title"] for row in box.appointments()] == ["Within"]
    assert counts(report, "notes") == {"read": 1, "created": 1}
    rest = await backfill(box, each, until="2025-02-28")
    assert (rest.status, names(box)) == ("ok", {"Person1", "Person2", "Person3", "Person5"})
    await sync(box, each)
    assert check(box, each) == []


async def test_days_may_reach_to_the_ends_of_the_calendar(box, url):
    person(box, created_at=at("2025-03-01"))
    report = await backfill(box, url, since="0001-01-01", until="9999-12-31")
    assert (report.status, names(box)) == ("ok", {"Person1"})


async def test_single_contacts_are_brought_whole(box, url):
    ids = [person(box, number) for number in range(3)]
    for one in ids:
        box.insert_source("notes", one, body="Said")
    report = await backfill(box, url, ids=[ids[1], 99])
    assert (names(box), len(box.notes())) == ({"Person1"}, 1)
    assert "contacts: 1 not found at the source by their ids: left as they are" in report.warnings
    box.reset_counters()
    await backfill(box, url, ids=[ids[2]], only=["contacts"])
    assert (names(box), box.writes()) == ({"Person1", "Person2"}, {"create-contact": 1})


async def test_what_cannot_be_read_is_told_and_left_to_the_sync(box, url):
    ids = [person(box, number) for number in range(3)]
    for one in ids:
        box.insert_source("notes", one, body="Said")
    box.fault("status", service="voipstudio", status=400, body={}, path=f"/contacts/{ids[1]}/notes")
    box.fault("status", service="voipstudio", status=400, body={}, path=f"/contacts/{ids[2]}$")
    report = await backfill(box, url)
    assert (report.status, len(box.contacts()), len(box.notes())) == ("degraded", 2, 1)
    assert "notes: the lists of 1 contacts could not be read" in report.warnings
    assert "contacts: 1 could not be read at the source: left as they are" in report.warnings
    box.clear_faults()
    assert (await sync(box, url)).status == "ok"
    assert check(box, url) == []


@pytest.mark.parametrize("status", [400, 404, 410])
async def test_whom_the_source_does_not_give_is_kept_counted_and_told(box, url, small, status):
    ids = [person(box, number) for number in range(12)]
    for one in (ids[0], ids[7]):
        box.insert_source("notes", one, body="Said")
        box.fault("status", service="voipstudio", status=status, body={}, path=f"/contacts/{one}$")
    report = await backfill(box, url)
    told = [one for one in report.warnings if "2 contacts were not given by the source" in one]
    assert (report.status, len(told), len(box.contacts())) == ("degraded", 1, 10)
    assert (await backfill(box, url)).status == "degraded"
    box.clear_faults()
    box.reset_counters()
    report = await backfill(box, url)
    assert (report.status, len(box.contacts()), len(box.notes())) == ("ok", 12, 2)
    assert box.counters()["voipstudio"]["operations"]["get-contact"] == 2
    again = await backfill(box, url)
    assert "this backfill was finished at" in again.warnings[0]
    assert check(box, url) == []


async def test_a_backfill_that_dies_goes_on_where_it_stopped_whatever_a_sync_does_meanwhile(box, each, small):
    box.reset(contacts=25, burst=5000)
    people = box.source("contacts")
    with pytest.raises(DeathError):
        await backfill(box, each, dies_after(3))
    some = len(box.contacts())
    assert 0 < some < 25
    box.edit_source("contacts", people[0]["id"], last_name="Renamed")
    person(box, 99)
    assert (await sync(box, each, only=("contacts",))).status == "ok"
    box.edit_source("contacts", people[-1]["id"], last_name="Renamed")
    with pytest.raises(DeathError):
        await backfill(box, each, dies_after(2))
    box.reset_counters()
    report = await backfill(box, each)
    assert (report.status, report.entities["contacts"]["created"]) == ("ok", 0)
    assert box.counters()["voipstudio"]["operations"].get("list-contacts", 0) == 0
    await sync(box, each)
    assert check(box, each) == []


async def test_a_sync_that_waits_goes_first(box, url, small, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.02)
    box.reset(contacts=15, burst=5000)
    box.options(highlevel={"latency": 0.02})
    ended = []

    async def run(name, work):
        ended.append((name, (await work).status))

    long = asyncio.create_task(run("backfill", backfill(box, url)))
    while len(box.contacts()) < 3:
        await asyncio.sleep(0.02)
    await run("sync", sync(box, url))
    await long
    assert ended == [("sync", "ok"), ("backfill", "ok")]
    assert check(box, url) == []


async def test_routes_fire_for_live_changes_alone(box, url):
    tagged = {"routes": [{"tag": "vip", "workflow": box.workflow_id}]}
    known = person(box, 0)
    await sync(box, url, mapping=tagged)
    person(box, 1, labels=["vip"])
    person(box, 2, labels=["vip"])
    box.fault("status", status=422, body={}, method="POST", path="/contacts/$", containing="person2@")
    box.edit_source("contacts", known, labels=["vip"])
    await backfill(box, url, mapping=tagged)
    assert names(box) == {"Person0", "Person1"}
    assert "enrol-in-workflow" not in box.writes()
    box.clear_faults()
    assert (await sync(box, url, mapping=tagged)).status == "ok"
    assert (names(box), box.writes()["enrol-in-workflow"]) == ({"Person0", "Person1", "Person2"}, 1)
    for number, one in enumerate(box.source("contacts")):
        box.edit_source("contacts", one["id"], labels=["vip", f"and {number}"])
    await sync(box, url, mapping=tagged)
    assert box.writes()["enrol-in-workflow"] == 1


@pytest.mark.parametrize("synced_before", [False, True])
async def test_routes_fire_where_that_is_asked_for(box, url, synced_before):
    tagged = {"routes": [{"tag": "vip", "workflow": box.workflow_id}]}
    if synced_before:
        await sync(box, url, mapping=tagged)
    person(box, 1, labels=["vip"])
    await backfill(box, url, routes=True, mapping=tagged)
    assert box.writes()["enrol-in-workflow"] == 1


async def test_what_it_will_cost_is_said_and_nothing_is_written(box, url, monkeypatch):
    monkeypatch.setattr(estimate, "SAMPLED_FROM", 10)
    monkeypatch.setattr(estimate, "SAMPLED", 25)
    box.reset(contacts=25, burst=5000)
    quota = {"requests": 10, "seconds": 1.0, "per_day": 1040, "daily_reserve": 1000}
    settings = settings_of(box, url, destination={"quota": quota})
    for _ in range(2):
        async with open_backfill("acme", BackfillOptions(estimate=True), settings) as work:
            assert not await work.survey()
            told = work.told
    assert told is not None
    assert box.counters()["highlevel"]["requests"] == 0
    activities = {name: len(box.source(name)) for name in ("notes", "tasks", "appointments")}
    sending = told.new + sum(activities.values())
    assert (told.contacts, told.new, told.activities) == (25, 25, activities)
    assert told.requests == {"source": 25 * 4, "destination": sending}
    assert sending / 10 <= told.seconds < sending / 10 + 10
    assert told.days == 1 + -(-(sending - 40) // 40)
    assert f"{sending:,} to HighLevel" in str(told)
    assert (await backfill(box, url, only=["contacts"])).status == "ok"


async def test_an_estimate_is_of_the_days_that_there_are(box, url):
    for number, day in enumerate((None, "2025-01-01", "2025-03-02")):
        person(box, number, created_at=day and at(day))
    async with open_backfill("acme", BackfillOptions(estimate=True), settings_of(box, url)) as work:
        await work.survey()
    assert (work.told.oldest, work.told.newest) == ("2025-01-01", "2025-03-02")
    assert work.told.windows == 1 + 3  # one for who has no date
    assert "3 contacts to look at, of 2025-01-01 to 2025-03-02, " in str(work.told)


@pytest.mark.parametrize("chunks", [0, 2])
async def test_one_that_is_asked_to_stop_or_to_wait_keeps_what_it_did(box, url, small, chunks):
    box.reset(contacts=15, burst=5000)
    async with open_backfill("acme", BackfillOptions(window=1000), settings_of(box, url)) as work:
        left = iter(range(chunks))

        async def between() -> None:
            if next(left, None) is None:
                work.halt("paused: it goes on when it is resumed")

        assert await work.survey()
        while (until := await work.next()) is not None:
            await work.fill(until, between)
        await work.steps.finish()
        report = await work.steps.conclude()
    assert (report.status, work.left) == ("ok", 15 - 5 * chunks)
    assert report.warnings[0] == "paused: it goes on when it is resumed"
    box.reset_counters()
    assert (await backfill(box, url)).status == "ok"
    assert check(box, url) == []


async def test_while_it_rests_the_location_is_free(box, each, small):
    box.reset(contacts=10, burst=5000)
    async with open_backfill("acme", BackfillOptions(), settings_of(box, each)) as work:

        async def others() -> None:
            assert (await sync(box, each, only=("contacts",))).status == "ok"

        assert await work.survey()
        await work.run.step_aside(others)
        while (until := await work.next()) is not None:
            await work.fill(until)
        await work.steps.finish()
        assert (await work.steps.conclude()).status == "ok"
    assert check(box, each) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"since": "2026-01-02", "until": "2026-01-01"},
        {"ids": [1], "since": "2026-01-01"},
        {"ids": [0]},
        {"window": 0},
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValidationError):
        BackfillOptions.model_validate(wrong)
