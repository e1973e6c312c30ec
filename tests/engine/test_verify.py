"""What a verification finds: everything that is not as it was written, and nothing else."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import create_engine, text

from tests.engine.test_identity import person, there
from tests.support.accounts import sync
from tests.support.verifying import deviations, told, verify, verify_all

EVERYTHING = ("contacts", "notes", "tasks", "appointments")
LINE = "+442079460001"


def field_id(box, label="VoIPstudio ID"):
    (found,) = [one["id"] for one in box.state("highlevel", "custom_fields") if one["name"] == label]
    return found


def with_everything(box, name, **values):
    """A source contact with one activity of each kind; its id."""
    number = person(box, name, **values)
    box.insert_source("notes", number, body=f"{name} called")
    box.insert_source("tasks", number, title="Call back", body="soon", due_at=1_767_400_000)
    times = {"starts_at": 1_767_400_000, "ends_at": 1_767_403_600}
    box.insert_source("appointments", number, title="Meeting", status="confirmed", **times)
    return str(number)


def marked(box, contact_id):
    """The text of the first note of a contact."""
    return box.notes(contact_id)[0]["body"]


def records_of(url):
    """The ledger's records, but for when a verification looked at them."""
    engine = create_engine(url)
    with engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM records ORDER BY entity, source_id"))
        found = [{**row._mapping, "checked": None} for row in rows]
    engine.dispose()
    return found


@pytest.mark.parametrize(("version", "allow_duplicates"), [("v3", True), ("2021-07-28", False)])
async def test_after_a_sync_nothing_deviates(box, url, version, allow_duplicates):
    box.reset(contacts=25, burst=5000, allow_duplicates=allow_duplicates, mirrored=8, strangers=5)
    sections = {"destination": {"api_version": version}}
    await sync(box, url, **sections)
    before = records_of(url)
    box.reset_counters()
    report = await verify_all(box, url, *EVERYTHING, sections=sections)
    assert (report.status, deviations(report)) == ("ok", {})
    assert {entity: one["checked"] for entity, one in report.entities.items()} == {
        entity: one["written"] for entity, one in report.entities.items()
    }
    assert report.entities["contacts"]["written"] > 18
    assert box.counters()["highlevel"]["operations"]["search-contacts"] == 1
    report = await verify(box, url, sections=sections, sample=10)
    assert (report.status, deviations(report), report.entities["contacts"]["checked"]) == ("ok", {}, 10)
    assert report.confidence.startswith("no deviation among 10 of 2")
    assert box.writes() == {}
    assert records_of(url) == before


@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
@pytest.mark.parametrize("scope", ["all", "sample"])
async def test_everything_that_deviates_is_found_and_told_by_id(box, url, version, scope):
    sections = {"destination": {"api_version": version}}
    ann, bob, cy, di = (with_everything(box, name) for name in ("Ann", "Bob", "Cy", "Di"))
    await sync(box, url, **sections)
    at = {name: there(box, name)["id"] for name in ("Ann", "Bob", "Cy", "Di")}
    box.delete("contacts", at["Ann"])
    box.edit("contacts", at["Bob"], lastName="Married", email="bob@new.example.com")
    ((note,), (task,), (meeting,)) = box.notes(at["Bob"]), box.tasks(at["Bob"]), box.appointments(at["Bob"])
    box.edit("notes", note["id"], body="somebody wrote this over it")
    box.delete("tasks", task["id"])
    box.edit("appointments", meeting["id"], title="Elsewhere")
    twin = box.insert("contacts", firstName="Cyrus", email="cy@example.com")["id"]
    copy, stray = (box.insert("contacts", firstName=name)["id"] for name in ("Copy", "Stray"))
    for contact_id, source_id in ((copy, cy), (stray, "999")):
        box.edit("contacts", contact_id, customFields={field_id(box): source_id})
    second = box.insert("notes", at["Cy"], body=marked(box, at["Cy"]))["id"]
    foreign = box.insert("notes", at["Di"], body=marked(box, at["Cy"]))["id"]
    unknown = box.insert("notes", at["Di"], body=marked(box, at["Di"]).replace(f"note {di}/", "note 999/"))
    other = box.insert("notes", at["Di"], body=marked(box, at["Cy"]).replace("acme", "other"))["id"]
    box.reset_counters()
    report = await verify(box, url, sections, scope=scope, only=EVERYTHING)
    assert box.writes() == {}
    assert report.status == "degraded"
    assert sorted(told(report, "missing")) == sorted([(ann, at["Ann"]), (f"{bob}/2", task["id"])])
    assert sorted(told(report, "edited")) == sorted(
        [
            (bob, at["Bob"], "lastName", "email"),
            (f"{bob}/2", note["id"], "body"),
            (f"{bob}/2", meeting["id"], "title"),
        ]
    )
    duplicated = [(cy, twin, "email"), (cy, copy, "id"), (f"{cy}/3", second), (f"{cy}/3", foreign)]
    assert sorted(told(report, "duplicated")) == sorted(duplicated)
    strangers = [("999", stray)] if scope == "all" else []  # a sample is one of ours
    orphaned = [*strangers, ("999/4", unknown["id"])]
    assert sorted(told(report, "orphaned")) == sorted(orphaned)
    assert {(one["entity"], one["contact_id"]) for one in report.deviations if one["kind"] == "detached"} == {
        (entity, at["Ann"]) for entity in EVERYTHING[1:]
    }
    said = json.dumps(report.as_json())
    assert [
        word for word in ("bob@new.example.com", "Married", "wrote this", "Elsewhere", other) if word in said
    ] == []
    assert all(one["remedy"] for one in report.deviations)


