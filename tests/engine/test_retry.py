"""Another try for what was refused: at once, with what is at the source by now, and nothing else."""

from __future__ import annotations

import pytest
from sqlalchemy import select, update

from tasks.engine import outcome
from tasks.ledger.database import opened
from tasks.ledger.tables import records
from tests.support.accounts import retry, sync
from tests.support.truth import check

REFUSED = {"kind": "status", "status": 422, "body": {"message": "no"}}


@pytest.fixture
def url(ledger_url, database):
    """On both databases."""
    return ledger_url


def person(box, number=1, **values):
    given = {"first_name": f"Person{number}", "last_name": "Smith", "email": f"person{number}@example.com"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def put_off(url):
    """Let all that was refused be beyond its last attempt; return how many records."""
    with opened(url) as ledger:
        given_up = update(records).where(records.c.state == "rejected")
        values = {"attempts": outcome.LAST_ATTEMPT, "next_attempt_at": outcome.NEVER}
        return ledger.now_do(lambda connection: connection.execute(given_up.values(values)).rowcount)


def states(url):
    with opened(url) as ledger:
        query = select(records.c.entity, records.c.source_id, records.c.state)
        rows = ledger.now_look(lambda connection: connection.execute(query).all())
    return {(entity, source_id): state for entity, source_id, state in rows}


def counts(report, entity):
    return {name: number for name, number in report.entities[entity].items() if number}


async def test_a_refused_contact_and_what_waits_for_it_are_tried_whatever_their_turn(box, url):
    ann, bob = person(box, 1), person(box, 2)
    note = box.insert_source("notes", ann, body="Said")["id"]
    box.fault(**REFUSED, method="POST", path="/contacts/$", containing="person1@")
    assert counts(await sync(box, url), "contacts") == {"read": 2, "created": 1, "rejected": 1}
    assert put_off(url) == 1
    box.clear_faults()
    assert (await sync(box, url)).entities["contacts"]["rejected"] == 1
    box.edit_source("contacts", ann, first_name="Anna")
    box.reset_counters()
    report = await retry(box, url)
    assert (report.mode, report.status, report.warnings) == ("retry", "ok", [])
    assert counts(report, "contacts") == {"read": 1, "created": 1}
    assert counts(report, "notes") == {"read": 1, "created": 1}
    assert {row["firstName"] for row in box.contacts()} == {"Anna", "Person2"}
    assert box.writes() == {"create-contact": 1, "create-note": 1}
    assert states(url)["notes", f"{ann}/{note}"] == "synced"
    assert bob
    assert check(box, url) == []


async def test_each_is_tried_once_and_stays_refused(box, url):
    for number in range(3):
        person(box, number)
    box.fault(**REFUSED, method="POST", path="/contacts/$")
    await sync(box, url)
    put_off(url)
    report = await retry(box, url)
    assert (report.status, counts(report, "contacts")) == ("degraded", {"read": 3, "rejected": 3})
    assert box.faults()[0]["fired"] == 3 + 3


async def test_only_what_is_asked_for_is_tried(box, url):
    ann = person(box)
    box.insert_source("notes", ann, body="Said")
    box.insert_source("tasks", ann, title="Do")
    for path in ("/notes$", "/tasks$"):
        box.fault(**REFUSED, method="POST", path=path)
    await sync(box, url)
    put_off(url)
    box.clear_faults()
    box.reset_counters()
    report = await retry(box, url, only=("tasks",))
    assert (counts(report, "notes"), counts(report, "tasks")) == ({"rejected": 1}, {"read": 1, "created": 1})
    assert box.writes() == {"create-task": 1}
    assert box.counters()["voipstudio"]["requests"] == 3  # the contact, and its tasks after a probe


async def test_where_nothing_was_refused_nobody_is_asked(box, url):
    person(box)
    await sync(box, url)
    box.reset_counters()
    report = await retry(box, url)
    assert (report.status, report.requests["source"], report.requests["destination_reads"]) == ("ok", 0, 0)
    assert (box.counters()["voipstudio"]["requests"], box.counters()["highlevel"]["requests"]) == (0, 0)


async def test_nothing_is_asked_before_the_first_sync_either(box, url):
    person(box)
    assert (await retry(box, url)).status == "ok"
    assert (box.counters()["voipstudio"]["requests"], box.counters()["highlevel"]["requests"]) == (0, 0)


async def test_who_is_gone_at_the_source_is_left(box, url):
    ann = person(box)
    box.fault(**REFUSED, method="POST", path="/contacts/$")
    await sync(box, url)
    box.clear_faults()
    box.delete_source("contacts", ann)
    report = await retry(box, url)
    assert "contacts: 1 not found at the source by their ids: left as they are" in report.warnings
    assert (report.status, box.contacts()) == ("degraded", [])


async def test_a_note_that_stands_for_a_contacts_text_is_tried_too(box, url):
    box.options(voipstudio={"streams": {"notes": False, "tasks": False, "appointments": False}})
    person(box, notes="Said on the phone")
    box.fault(**REFUSED, method="POST", path="/notes$")
    assert (await sync(box, url)).entities["notes"]["rejected"] == 1
    put_off(url)
    box.clear_faults()
    report = await retry(box, url)
    assert (report.status, counts(report, "notes").get("created")) == ("ok", 1)
