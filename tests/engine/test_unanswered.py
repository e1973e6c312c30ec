"""Writes that are not answered, or refused in part: what arrived is found out, and happens once."""

from __future__ import annotations

import pytest

from tasks.engine import settle
from tasks.engine.run import Run
from tests.engine.test_sync import counts, person
from tests.support.accounts import sync


@pytest.mark.parametrize("kind", ["commit_then_status", "commit_then_drop", "truncate"])
@pytest.mark.parametrize("allow_duplicates", [False, True])
async def test_a_write_whose_answer_is_lost_happens_once(box, url, kind, allow_duplicates):
    box.reset(contacts=0, burst=5000, allow_duplicates=allow_duplicates)
    for number in range(1, 6):
        person(box, number)
        box.insert_source("notes", number, body=f"Note of {number}")
        box.insert_source("tasks", number, title="Call", due_at="2026-12-01 10:00:00")
        box.insert_source("appointments", number, title="Visit", starts_at="2026-12-01 10:00:00")
    status = {"status": 502} if kind == "commit_then_status" else {}
    box.fault(kind, method="POST", path="/contacts/$|/notes$|/tasks$|/appointments$", **status)
    await sync(box, url)
    box.clear_faults()
    settled = await sync(box, url)
    assert settled.status == "ok"
    assert [len(rows) for rows in (box.contacts(), box.notes(), box.tasks(), box.appointments())] == [
        5,
        5,
        5,
        5,
    ]


async def test_a_write_that_was_not_applied_is_sent_again_in_the_same_run(box, url):
    number = person(box)
    box.insert_source("notes", number, body="Once")
    box.fault("drop", method="POST", path="/notes$", count=1)
    box.fault("status", method="POST", path="/contacts/$", status=503, count=1)
    report = await sync(box, url)
    assert report.status == "ok"
    assert (len(box.contacts()), len(box.notes())) == (1, 1)


@pytest.mark.parametrize("answer", [{"status": 500}, {"status": 503, "retry_after": 0.01}])
async def test_a_record_that_is_never_answered_does_not_stop_the_others(box, url, answer):
    for number in (1, 2, 3):
        person(box, number)
        box.insert_source("notes", number, body=f"Note of {number}")
    await sync(box, url)
    for note in box.source("notes"):
        box.edit_source("notes", note["id"], note["contact_id"], body="Changed")
    stuck = next(row for row in box.contacts() if row["email"] == "person2@example.com")
    box.fault("status", method="GET", path=f"/contacts/{stuck['id']}/notes/", **answer)
    report = await sync(box, url)
    assert counts(report, "notes") == {"read": 3, "updated": 2, "rejected": 1}
    box.clear_faults()
    mended = await sync(box, url)
    assert (mended.status, mended.entities["notes"]["updated"]) == ("ok", 1)


async def test_what_may_have_been_created_is_not_sent_again_while_nobody_can_say(box, url):
    number = person(box)
    await sync(box, url)
    box.insert_source("notes", number, body="Once")
    box.fault("commit_then_drop", method="POST", path="/notes$", count=1)
    box.fault("status", method="GET", path="/notes$", status=400)
    for _ in range(2):
        report = await sync(box, url)
        assert (report.status, report.entities["notes"]["unresolved"], len(box.notes())) == ("degraded", 1, 1)
    box.clear_faults()
    report = await sync(box, url)
    assert (report.status, report.entities["notes"]["recovered"], len(box.notes())) == ("ok", 1, 1)


@pytest.mark.parametrize(
    "refusal",
    [{"status": 400, "body": {"message": "No.", "statusCode": 400}}, {"status": 429, "retry_after": 0.01}],
)
async def test_a_refused_tag_does_not_make_our_own_name_a_persons(box, url, refusal):
    number = person(box)
    await sync(box, url)
    box.fault("status", method="POST", path="/tags$", **refusal)
    box.edit_source("contacts", number, first_name="Second", labels=["lead"])
    assert (await sync(box, url)).status == "degraded"
    box.clear_faults()
    box.edit_source("contacts", number, first_name="Third")
    assert (await sync(box, url)).status == "ok"
    assert (box.contacts()[0]["firstName"], box.contacts()[0]["tags"]) == ("Third", ["lead"])


