"""A sync as its user sees it: what is at the destination afterwards, and what it cost in writes."""

from __future__ import annotations

import pytest

from tests.support.accounts import sync


def person(box, number=1, **values):
    """A contact at the source."""
    given = {"first_name": f"Person{number}", "last_name": "Smith", "email": f"person{number}@example.com"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def counts(report, entity):
    return {name: number for name, number in report.entities[entity].items() if number}


def writes(box):
    return sum(number for name, number in box.writes().items() if name != "create-custom-field")


async def test_a_whole_account_arrives_and_the_second_run_writes_nothing(box, url):
    box.reset(contacts=20, burst=5000)
    several = {"page_size": 6}
    first = await sync(box, url, source=several)
    assert first.status == "ok"
    for entity in first.entities:
        counted = counts(first, entity)
        assert counted["read"] == counted["created"] + counted.get("skipped", 0)
    assert len(box.contacts()) == first.entities["contacts"]["created"]
    box.reset_counters()
    second = await sync(box, url, source=several)
    assert (second.status, box.counters()["highlevel"]["requests"]) == ("ok", 0)
    for entity in second.entities:
        counted = counts(second, entity)
        assert counted["read"] == counted["unchanged"] + counted.get("skipped", 0)


async def test_eight_changes_are_eight_writes(box, url):
    box.reset(contacts=15, burst=5000)
    await sync(box, url)
    linked = {row["email"] for row in box.contacts() if row.get("email")}
    changing = [row for row in box.source("contacts") if (row.get("email") or "").lower() in linked][:5]
    for row in changing:
        box.edit_source("contacts", row["id"], last_name="Renamed")
    task = next(row for row in box.source("tasks") if not row.get("completed"))
    box.edit_source("tasks", task["id"], task["contact_id"], completed=True)
    note = box.source("notes")[0]
    box.edit_source("notes", note["id"], note["contact_id"], body="Edited at the source")
    visit = box.source("appointments")[0]
    box.edit_source(
        "appointments",
        visit["id"],
        visit["contact_id"],
        starts_at=visit["starts_at"] + 3600,
        ends_at=visit["starts_at"] + 7200,
    )
    box.reset_counters()
    report = await sync(box, url)
    assert report.status == "ok"
    assert box.writes() == {
        "update-contact": 5,
        "complete-task": 1,
        "update-note": 1,
        "update-appointment": 1,
    }
    assert [report.entities[entity]["updated"] for entity in report.entities] == [5, 1, 1, 1]
    box.reset_counters()
    await sync(box, url)
    assert box.writes() == {}


@pytest.mark.parametrize("allow_duplicates", [False, True])
async def test_after_a_lost_ledger_everything_is_adopted(box, url, tmp_path, allow_duplicates):
    box.reset(contacts=12, burst=5000, allow_duplicates=allow_duplicates, destination={"lag": 30})
    first = await sync(box, url)
    before = box.state("highlevel")
    box.reset_counters()
    again = await sync(box, f"sqlite:///{tmp_path}/another.db", destination={"search_lag_seconds": 60})
    assert again.status == "ok"
    assert box.writes() == {}
    for entity in first.entities:
        assert again.entities[entity]["adopted"] == first.entities[entity]["created"]
    assert box.state("highlevel") == before


async def test_a_change_after_a_lost_ledger_still_arrives(box, url, tmp_path):
    number = person(box)
    note = box.insert_source("notes", number, body="First words")
    await sync(box, url)
    other = f"sqlite:///{tmp_path}/another.db"
    await sync(box, other)
    box.edit_source("notes", note["id"], number, body="Second words")
    await sync(box, other)
    assert box.notes()[0]["body"].startswith("Second words\n")


async def test_a_bad_row_is_refused_alone(box, url):
    person(box, 1)
    person(box, 2, first_name={"not": "a name"})
    person(box, 3)
    report = await sync(box, url)
    assert report.status == "degraded"
    assert counts(report, "contacts") == {"read": 3, "created": 2, "rejected": 1}
    box.edit_source("contacts", 2, first_name="Ann")
    mended = await sync(box, url)
    assert (mended.status, counts(mended, "contacts")) == ("ok", {"read": 3, "created": 1, "unchanged": 2})


async def test_a_refused_contact_keeps_its_children_waiting_and_they_follow(box, url):
    number = person(box)
    box.insert_source("notes", number, body="Later")
    box.fault(
        "status", method="POST", path="/contacts/$", status=400, body={"message": "No.", "statusCode": 400}
    )
    refused = await sync(box, url)
    assert refused.status == "degraded"
    assert (counts(refused, "contacts"), counts(refused, "notes")) == (
        {"read": 1, "rejected": 1},
        {"read": 1, "waiting": 1},
    )
    box.clear_faults()
    accepted = await sync(box, url)
    assert accepted.status == "ok"
    assert (counts(accepted, "contacts"), counts(accepted, "notes")) == (
        {"read": 1, "created": 1},
        {"read": 1, "created": 1},
    )


async def test_people_who_share_a_phone_stay_apart(box, url):
    person(box, 1, tel="02079460001")
    person(box, 2, tel="02079460001")
    person(box, 3, tel="02079460001")
    report = await sync(box, url)
    assert (report.status, report.entities["contacts"]["created"]) == ("ok", 3)
    phones = sorted(row.get("phone") or "" for row in box.contacts())
    assert phones == ["", "", "+442079460001"]
    kept = [value["value"] for row in box.contacts() for value in row["customFields"]]
    assert kept.count("+442079460001") == 2
    box.reset_counters()
    box.edit_source("contacts", 2, last_name="Other")
    await sync(box, url)
    assert box.writes() == {"update-contact": 1}


async def test_the_same_person_twice_at_the_source_is_one_contact(box, url):
    person(box, 1, email="same@example.com", labels=["red"])
    person(box, 2, email="Same@Example.com", labels=["blue"])
    report = await sync(box, url)
    assert counts(report, "contacts") == {"read": 2, "created": 1, "adopted": 1}
    assert [sorted(row["tags"]) for row in box.contacts()] == [["blue", "red"]]


async def test_an_existing_contact_is_adopted_and_only_filled(box, url):
    theirs = box.insert("contacts", firstName="Anna", email="anna@example.com", tags=["vip"])
    person(box, 1, first_name="Anne", last_name="Lee", email="anna@example.com", labels=["lead"])
    report = await sync(box, url)
    assert counts(report, "contacts") == {"read": 1, "adopted": 1}
    there = box.contact(theirs["id"])
    assert (there["firstName"], there["lastName"], sorted(there["tags"])) == ("Anna", "Lee", ["lead", "vip"])


async def test_a_phone_alone_is_adopted_only_where_names_agree(box, url):
    same = box.insert("contacts", firstName="Bo", lastName="Ek", phone="+442079460001")
    other = box.insert("contacts", firstName="Cy", lastName="Fry", phone="+442079460002")
    person(box, 1, first_name="bo", last_name="ek", email=None, tel="02079460001")
    person(box, 2, first_name="Di", last_name="Gray", email="di@example.com", tel="02079460002")
    person(box, 3, first_name="Ed", last_name="Hall", email=None, tel="02079460002")
    report = await sync(box, url)
    assert counts(report, "contacts") == {"read": 3, "adopted": 1, "created": 1, "ambiguous": 1}
    assert report.status == "degraded"
    assert len(box.contacts()) == 3
    assert box.contact(same["id"])["customFields"]
    assert not box.contact(other["id"])["customFields"]


async def test_a_persons_edits_stand(box, url):
    number = person(box, labels=["lead"])
    note = box.insert_source("notes", number, body="Ours")
    await sync(box, url)
    contact, there = box.contacts()[0], box.notes()[0]
    box.edit("contacts", contact["id"], lastName="Married", tags=["lead", "gold"])
    box.edit("notes", there["id"], body="Corrected by a person")
    box.edit_source("contacts", number, first_name="Newname", labels=["won"])
    box.edit_source("notes", note["id"], number, body="Changed at the source")
    report = await sync(box, url)
    after = box.contact(contact["id"])
    assert (after["firstName"], after["lastName"], sorted(after["tags"])) == (
        "Newname",
        "Married",
        ["gold", "won"],
    )
    assert box.notes()[0]["body"] == "Corrected by a person"
    assert any("left as a person wrote it" in warning for warning in report.warnings)


async def test_what_a_person_deleted_stays_deleted(box, url):
    for number in (1, 2):
        person(box, number)
        box.insert_source("notes", number, body="Text")
    await sync(box, url)
    gone = next(row for row in box.contacts() if row["email"] == "person1@example.com")
    box.delete("contacts", gone["id"])
    box.delete("notes", box.notes()[0]["id"])
    box.edit_source("contacts", 1, last_name="Changed")
    for note in box.source("notes"):
        box.edit_source("notes", note["id"], note["contact_id"], body="Changed")
    report = await sync(box, url)
    assert (len(box.contacts()), len(box.notes())) == (1, 0)
    assert any("deleted at the destination" in warning for warning in report.warnings)
    assert report.status == "ok"


async def test_only_some_entities(box, url):
    number = person(box)
    box.insert_source("notes", number, body="Text")
    only = await sync(box, url, only=("contacts",))
    assert (len(box.contacts()), len(box.notes()), counts(only, "notes")) == (1, 0, {})
    await sync(box, url, only=("notes",))
    assert len(box.notes()) == 1


async def test_no_calendar_means_no_appointments(box, url):
    number = person(box)
    box.insert_source("appointments", number, title="Visit", starts_at="2026-12-01 10:00:00")
    report = await sync(box, url, destination={"calendar_id": None})
    assert (report.status, box.appointments()) == ("ok", [])
    assert any("calendar_id" in warning for warning in report.warnings)


async def test_an_account_without_activity_endpoints_has_stand_ins(box, url):
    box.options(voipstudio={"streams": {"notes": False, "tasks": False, "appointments": False}})
    number = person(box, notes="Remember the dog", next_call_at="2026-12-01 10:00:00")
    report = await sync(box, url)
    assert report.status == "ok"
    assert box.notes()[0]["body"].startswith("Remember the dog\n")
    assert box.tasks()[0]["dueDate"].startswith("2026-12-01T10:00")
    box.edit_source("contacts", number, notes="Remember the cat")
    await sync(box, url)
    assert [note["body"].split("\n")[0] for note in box.notes()] == ["Remember the cat"]


async def test_a_stream_that_is_lost_degrades_and_is_not_replaced(box, url):
    number = person(box, notes="Free text")
    box.insert_source("notes", number, body="A note")
    await sync(box, url)
    box.options(voipstudio={"streams": {"notes": False}})
    report = await sync(box, url)
    assert report.status == "degraded"
    assert len(box.notes()) == 1


async def test_full_mode_maps_everything_again_and_writes_nothing(box, url):
    box.reset(contacts=8, burst=5000)
    await sync(box, url)
    box.reset_counters()
    report = await sync(box, url, mode="full")
    assert (report.status, box.writes()) == ("ok", {})
    assert (
        report.entities["notes"]["unchanged"]
        == report.entities["notes"]["read"] - report.entities["notes"]["skipped"]
    )


@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
async def test_both_api_versions(box, url, version):
    box.reset(contacts=12, burst=5000)
    report = await sync(box, url, destination={"api_version": version})
    assert report.status == "ok"


async def test_an_appointment_keeps_the_status_that_a_person_set(box, url):
    number = person(box)
    visit = box.insert_source(
        "appointments", number, title="Visit", starts_at="2026-12-01 10:00:00", status="new"
    )
    await sync(box, url)
    box.edit("appointments", box.appointments()[0]["id"], appointmentStatus="showed")
    box.edit_source("appointments", visit["id"], number, title="Long visit")
    await sync(box, url)
    there = box.appointments()[0]
    assert (there["title"], there["appointmentStatus"]) == ("Long visit", "showed")


async def test_times_are_instants_of_the_accounts_zone(box, url):
    box.options(voipstudio={"zone": "America/New_York"})
    number = person(box)
    box.insert_source("tasks", number, title="Call", due_at="2026-07-01 09:00:00")
    await sync(box, url, source={"timezone": "America/New_York"})
    assert box.tasks()[0]["dueDate"].startswith("2026-07-01T13:00")


async def test_a_poison_record_is_kept_and_delivered_when_the_cause_is_gone(box, url):
    for number in range(1, 11):
        person(box, number)
        box.insert_source("notes", number, body="poison" if number == 4 else "fine")
    box.fault("status", method="POST", path="/notes$", containing="poison", status=500)
    first = await sync(box, url)
    assert (first.status, first.entities["notes"]["created"]) == ("degraded", 9)
    second = await sync(box, url)
    assert (second.status, second.entities["notes"]["rejected"]) == ("degraded", 1)
    box.clear_faults()
    third = await sync(box, url)
    assert (third.status, len(box.notes())) == ("ok", 10)


async def test_the_days_budget_ends_a_run_early_and_says_so(box, url):
    box.reset(contacts=0, burst=5000, daily=20)
    for number in range(1, 31):
        person(box, number)
    short = await sync(box, url, destination={"quota": {"per_day": 20, "daily_reserve": 5}})
    assert short.status == "degraded"
    assert "day" in short.warnings[0]
    assert box.counters()["highlevel"]["requests"] <= 15
    box.options(location={"daily": 100_000})
    box.advance(86400)
    assert (await sync(box, f"{url}x")).status == "ok"
    assert len(box.contacts()) == 30
