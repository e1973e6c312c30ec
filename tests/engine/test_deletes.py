"""Notes, tasks and appointments that vanish at the source, and what is left of them at the destination."""

from __future__ import annotations

import itertools

import pytest
from sqlalchemy import select

from tasks import transport
from tasks.ledger.database import opened
from tasks.ledger.tables import records
from tests.support.accounts import sync

ENTITIES = ("notes", "tasks", "appointments")
EVERYTHING = {"max_deletes": 1000, "max_delete_percent": 100}
RECENT = {"activity_scan": "recent"}


def person(box, number=1, **values):
    given = {"first_name": f"Person{number}", "email": f"person{number}@example.com"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def busy(box, number=1):
    """A person with one of each."""
    person(box, number)
    return {
        "notes": box.insert_source("notes", number, body="Said")["id"],
        "tasks": box.insert_source("tasks", number, title="Call", due_at="2026-12-01 10:00:00")["id"],
        "appointments": box.insert_source(
            "appointments", number, title="Visit", starts_at="2026-12-01 10:00:00", status="new"
        )["id"],
    }


def with_notes(box, number):
    """So many notes at the source, of few people; each with whose it is."""
    people = [person(box, index) for index in (1, 2, 3)]
    owners = itertools.islice(itertools.cycle(people), number)
    return [
        (box.insert_source("notes", owner, body=f"Note {index}")["id"], owner)
        for index, owner in enumerate(owners)
    ]


def there(box):
    return [len(rows) for rows in (box.notes(), box.tasks(), box.appointments())]


def deleted(report):
    return [report.entities[entity]["deleted"] for entity in ENTITIES]


def states(url, entity):
    query = select(records.c.source_id, records.c.state).where(records.c.entity == entity)
    with opened(url) as database:
        return {row.source_id: row.state for row in database.now_look(lambda one: one.execute(query).all())}


def said(report, words):
    return any(words in warning for warning in report.warnings)


@pytest.fixture
def impatient(monkeypatch):
    """One attempt a request, so that an answer that is lost is lost at once."""
    monkeypatch.setattr(transport, "ATTEMPTS", 1)


async def quiet(box, url, **sections):
    """One more run, which asks the destination nothing."""
    box.reset_counters()
    report = await sync(box, url, **sections)
    assert (report.status, box.counters()["highlevel"]["requests"]) == ("ok", 0)
    return report


@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
@pytest.mark.parametrize("status", [404, 400])
async def test_what_vanishes_is_deleted(box, url, version, status):
    box.options(highlevel={"missing_child_status": status})
    ids, options = busy(box), {"destination": {"api_version": version}}
    busy(box, 2)
    await sync(box, url, **options)
    for entity, number in ids.items():
        box.delete_source(entity, number, 1)
    report = await sync(box, url, **options)
    assert (report.status, deleted(report), there(box)) == ("ok", [1, 1, 1], [1, 1, 1])
    assert states(url, "notes") == {"1/1": "gone", "2/2": "synced"}
    await quiet(box, url, **options)


async def test_what_a_person_edited_stays_and_is_asked_for_once(box, url):
    ids = busy(box)
    await sync(box, url)
    box.edit("notes", box.notes()[0]["id"], body=box.notes()[0]["body"] + "\nCalled back")
    box.edit("tasks", box.tasks()[0]["id"], completed=True)
    box.edit("appointments", box.appointments()[0]["id"], address="At her office")
    before = box.state("highlevel")
    for entity, number in ids.items():
        box.delete_source(entity, number, 1)
    box.reset_counters()
    report = await sync(box, url)
    assert (report.status, deleted(report), box.writes()) == ("ok", [0, 0, 0], {})
    assert sum("as a person edited it" in warning for warning in report.warnings) == 3
    await quiet(box, url)
    box.insert_source("notes", 1, id=ids["notes"], body="Said")
    await sync(box, url)
    assert box.state("highlevel") == before


async def test_how_an_editor_stores_a_text_is_no_edit(box, url):
    ids = busy(box)
    await sync(box, url)
    lines = box.notes()[0]["body"].split("\n")
    box.edit("notes", box.notes()[0]["id"], body="".join(f"<p>{line}</p>" for line in lines))
    box.delete_source("notes", ids["notes"], 1)
    report = await sync(box, url)
    assert (deleted(report), box.notes()) == ([1, 0, 0], [])


async def test_what_a_person_deleted_before_stays_so_when_it_returns(box, url):
    ids = busy(box)
    await sync(box, url)
    box.delete("notes", box.notes()[0]["id"])
    box.delete_source("notes", ids["notes"], 1)
    report = await sync(box, url)
    assert (report.status, deleted(report), states(url, "notes")) == ("ok", [0, 0, 0], {"1/1": "gone"})
    box.insert_source("notes", 1, id=ids["notes"], body="Said")
    await sync(box, url)
    assert box.notes() == []


async def test_what_returns_is_written_anew(box, url):
    ids = busy(box)
    await sync(box, url)
    box.delete_source("notes", ids["notes"], 1)
    await sync(box, url)
    assert box.notes() == []
    box.insert_source("notes", 1, id=ids["notes"], body="Said again")
    report = await sync(box, url)
    assert (report.status, report.entities["notes"]["created"]) == ("ok", 1)
    assert box.notes()[0]["body"].startswith("Said again\n")
    await quiet(box, url)


async def test_ignored_costs_nothing_and_is_found_when_it_no_longer_is(box, url):
    ids = busy(box)
    await sync(box, url)
    box.delete_source("notes", ids["notes"], 1)
    await quiet(box, url, mapping={"activity_deletes": "ignore"})
    assert there(box) == [1, 1, 1]
    assert deleted(await sync(box, url)) == [1, 0, 0]


async def test_only_the_entities_of_the_run(box, url):
    ids = busy(box)
    await sync(box, url)
    for entity, number in ids.items():
        box.delete_source(entity, number, 1)
    await sync(box, url, only=("tasks",))
    assert there(box) == [1, 0, 1]


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 400, "body": {"message": "No"}},
        {"status": 404, "body": {"message": "Not found"}},
        {"status": 200, "body": {"data": [], "total": 7}},
        {"status": 200, "body": {"data": [{"body": "no id"}], "total": 1}},
        {"status": 200, "body": {"data": {}, "total": 0}},
    ],
)
async def test_a_list_that_was_not_read_whole_deletes_nothing(box, url, answer):
    ids = busy(box)
    busy(box, 2)
    await sync(box, url)
    box.fault("status", service="voipstudio", path="/contacts/2/notes$", **answer)
    box.delete_source("notes", ids["notes"], 1)
    report = await sync(box, url)
    assert (deleted(report), there(box)) == ([1, 0, 0], [1, 2, 2])


