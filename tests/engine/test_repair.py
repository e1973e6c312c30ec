"""What mends the deviations: planned, carried out by `apply` and by nothing else; never a guess."""

from __future__ import annotations

import pytest

from tests.engine.test_identity import person, there
from tests.support.accounts import sync
from tests.support.planning import apply
from tests.support.verifying import deviations, verify

EVERYTHING = ("contacts", "notes", "tasks", "appointments")
TIMES = {"starts_at": 1_767_400_000, "ends_at": 1_767_403_600}


async def repaired(box, url, sections=None, **options):
    """A complete verification whose repair is planned; nothing is written by it."""
    box.reset_counters()
    report = await verify(box, url, sections, scope="all", only=EVERYTHING, repair=True, **options)
    assert box.writes() == {}
    return report


async def mended(box, url, report, **sections):
    """What the plan of a repair writes."""
    box.reset_counters()
    applied = await apply(box, url, report.plan.plan_id, **sections)
    assert applied.status == "ok", applied.warnings
    return box.writes()


async def clean(box, url, sections=None):
    """Neither a verification nor a sync finds anything to do."""
    report = await verify(box, url, sections, scope="all", only=EVERYTHING)
    assert (report.status, deviations(report)) == ("ok", {})
    box.reset_counters()
    await sync(box, url, **(sections or {}))
    assert box.writes() == {}


async def test_missing_activities_are_created_anew(box, url):
    ann = person(box, "Ann")
    box.insert_source("notes", ann, body="first")
    box.insert_source("notes", ann, body="second")
    box.insert_source("tasks", ann, title="Call back", due_at=1_767_400_000)
    box.insert_source("appointments", ann, title="Meeting", status="confirmed", **TIMES)
    await sync(box, url)
    box.delete("notes", box.notes()[0]["id"])
    box.delete("tasks", box.tasks()[0]["id"])
    box.delete("appointments", box.appointments()[0]["id"])
    report = await repaired(box, url)
    assert (report.plan.kind, report.left) == ("repair", [])
    assert await mended(box, url, report) == {"create-note": 1, "create-task": 1, "create-appointment": 1}
    assert sorted(row["body"].split("\n")[0] for row in box.notes()) == ["first", "second"]
    await clean(box, url)


async def test_a_deleted_contact_is_left_and_told(box, url):
    ann = person(box, "Ann")
    box.insert_source("notes", ann, body="called")
    await sync(box, url)
    contact_id = there(box, "Ann")["id"]
    box.delete("contacts", contact_id)
    report = await repaired(box, url)
    assert report.plan is None
    (sentence,) = report.left
    assert sentence.startswith(
        f"contacts {ann}, {contact_id}: deleted in HighLevel by somebody, and left so "
    )
    assert "--recreate" in sentence


@pytest.mark.parametrize("configured", [True, False])
@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
async def test_a_deleted_contact_comes_back_with_its_activities_where_that_is_wanted(
    box, url, configured, version
):
    mapping = {"default_country": "GB", "deleted_contacts": "recreate" if configured else "leave"}
    sections = {"mapping": mapping, "destination": {"api_version": version}}
    ann = person(box, "Ann", labels=["vip"])
    box.insert_source("notes", ann, body="called")
    box.insert_source("tasks", ann, title="Call back", due_at=1_767_400_000)
    await sync(box, url, **sections)
    box.delete("contacts", there(box, "Ann")["id"])
    report = await repaired(box, url, sections, recreate=not configured)
    writes = await mended(box, url, report, **sections)
    assert writes == {"create-contact": 1, "create-note": 1, "create-task": 1}
    assert (there(box, "Ann")["tags"], len(box.notes()), len(box.tasks())) == (["vip"], 1, 1)
    await clean(box, url, sections)


async def test_a_contact_that_was_merged_is_told_and_not_created_anew(box, url):
    ann = person(box, "Ann")
    person(box, "Bob")
    box.insert_source("notes", ann, body="called")
    await sync(box, url)
    lost, kept = there(box, "Ann")["id"], there(box, "Bob")["id"]
    box.merge(kept, lost)
    report = await repaired(box, url, recreate=True)
    assert report.plan is None
    assert [sentence.partition(":")[0] for sentence in report.left] == [
        f"contacts {ann}, {lost} ({kept})",
        f"notes {ann}/1, {box.notes()[0]['id']}",
    ]


async def test_only_fields_that_the_source_keeps_equal_are_written_again(box, url):
    fields = {"city": {"source": "group_name", "policy": "source"}}
    sections = {"mapping": {"default_country": "GB", "fields": fields}}
    ann, bob = person(box, "Ann", group_name="York"), person(box, "Bob", group_name="York")
    box.insert_source("notes", bob, body="called")
    await sync(box, url, **sections)
    at = {name: there(box, name)["id"] for name in ("Ann", "Bob")}
    box.edit("contacts", at["Ann"], city="Hull", lastName="Married")
    box.edit("contacts", at["Bob"], lastName="Fry")
    box.edit("notes", box.notes()[0]["id"], body="somebody wrote over it")
    report = await repaired(box, url, sections)
    assert await mended(box, url, report, **sections) == {"update-contact": 1}
    after = box.contact(at["Ann"])
    assert (after["city"], after["lastName"], box.contact(at["Bob"])["lastName"]) == (
        "York",
        "Married",
        "Fry",
    )
    assert box.notes()[0]["body"] == "somebody wrote over it"
    assert sorted(report.left) == [
        f"contacts {ann}, {at['Ann']} (lastName): a person's edit stands",
        f"contacts {bob}, {at['Bob']} (lastName): a person's edit stands",
        f"notes {bob}/1, {box.notes()[0]['id']} (body): a person's edit stands",
    ]


async def test_what_is_there_too_often_or_unknown_is_told_and_left(box, url):
    ann = person(box, "Ann")
    box.insert_source("notes", ann, body="called")
    await sync(box, url)
    contact_id, note = there(box, "Ann")["id"], box.notes()[0]
    twin = box.insert("contacts", firstName="Anna", email="ann@example.com")["id"]
    copy = box.insert("notes", contact_id, body=note["body"])["id"]
    box.delete("notes", note["id"])
    stray = box.insert("notes", contact_id, body=note["body"].replace(f"note {ann}/1", "note 99/9"))["id"]
    report = await repaired(box, url)
    assert report.plan is None
    assert [sentence.split(": ")[0] for sentence in report.left] == [
        f"contacts {ann}, {twin}",
        f"notes {ann}/1, {note['id']}",
        f"notes {ann}/1, {copy}",
        f"notes 99/9, {stray}",
    ]


async def test_without_deviations_there_is_nothing_to_plan(box, url):
    person(box, "Ann")
    await sync(box, url)
    report = await repaired(box, url)
    assert (report.status, report.plan, report.left) == ("ok", None, [])
    assert report.as_json()["plan"] is None