async def test_a_sample_says_of_how_many_it_was_drawn(box, url):
    for number in range(8):
        person(box, f"P{number}")
    await sync(box, url)
    for row in box.contacts()[:4]:
        box.edit("contacts", row["id"], firstName="Edited")
    report = await verify(box, url, sample=8)
    assert report.confidence == "4 deviations among all 8 contacts"
    report = await verify(box, url, sample=1)
    assert report.entities["contacts"]["checked"] == 1
    edited = deviations(report).get(("contacts", "edited"), 0)
    assert report.confidence.startswith("1 of 1 contacts deviate" if edited else "no deviation among 1 of 8")


async def test_what_stands_by_rule_is_no_deviation(box, url):
    fields = {"city": {"source": "group_name", "policy": "fill"}, "lastName": {"policy": "source"}}
    mapping = {"mapping": {"default_country": "GB", "fields": fields}}
    kept = box.insert("contacts", firstName="Anna", email="ann@example.com", city="Leeds", lastName="Fry")
    person(box, "Ann", group_name="York", company="Old")
    bob = person(box, "Bob", group_name="York", company="Old")
    await sync(box, url, **mapping)
    bobs = there(box, "Bob")["id"]
    box.edit_source("contacts", bob, company="New")
    await sync(box, url, **mapping)
    box.edit("contacts", bobs, city="Hull")
    report = await verify_all(box, url, sections=mapping)
    assert (report.status, deviations(report)) == ("ok", {})
    assert any("2 hold somebody else's value" in one for one in report.warnings)
    box.edit("contacts", kept["id"], lastName="Changed")  # which the source keeps equal
    box.edit("contacts", bobs, city=None, firstName="Rob")
    report = await verify_all(box, url, sections=mapping)
    assert sorted(told(report, "edited")) == [("1", kept["id"], "lastName"), ("2", bobs, "firstName", "city")]


async def test_two_source_contacts_of_one_person_owe_each_other_nothing(box, url):
    person(box, "Ann", email="ann@example.com", labels=["one"])
    person(box, "Anna", email="ann@example.com", labels=["two"], mobile="07700900123")
    await sync(box, url)
    assert len(box.contacts()) == 1
    report = await verify_all(box, url)
    assert (report.status, deviations(report)) == ("ok", {})
    (row,) = box.contacts()
    box.edit("contacts", row["id"], tags=["one"])
    report = await verify_all(box, url)
    assert told(report, "edited") == [("2", row["id"], "tags")]


async def test_people_who_share_a_line_are_no_duplicates(box, url):
    box.reset(contacts=0, burst=5000, allow_duplicates=True)
    person(box, "Ann", tel="02079460001")
    await sync(box, url)
    box.insert("contacts", firstName="Zoe", phone=LINE, email="zoe@example.com")
    assert deviations(await verify_all(box, url)) == {}
    box.insert("contacts", firstName="Ann", phone=LINE)
    report = await verify_all(box, url)
    assert [one[0::2] for one in told(report, "duplicated")] == [("1", "phone")]


async def test_what_is_open_is_left_aside_and_counted(box, url):
    box.insert("contacts", firstName="Zoe", lastName="Fry", email="zoe@example.com", phone=LINE)
    person(box, "Ann", email=None, tel="02079460001")
    person(box, "Bob")
    await sync(box, url)
    report = await verify_all(box, url)
    counts = report.entities["contacts"]
    assert (report.status, counts["written"], counts["checked"], counts["aside"]) == ("ok", 1, 1, 1)


async def test_where_nothing_was_written_there_is_nothing_to_verify(box, url):
    box.reset_counters()
    report = await verify(box, url)
    assert (report.status, box.counters()["highlevel"]["requests"]) == ("ok", 0)
    assert report.warnings == [
        "nothing to verify: no contact of acme was written yet; run voipsync sync acme"
    ]