@pytest.mark.parametrize(
    ("delivered", "gone", "limits", "goes"),
    [
        (3, 3, {}, True),
        (19, 19, {}, True),
        (20, 1, {}, True),
        (20, 2, {}, False),
        (40, 2, {}, True),
        (40, 3, {}, False),
        (40, 3, {"max_delete_percent": 7.5}, True),
        (60, 25, {"max_delete_percent": 100}, True),
        (60, 26, {"max_delete_percent": 100}, False),
        (60, 26, {"max_delete_percent": 100, "max_deletes": 26}, True),
        (3, 1, {"max_deletes": 0}, False),
    ],
)
async def test_too_many_at_once_are_taken_for_a_mistake(box, url, delivered, gone, limits, goes):
    notes = with_notes(box, delivered)
    task = box.insert_source("tasks", 1, title="Call", due_at="2026-12-01 10:00:00")["id"]
    await sync(box, url)
    for number, parent in notes[:gone]:
        box.delete_source("notes", number, parent)
    box.delete_source("tasks", task, 1)
    box.reset_counters()
    report = await sync(box, url, mapping=limits)
    mine = limits.get("max_deletes") != 0
    assert deleted(report) == [gone if goes else 0, int(mine), 0]
    assert len(box.notes()) == delivered - (gone if goes else 0)
    assert report.status == ("ok" if goes else "degraded")
    if not goes:
        assert said(report, f"notes: {gone} are missing at the source")
        assert said(report, "raise accounts.acme.mapping.max_deletes")
        assert box.counters()["highlevel"]["operations"].get("get-note", 0) == 0
        raised = await sync(box, url, mapping=EVERYTHING)
        assert (raised.status, len(box.notes())) == ("ok", delivered - gone)


async def test_what_was_refused_and_vanished_is_forgotten(box, url):
    ids = busy(box)
    box.fault("status", method="POST", path="/notes$", status=400, body={"message": "No."})
    assert (await sync(box, url)).status == "degraded"
    box.delete_source("notes", ids["notes"], 1)
    assert (await sync(box, url)).status == "ok"
    assert states(url, "notes") == {}


async def test_what_waited_for_a_contact_that_vanished_is_forgotten(box, url):
    person(box, 1)
    busy(box, 2)
    box.fault(
        "status", method="POST", path="/contacts/$", containing="person2", status=400, body={"message": "No."}
    )
    assert (await sync(box, url)).status == "degraded"
    box.delete_source("contacts", 2)
    assert (await sync(box, url)).status == "ok"
    assert (states(url, "contacts"), states(url, "notes")) == ({"1": "synced"}, {})


