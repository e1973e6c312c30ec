"""Contacts that vanish at the source: tagged, deleted or left, and what happens when they return."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from tasks import transport
from tasks.ledger.database import opened
from tasks.ledger.tables import records
from tests.support.accounts import CONTACTS_ALONE, sync

DELETE, TAG = {"deletes": "delete"}, {"deletes": "tag", "delete_tag": "Gone at VoIP"}
BY_ID = "/contacts/[0-9]+$"


def person(box, number=1, **values):
    given = {"first_name": f"Person{number}", "email": f"person{number}@example.com"}
    return box.insert_source("contacts", **{**given, "id": number, **values})["id"]


def people(box, number):
    for index in range(1, number + 1):
        person(box, index)


def with_note(box, number, **values):
    person(box, number, **values)
    box.insert_source("notes", number, body=f"Note of {number}")


async def vanish(box, url, *numbers, **sections):
    """The first complete read without them, in which nothing happens yet."""
    for number in numbers:
        box.delete_source("contacts", number)
    before = box.state("highlevel")
    report = await sync(box, url, **sections)
    assert (report.status, box.state("highlevel")) == ("ok", before)


def states(url, entity="contacts"):
    query = select(records.c.source_id, records.c.state).where(records.c.entity == entity)
    with opened(url) as database:
        return {row.source_id: row.state for row in database.now_look(lambda one: one.execute(query).all())}


def said(report, words):
    return any(words in warning for warning in report.warnings)


def names(box):
    return sorted(row["firstName"] for row in box.contacts())


async def quiet(box, url, **sections):
    box.reset_counters()
    report = await sync(box, url, **sections)
    assert (report.status, box.counters()["highlevel"]["requests"]) == ("ok", 0)


@pytest.fixture
def impatient(monkeypatch):
    """One attempt a request, so that an answer that is lost is lost at once."""
    monkeypatch.setattr(transport, "ATTEMPTS", 1)


@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
async def test_what_two_complete_reads_miss_is_deleted(box, url, version):
    sections = {"mapping": DELETE, "destination": {"api_version": version}}
    for number in (1, 2, 3):
        with_note(box, number)
    await sync(box, url, **sections)
    await vanish(box, url, 2, **sections)
    report = await sync(box, url, **sections)
    assert (report.status, report.entities["contacts"]["deleted"]) == ("ok", 1)
    assert (names(box), len(box.notes())) == (["Person1", "Person3"], 2)
    assert states(url) == {"1": "synced", "2": "gone", "3": "synced"}
    assert states(url, "notes") == {"1/1": "synced", "2/2": "gone", "3/3": "synced"}
    await quiet(box, url, **sections)


@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
async def test_a_tag_says_that_it_vanished_and_goes_when_it_returns(box, url, version):
    sections = {"mapping": TAG, "destination": {"api_version": version}}
    with_note(box, 1, labels=["lead"])
    person(box, 2)
    await sync(box, url, **sections)
    row = box.source("contacts")[0]
    await vanish(box, url, 1, **sections)
    report = await sync(box, url, **sections)
    assert (report.status, report.entities["contacts"]["deleted"]) == ("ok", 1)
    assert said(report, "1 vanished at the source and tagged so")
    (there,) = (one for one in box.contacts() if one["firstName"] == "Person1")
    assert (sorted(there["tags"]), len(box.notes())) == (["gone at voip", "lead"], 1)
    await quiet(box, url, **sections)
    box.edit("contacts", there["id"], tags=[*there["tags"], "vip"])
    box.insert_source("contacts", **{**row, "labels": ["lead"]})
    box.insert_source("notes", 1, id=1, body="Note of 1")
    report = await sync(box, url, **sections)
    assert report.status == "ok"
    assert sorted(box.contact(there["id"])["tags"]) == ["lead", "vip"]
    assert (len(box.contacts()), len(box.notes())) == (2, 1)
    await quiet(box, url, **sections)


async def test_a_tag_that_a_person_set_before_or_took_away_is_theirs(box, url):
    people(box, 3)
    await sync(box, url, mapping=TAG)
    ids = {row["firstName"]: row["id"] for row in box.contacts()}
    box.edit("contacts", ids["Person1"], tags=["gone at voip"])
    await vanish(box, url, 1, 2, mapping={**TAG, "max_delete_percent": 100}, accept_fewer=True)
    await sync(box, url, mapping=TAG)
    box.edit("contacts", ids["Person2"], tags=[])
    people(box, 2)
    report = await sync(box, url, mapping=TAG)
    assert report.status == "ok"
    assert [box.contact(ids[f"Person{number}"])["tags"] for number in (1, 2, 3)] == [["gone at voip"], [], []]
    assert set(states(url).values()) == {"synced"}


async def test_ignored_costs_nothing(box, url):
    people(box, 3)
    await sync(box, url)
    box.delete_source("contacts", 2)
    box.reset_counters()
    for _ in range(3):
        assert (await sync(box, url)).status == "ok"
    counters = box.counters()
    assert (counters["highlevel"]["requests"], len(box.contacts())) == (0, 3)
    assert "get-contact" not in counters["voipstudio"]["operations"]
    assert (await sync(box, url, mapping=DELETE)).entities["contacts"]["deleted"] == 1


@pytest.mark.parametrize("allow_duplicates", [False, True])
async def test_what_was_deleted_and_returns_is_created_anew_with_all_it_has(box, url, allow_duplicates):
    box.options(location={"allow_duplicates": allow_duplicates})
    with_note(box, 1)
    person(box, 2)
    await sync(box, url, mapping=DELETE, source={"activity_scan": "recent"})
    row = box.source("contacts")[0]
    await vanish(box, url, 1, mapping=DELETE, source={"activity_scan": "recent"})
    await sync(box, url, mapping=DELETE, source={"activity_scan": "recent"})
    assert (names(box), box.notes()) == (["Person2"], [])
    box.insert_source("contacts", **row)
    box.insert_source("notes", 1, id=1, body="Note of 1")
    report = await sync(box, url, mapping=DELETE, source={"activity_scan": "recent"})
    assert (report.status, report.entities["contacts"]["created"]) == ("ok", 1)
    assert (names(box), len(box.notes())) == (["Person1", "Person2"], 1)
    await quiet(box, url, mapping=DELETE, source={"activity_scan": "recent"})


async def test_one_that_somebody_else_made_is_left(box, url):
    box.insert("contacts", firstName="Person1", email="person1@example.com")
    people(box, 3)
    await sync(box, url, mapping=DELETE)
    await vanish(box, url, 1, mapping=DELETE)
    await quiet(box, url, mapping=DELETE)
    assert len(box.contacts()) == 3


async def test_one_that_another_source_contact_is_linked_to_stays_until_that_is_gone_too(box, url):
    person(box, 1, email="same@example.com")
    person(box, 2, email="same@example.com", first_name="Person1")
    for number in range(3, 7):
        person(box, number)
    await sync(box, url, mapping=DELETE)
    assert len(box.contacts()) == 5
    await vanish(box, url, 1, mapping=DELETE)
    await quiet(box, url, mapping=DELETE)
    await vanish(box, url, 2, mapping=DELETE)
    report = await sync(box, url, mapping=DELETE)
    assert (report.status, report.entities["contacts"]["deleted"], len(box.contacts())) == ("ok", 1, 4)
    assert (states(url)["1"], states(url)["2"]) == ("gone", "gone")


async def test_both_return(box, url):
    person(box, 1, email="same@example.com", first_name="Same")
    person(box, 2, email="same@example.com", first_name="Same")
    for number in range(3, 7):
        person(box, number)
    await sync(box, url, mapping=TAG)
    rows = [row for row in box.source("contacts") if row["id"] in (1, 2)]
    await vanish(box, url, 1, 2, mapping=TAG)
    await sync(box, url, mapping=TAG)
    assert [row["tags"] for row in box.contacts() if row["firstName"] == "Same"] == [["gone at voip"]]
    box.insert_source("contacts", **rows[1])
    await sync(box, url, mapping=TAG)
    assert [row["tags"] for row in box.contacts() if row["firstName"] == "Same"] == [[]]
    box.insert_source("contacts", **rows[0])
    assert (await sync(box, url, mapping=TAG)).status == "ok"
    assert [row["tags"] for row in box.contacts() if row["firstName"] == "Same"] == [[]]


async def test_one_that_a_person_deleted_before_is_left_so(box, url):
    people(box, 3)
    await sync(box, url, mapping=DELETE)
    row = box.source("contacts")[0]
    box.delete("contacts", next(one["id"] for one in box.contacts() if one["firstName"] == "Person1"))
    await vanish(box, url, 1, mapping=DELETE)
    report = await sync(box, url, mapping=DELETE)
    assert (report.status, report.entities["contacts"]["deleted"]) == ("ok", 0)
    box.insert_source("contacts", **row)
    await sync(box, url, mapping=DELETE)
    assert names(box) == ["Person2", "Person3"]


@pytest.mark.parametrize("left", [0, 4])
async def test_an_empty_or_collapsed_source_deletes_nothing(box, url, left):
    unlimited = {**DELETE, "max_deletes": 100, "max_delete_percent": 100}
    for number in range(1, 11):
        with_note(box, number)
    await sync(box, url, mapping=unlimited)
    rows = box.source("contacts")
    for number in range(left + 1, 11):
        box.delete_source("contacts", number)
    if left:
        box.delete_source("notes", 1, 1)
    for _ in range(3):
        report = await sync(box, url, mapping=unlimited)
        assert (report.status, len(box.contacts()), len(box.notes())) == ("degraded", 10, 10)
        assert said(report, f"lists {left} contacts, less than half of the 10")
    for row in rows[left:-1]:
        box.insert_source("contacts", **row)
    report = await sync(box, url, mapping=unlimited)
    assert (report.status, len(box.contacts())) == ("ok", 10)
    report = await sync(box, url, mapping=unlimited)
    assert (report.status, len(box.contacts())) == ("ok", 9)


async def test_where_contacts_are_ignored_a_collapsed_source_is_told(box, url):
    for number in range(1, 6):
        with_note(box, number)
    await sync(box, url)
    for number in range(2, 6):
        box.delete_source("contacts", number)
    box.delete_source("notes", 1, 1)
    report = await sync(box, url)
    assert (report.status, len(box.notes()), said(report, "less than half")) == ("ok", 5, True)
    report = await sync(box, url, accept_fewer=True)
    assert (report.status, len(box.contacts()), len(box.notes())) == ("ok", 5, 4)


async def test_a_source_that_shrank_on_purpose_is_accepted(box, url):
    unlimited = {**DELETE, "max_deletes": 100, "max_delete_percent": 100}
    people(box, 10)
    await sync(box, url, mapping=unlimited)
    for number in range(5, 11):
        box.delete_source("contacts", number)
    report = await sync(box, url, mapping=unlimited)
    assert said(report, "--accept-fewer")
    report = await sync(box, url, mapping=unlimited, accept_fewer=True)
    assert (report.status, len(box.contacts())) == ("ok", 10)
    report = await sync(box, url, mapping=unlimited)
    assert (report.status, report.entities["contacts"]["deleted"], len(box.contacts())) == ("ok", 6, 4)


@pytest.mark.parametrize(
    ("delivered", "gone", "limits", "goes"),
    [
        (19, 9, {}, True),
        (20, 1, {}, True),
        (20, 2, {}, False),
        (60, 25, {"max_delete_percent": 100}, True),
        (60, 26, {"max_delete_percent": 100}, False),
        (3, 1, {"max_deletes": 0}, False),
        (19, 2, {"max_deletes": 1, "deletes": "tag"}, False),
    ],
)
async def test_too_many_at_once_are_taken_for_a_mistake(box, url, delivered, gone, limits, goes):
    people(box, delivered)
    sections = {"mapping": {**DELETE, **limits}, "source": CONTACTS_ALONE}
    await sync(box, url, **sections)
    await vanish(box, url, *range(1, gone + 1), **sections)
    box.reset_counters()
    report = await sync(box, url, **sections)
    assert report.entities["contacts"]["deleted"] == (gone if goes else 0)
    assert len(box.contacts()) == delivered - (gone if goes else 0)
    assert report.status == ("ok" if goes else "degraded")
    if not goes:
        assert box.counters()["highlevel"]["requests"] == 0
        assert said(report, f"contacts: {gone} are missing at the source")
        assert said(report, "raise accounts.acme.mapping.max_deletes")


async def test_a_disturbed_walk_counts_for_nothing(box, url):
    people(box, 30)
    few = {"source": {**CONTACTS_ALONE, "page_size": 10}, "mapping": {**DELETE, "max_delete_percent": 100}}
    await sync(box, url, **few)
    box.delete_source("contacts", 15)
    for _ in range(3):
        box.options(voipstudio={"disturbances": [{"page": 2, "do": "insert", "where": "last"}]})
        report = await sync(box, url, **few)
        assert said(report, "changed while it was read")
        assert report.entities["contacts"]["deleted"] == 0
    assert (await sync(box, url, **few)).entities["contacts"]["deleted"] == 0
    assert (await sync(box, url, **few)).entities["contacts"]["deleted"] == 1


@pytest.mark.parametrize("only", [("notes",), ("tasks", "appointments")])
async def test_a_run_without_contacts_deletes_none(box, url, only):
    people(box, 3)
    await sync(box, url, mapping=DELETE)
    box.delete_source("contacts", 2)
    for _ in range(3):
        assert (await sync(box, url, only=only, mapping=DELETE)).status == "ok"
    assert len(box.contacts()) == 3


async def test_one_that_the_source_still_answers_for_is_not_gone(box, url):
    people(box, 3)
    await sync(box, url, mapping=DELETE)
    await vanish(box, url, 2, mapping=DELETE)
    box.fault("status", service="voipstudio", path="/contacts/2$", status=200, body={"data": {"id": 2}})
    for _ in range(3):
        assert (await sync(box, url, mapping=DELETE)).status == "ok"
    assert (len(box.contacts()), states(url)["2"]) == (3, "synced")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/contacts/2$", 500, "could not be asked"),
        ("/contacts/2$", 400, "could not be asked"),
        (BY_ID, 404, "asked for by its id"),
        (BY_ID, 500, "asked for by its id"),
    ],
)
async def test_where_the_source_cannot_say_nothing_is_deleted(box, url, path, status, words):
    people(box, 3)
    await sync(box, url, mapping=DELETE)
    await vanish(box, url, 2, mapping=DELETE)
    box.fault("status", service="voipstudio", path=path, status=status, body={"message": "No"})
    report = await sync(box, url, mapping=DELETE)
    assert (report.status, len(box.contacts()), said(report, words)) == ("degraded", 3, True)
    box.clear_faults()
    assert (await sync(box, url, mapping=DELETE)).entities["contacts"]["deleted"] == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("mapping", [DELETE, TAG])
@pytest.mark.parametrize("kind", ["commit_then_status", "status"])
async def test_an_answer_that_is_lost_is_settled(box, url, mapping, kind):
    with_note(box, 1)
    person(box, 2)
    person(box, 3)
    await sync(box, url, mapping=mapping)
    await vanish(box, url, 1, mapping=mapping)
    (there,) = (row["id"] for row in box.contacts() if row["firstName"] == "Person1")
    box.fault(kind, method="DELETE,POST", path=f"/contacts/{there}(/tags)?$", status=502)
    box.fault("status", method="GET", path="/contacts/", after=1, status=400, body={"message": "Later."})
    report = await sync(box, url, mapping=mapping)
    assert (report.status, report.entities["contacts"]["unresolved"]) == ("degraded", 1)
    box.clear_faults()
    report = await sync(box, url, mapping=mapping)
    assert report.status == "ok"
    assert states(url) == {"1": "gone", "2": "synced", "3": "synced"}
    tagged = [row["firstName"] for row in box.contacts() if row["tags"]]
    assert (names(box), tagged) == (
        (["Person2", "Person3"], [])
        if mapping is DELETE
        else (["Person1", "Person2", "Person3"], ["Person1"])
    )
    await quiet(box, url, mapping=mapping)


async def test_one_that_carries_anothers_id_by_now_is_left(box, url):
    people(box, 3)
    await sync(box, url, mapping=DELETE)
    (there,) = (row for row in box.contacts() if row["firstName"] == "Person1")
    (field,) = (row["id"] for row in there["customFields"] if row["value"] == "1")
    box.edit("contacts", there["id"], customFields={field: "77"})
    await vanish(box, url, 1, mapping=DELETE)
    report = await sync(box, url, mapping=DELETE)
    assert (report.status, len(box.contacts()), said(report, "another's id")) == ("ok", 3, True)
    await quiet(box, url, mapping=DELETE)


@pytest.mark.parametrize("mapping", [{}, DELETE])
async def test_what_is_refused_of_one_that_vanished_is_no_longer_open(box, url, mapping):
    people(box, 4)
    box.insert_source("notes", 1, body="Note of 1")
    await sync(box, url, mapping=mapping)
    box.edit_source("contacts", 1, last_name="Refused")
    box.edit_source("notes", 1, 1, body="Refused")
    box.insert_source("notes", 1, body="Refused as well")
    row = box.source("contacts")[0]
    box.fault("status", method="POST,PUT", containing="Refused", status=400, body={"message": "No."})
    assert (await sync(box, url, mapping=mapping)).entities["notes"]["rejected"] == 2
    box.clear_faults()
    box.delete_source("contacts", 1)
    assert (await sync(box, url, mapping=mapping)).status == "degraded"
    report = await sync(box, url, mapping=mapping)
    assert (report.status, len(box.contacts())) == ("ok", 3 if mapping else 4)
    box.insert_source("contacts", **row)
    box.insert_source("notes", 1, id=1, body="Refused")
    box.insert_source("notes", 1, id=2, body="Refused as well")
    assert (await sync(box, url, mapping=mapping)).status == "ok"
    assert [one.get("lastName") for one in box.contacts() if one["firstName"] == "Person1"] == ["Refused"]
    assert sorted(note["body"].split("\n")[0] for note in box.notes()) == ["Refused", "Refused as well"]