async def test_what_an_adoption_filled_before_it_was_refused_is_no_persons(box, url):
    box.insert("contacts", firstName="Ann", email="person1@example.com")
    number = person(box, first_name="Ann", last_name="Lee", labels=["lead"])
    box.fault("status", method="POST", path="/tags$", status=400, body={"message": "No.", "statusCode": 400})
    assert (await sync(box, url)).status == "degraded"
    box.clear_faults()
    box.edit_source("contacts", number, last_name="Lea")
    assert (await sync(box, url)).status == "ok"
    assert [(row["lastName"], row["tags"]) for row in box.contacts()] == [("Lea", ["lead"])]


async def test_what_was_asked_for_shortly_before_an_absence_means_something_is_asked_for_again(
    box, url, monkeypatch
):
    number = person(box)
    await sync(box, url)
    box.insert_source("notes", number, body="Once")
    box.fault("commit_then_drop", method="POST", path="/notes$", count=1)
    box.fault("status", method="GET", path="/notes$", status=400)
    await sync(box, url)
    box.clear_faults()
    box.fault("status", method="GET", path="/notes$", status=200, body={"notes": []}, count=1)
    now, ask, ahead = Run.now, settle._absent, iter([90.0])
    passed = 0.0

    async def slowly(*asked):
        nonlocal passed
        absent = await ask(*asked)
        passed += next(ahead, 0.0)
        return absent

    monkeypatch.setattr(Run, "now", lambda run: now(run) + 20.0 + passed)
    monkeypatch.setattr(settle, "_absent", slowly)
    report = await sync(box, url, destination={"settle_seconds": 100.0})
    assert (report.status, report.entities["notes"]["recovered"], len(box.notes())) == ("ok", 1, 1)


@pytest.mark.parametrize("entity", ["contacts", "notes"])
async def test_a_change_without_an_answer_is_remembered_while_nobody_can_look(box, url, monkeypatch, entity):
    monkeypatch.setattr("tasks.transport._BACKOFF", lambda _: 0.01)
    number = person(box)
    note = box.insert_source("notes", number, body="Zero")["id"]
    place, name = ((number,), "last_name") if entity == "contacts" else ((note, number), "body")
    path = "/contacts/[^/]+$" if entity == "contacts" else "/notes/"
    await sync(box, url)
    box.edit_source(entity, *place, **{name: "One"})
    box.fault("commit_then_status", method="PUT", path=path, status=502)
    box.fault("status", method="GET", path=path, status=400, after=1)
    assert (await sync(box, url)).status == "degraded"
    box.clear_faults()
    box.edit_source(entity, *place, **{name: "Two"})
    assert (await sync(box, url)).status == "ok"
    assert box.contacts()[0]["lastName"] == ("Two" if entity == "contacts" else "Smith")
    assert box.notes()[0]["body"].startswith("Two" if entity == "notes" else "Zero")


async def test_a_change_that_may_have_arrived_before_it_was_throttled_is_remembered(box, url):
    number = person(box)
    note = box.insert_source("notes", number, body="Zero")["id"]
    await sync(box, url)
    box.edit_source("notes", note, number, body="One")
    box.fault("commit_then_drop", method="PUT", path="/notes/", count=1)
    box.fault("status", method="PUT", path="/notes/", status=429, retry_after=0.01)
    await sync(box, url)
    box.clear_faults()
    box.edit_source("notes", note, number, body="Two")
    assert (await sync(box, url)).status == "ok"
    assert box.notes()[0]["body"].startswith("Two")