@pytest.mark.usefixtures("impatient")
async def test_a_deletion_whose_answer_is_lost_is_settled(box, url):
    ids = busy(box)
    await sync(box, url)
    box.delete_source("notes", ids["notes"], 1)
    box.fault("commit_then_status", method="DELETE", path="/notes/", status=502)
    box.fault("status", method="GET", path="/notes/", after=1, status=400, body={"message": "Try later."})
    report = await sync(box, url)
    assert (report.status, report.entities["notes"]["unresolved"]) == ("degraded", 1)
    box.clear_faults()
    report = await sync(box, url)
    assert (report.status, report.entities["notes"]["recovered"]) == ("ok", 1)
    assert (box.notes(), states(url, "notes")) == ([], {"1/1": "gone"})


@pytest.mark.usefixtures("impatient")
async def test_what_returns_while_its_deletion_is_unknown_is_not_lost(box, url):
    ids = busy(box)
    await sync(box, url)
    box.delete_source("notes", ids["notes"], 1)
    box.fault("commit_then_status", method="DELETE", path="/notes/", status=502)
    box.fault("status", method="GET", path="/notes/", after=1, status=400, body={"message": "Try later."})
    await sync(box, url)
    box.insert_source("notes", 1, id=ids["notes"], body="Said")
    assert (await sync(box, url)).entities["notes"]["unresolved"] == 1
    box.clear_faults()
    report = await sync(box, url)
    assert (report.status, len(box.notes())) == ("ok", 1)


@pytest.mark.usefixtures("impatient")
async def test_a_deletion_that_did_not_happen_is_decided_on_anew_also_in_recent_scans(box, url):
    ids = busy(box)
    await sync(box, url, source=RECENT)
    box.delete_source("notes", ids["notes"], 1)
    box.edit_source("contacts", 1, last_name="Called")
    box.fault("status", method="DELETE", path="/notes/", status=503)
    report = await sync(box, url, source=RECENT)
    assert (report.status, len(box.notes())) == ("degraded", 1)
    box.clear_faults()
    report = await sync(box, url, source=RECENT)
    assert (report.status, deleted(report), box.notes()) == ("ok", [1, 0, 0], [])
    await quiet(box, url, source=RECENT)


async def test_a_refused_deletion_is_told_and_tried_again(box, url):
    ids = busy(box)
    await sync(box, url)
    box.delete_source("notes", ids["notes"], 1)
    box.fault("status", method="DELETE", path="/notes/", status=422, body={"message": ["locked"]})
    report = await sync(box, url)
    assert (report.status, states(url, "notes")) == ("degraded", {"1/1": "synced"})
    assert said(report, "could not be deleted (http_422)")
    box.clear_faults()
    assert deleted(await sync(box, url)) == [1, 0, 0]


NOWHERE = dict.fromkeys(ENTITIES, False)


async def test_a_text_that_was_emptied_takes_its_note_with_it(box, url):
    box.options(voipstudio={"streams": NOWHERE})
    person(box, 1, notes="Remember the dog", next_call_at="2026-12-01 10:00:00")
    person(box, 2, notes="And the cat", next_call_at="2026-12-01 10:00:00")
    await sync(box, url)
    assert there(box) == [2, 2, 0]
    box.edit_source("contacts", 1, notes=" ", next_call_at="0000-00-00 00:00:00")
    report = await sync(box, url)
    assert (report.status, deleted(report), there(box)) == ("ok", [1, 1, 0], [1, 1, 0])
    assert states(url, "tasks") == {"1/next_call_at": "gone", "2/next_call_at": "synced"}
    await quiet(box, url)
    box.edit_source("contacts", 1, notes="Remember the dog")
    assert (await sync(box, url)).entities["notes"]["created"] == 1
    assert there(box) == [2, 1, 0]


async def test_a_stand_in_that_was_not_deleted_yet_is_not_forgotten(box, url):
    box.options(voipstudio={"streams": NOWHERE})
    person(box, 1, notes="Remember the dog")
    await sync(box, url, source=RECENT)
    box.edit_source("contacts", 1, notes="")
    held = await sync(box, url, source=RECENT, mapping={"max_deletes": 0})
    assert (held.status, len(box.notes())) == ("degraded", 1)
    report = await sync(box, url, source=RECENT)
    assert (report.status, box.notes()) == ("ok", [])


async def test_endpoints_that_come_take_no_stand_in_away(box, url):
    box.options(voipstudio={"streams": NOWHERE})
    person(box, 1, notes="Remember the dog")
    await sync(box, url)
    box.options(voipstudio={"streams": dict.fromkeys(ENTITIES, True)})
    box.edit_source("contacts", 1, notes="")
    report = await sync(box, url)
    assert (report.status, deleted(report), there(box)) == ("ok", [0, 0, 0], [1, 0, 0])


async def test_endpoints_that_go_take_nothing_away(box, url):
    busy(box)
    await sync(box, url)
    box.options(voipstudio={"streams": NOWHERE})
    report = await sync(box, url)
    assert (deleted(report), there(box)) == ([0, 0, 0], [1, 1, 1])
