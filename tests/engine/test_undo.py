"""A run is taken back: what is still as it left it goes back to what it was, all else stays and is told."""

from __future__ import annotations

import contextlib

import pytest

from tasks.engine.apply import apply_once
from tasks.engine.parting import Parting
from tasks.engine.undo import AGAIN, chosen_run
from tasks.errors import ConfigurationError
from tasks.ledger.database import opened
from tasks.ledger.journal import Journal
from tasks.options import ApplyOptions
from tests.support.accounts import settings_of, sync
from tests.support.deeds import actions
from tests.support.deeds import told as told_of
from tests.support.undoing import plan_back, take_back

PHONE = "+442079460001"


def ann(box, **values):
    given = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com", **values}
    return box.insert_source("contacts", **given)["id"]


def there(box):
    [contact] = box.contacts()
    return contact


async def quiet(box, url, **sections):
    """The next incremental sync writes nothing."""
    box.reset_counters()
    await sync(box, url, **sections)
    return box.writes() == {}


async def test_changed_fields_and_tags_go_back_and_stay_so_until_the_source_changes(box, url):
    row = ann(box, labels=["vip", "old"])
    await sync(box, url)
    box.edit_source("contacts", row, first_name="Anna", labels=["vip", "new"])
    changed = await sync(box, url)
    assert (there(box)["firstName"], sorted(there(box)["tags"])) == ("Anna", ["new", "vip"])

    told, report = await take_back(box, url, changed.run_id)
    assert told == [AGAIN]
    assert report.entities["contacts"]["updated"] == 1
    assert (there(box)["firstName"], sorted(there(box)["tags"])) == ("Ann", ["old", "vip"])
    assert await quiet(box, url)
    assert actions(url, row) == ["created", "updated", "updated"]
    last = told_of(url, row)[-1]
    assert (last.kind, last.deed.why) == ("apply", "what an earlier run wrote is taken back")

    box.edit_source("contacts", row, last_name="Low")
    await sync(box, url)
    assert (there(box)["firstName"], there(box)["lastName"]) == ("Anna", "Low")


@pytest.mark.parametrize("policy", ["source", "fill", "merge"])
async def test_what_a_person_changed_since_stays_whatever_the_rules_say(box, url, policy):
    mapping = {
        "fields": {"firstName": {"policy": policy}, "lastName": {"policy": policy, "winner": "source"}}
    }
    row = ann(box)
    await sync(box, url, mapping=mapping)
    former = there(box)["firstName"]
    if policy == "fill":
        former = None
        box.edit("contacts", there(box)["id"], firstName="", lastName="")
    box.edit_source("contacts", row, first_name="Anna", last_name="Low")
    changed = await sync(box, url, mapping=mapping)
    box.edit("contacts", there(box)["id"], lastName="Person")
    told, _ = await take_back(box, url, changed.run_id, mapping=mapping)
    assert told[:-1] == [f"contact {row} lastName stays: a person changed it since"]
    assert there(box)["lastName"] == "Person"
    assert (there(box).get("firstName") or None) == former


async def test_what_a_later_run_wrote_stays(box, url):
    row = ann(box)
    await sync(box, url)
    box.edit_source("contacts", row, first_name="Anna", last_name="Low")
    changed = await sync(box, url)
    box.edit_source("contacts", row, first_name="Annabel")
    later = await sync(box, url)
    told, _ = await take_back(box, url, changed.run_id)
    assert told[0] == f"contact {row} firstName stays: run {later.run_id} wrote it since"
    assert (there(box)["firstName"], there(box)["lastName"]) == ("Annabel", "Lee")


async def test_what_was_created_goes_and_comes_back_with_a_full_sync(box, url):
    row = ann(box)
    note = box.insert_source("notes", row, body="Said")["id"]
    first = await sync(box, url)
    told, report = await take_back(box, url, first.run_id)
    assert told == [AGAIN]
    assert report.entities["contacts"]["deleted"] == 1
    assert (box.contacts(), box.notes()) == ([], [])
    assert await quiet(box, url)
    assert actions(url, row) == ["created", "deleted"]
    await sync(box, url, mode="full")
    assert len(box.contacts()) == 1
    await sync(box, url)  # a contact that was left out has its activities read once it is back
    assert len(box.notes()) == 1
    assert actions(url, f"{row}/{note}", "notes") == ["created", "deleted", "created"]


async def test_what_the_lagging_index_still_shows_is_not_taken_for_there(box, url):
    box.reset(contacts=0, burst=5000, destination={"lag": 60.0})
    row = ann(box)
    first = await sync(box, url)
    box.advance(61)
    await take_back(box, url, first.run_id)
    assert box.contacts() == []
    report = await sync(box, url, mode="full")
    assert (report.entities["contacts"]["created"], len(box.contacts())) == (1, 1)
    assert actions(url, row) == ["created", "deleted", "created"]


async def test_a_created_contact_stays_where_something_of_others_hangs_on_it(box, url):
    rows = [ann(box, email=f"person{number}@example.com", first_name=f"P{number}") for number in range(4)]
    first = await sync(box, url)
    ids = {one["email"]: one["id"] for one in box.contacts()}
    box.insert("notes", ids["person0@example.com"], body="By a person")
    box.edit("contacts", ids["person1@example.com"], city="Leeds")
    box.insert_source("notes", rows[2], body="Said")
    second = await sync(box, url)
    told, _ = await take_back(box, url, first.run_id)
    assert [one["email"] for one in box.contacts()] == [f"person{number}@example.com" for number in range(3)]
    assert told[:-1] == [
        f"contact {rows[0]} stays: 1 of its notes are a person's",
        f"contact {rows[1]} stays: a person changed city",
        f"contact {rows[2]} stays: another run wrote note {rows[2]}/1, which hangs on it",
    ]
    told, _ = await take_back(box, url, second.run_id)
    assert len(box.notes()) == 1


async def test_a_created_contact_stays_where_a_person_edited_one_of_its_activities(box, url):
    row = ann(box)
    box.insert_source("notes", row, body="Said")
    first = await sync(box, url)
    box.edit("notes", box.notes()[0]["id"], body="By a person")
    told, report = await take_back(box, url, first.run_id)
    assert (len(box.contacts()), [note["body"] for note in box.notes()]) == (1, ["By a person"])
    assert f"contact {row} stays: a person changed 1 of its notes" in told
    assert report.entities["contacts"]["deleted"] == 0


async def test_activities_go_back_each_as_it_was(box, url):
    row = ann(box)
    changed_note, gone_task = (
        box.insert_source("notes", row, body="Said")["id"],
        box.insert_source("tasks", row, title="Call", due_at="2026-12-01 10:00:00")["id"],
    )
    gone_visit = box.insert_source(
        "appointments", row, title="Visit", starts_at="2026-12-01 10:00:00", status="new"
    )["id"]
    mapping = {"max_deletes": 10}
    await sync(box, url, mapping=mapping)
    before = [
        [one.get("body"), one.get("title")] for one in (*box.notes(), *box.tasks(), *box.appointments())
    ]
    box.edit_source("notes", changed_note, row, body="Said more")
    box.delete_source("tasks", gone_task, row)
    box.delete_source("appointments", gone_visit, row)
    new = box.insert_source("notes", row, body="New")["id"]
    run = await sync(box, url, mapping=mapping)
    assert (len(box.notes()), len(box.tasks()), len(box.appointments())) == (2, 0, 0)

    told, _ = await take_back(box, url, run.run_id, mapping=mapping)
    assert told == [AGAIN]
    after = [[one.get("body"), one.get("title")] for one in (*box.notes(), *box.tasks(), *box.appointments())]
    assert after == before
    assert await quiet(box, url, mapping=mapping)
    assert actions(url, f"{row}/{new}", "notes") == ["created", "deleted"]
    assert actions(url, f"{row}/{gone_task}", "tasks") == ["created", "deleted", "created"]


async def test_an_adopted_contact_keeps_its_link_and_loses_what_was_filled_in(box, url):
    box.insert("contacts", email="ann@example.com", firstName="Ann", tags=["theirs"])
    row = ann(box, tel="02079460001", labels=["vip"])
    run = await sync(box, url)
    assert (there(box)["lastName"], there(box)["phone"]) == ("Lee", PHONE)
    told, _ = await take_back(box, url, run.run_id)
    contact = there(box)
    assert not contact.get("lastName")
    assert not contact.get("phone")
    assert (contact["firstName"], contact["tags"]) == ("Ann", ["theirs"])
    assert await quiet(box, url)
    assert actions(url, row)[0] == "adopted"
    assert told == [AGAIN]


async def test_what_nobody_can_take_back_is_told(box, url):
    mapping = {
        "routes": [{"tag": "vip", "workflow": "Welcome", "history": True}],
        "deletes": "delete",
        "max_deletes": 10,
        "max_delete_percent": 100,
    }
    row = ann(box, labels=["vip"])
    box.insert_source("notes", row, body="Said")
    box.insert_source("contacts", email="bob@example.com")
    first = await sync(box, url, mapping=mapping)
    box.delete_source("contacts", row)
    await sync(box, url, mapping=mapping)
    deleting = await sync(box, url, mapping=mapping)
    told, _ = await take_back(box, url, deleting.run_id, mapping=mapping)
    assert told == [f"contact {row} was deleted: a deleted contact cannot be had back with its history"]
    made = await plan_back(box, url, first.run_id, mapping=mapping)
    assert f"contact {row} what the workflow that tag vip started has done stays" in made.about["told"]
    assert f"contact {row} is not where the run left it any more" in made.about["told"]


async def test_a_plan_of_it_writes_nothing_and_an_edit_before_it_is_applied_stands(box, url):
    row = ann(box)
    await sync(box, url)
    box.edit_source("contacts", row, first_name="Anna")
    run = await sync(box, url)
    box.reset_counters()
    await plan_back(box, url, run.run_id)
    assert box.writes() == {}
    with pytest.raises(ConfigurationError, match="holds no write of a run nosuch"):
        await plan_back(box, url, "nosuch")
    with opened(url) as database, pytest.raises(ConfigurationError, match="holds no write of a run"):
        database.now_look(lambda connection: chosen_run(connection, "acme", ""))


async def test_an_undo_is_undone(box, url):
    row = ann(box)
    await sync(box, url)
    box.edit_source("contacts", row, first_name="Anna")
    run = await sync(box, url)
    _, undone = await take_back(box, url, run.run_id)
    assert there(box)["firstName"] == "Ann"
    await take_back(box, url, undone.run_id)
    assert there(box)["firstName"] == "Anna"


class Crash(BaseException):
    """The process dies."""


async def test_a_death_between_the_deletion_and_its_record_does_not_bring_it_back(box, url, monkeypatch):
    row = ann(box)
    first = await sync(box, url)
    made = await plan_back(box, url, first.run_id)

    async def dies(*_):
        raise Crash

    with monkeypatch.context() as patched, contextlib.suppress(Crash):
        patched.setattr(Parting, "_buried", dies)
        await apply_once("acme", ApplyOptions(plan=made.plan_id), settings_of(box, url))
        pytest.fail("it did not die")
    assert box.contacts() == []
    await sync(box, url)
    assert (box.contacts(), actions(url, row)) == ([], ["created", "deleted"])
    assert await quiet(box, url)
    report = await apply_once("acme", ApplyOptions(plan=made.plan_id), settings_of(box, url))
    assert (report.status, box.contacts()) == ("ok", [])


async def test_a_death_between_the_restoring_and_its_record_loses_nothing(box, url, monkeypatch):
    row = ann(box)
    task = box.insert_source("tasks", row, title="Call", due_at="2026-12-01 10:00:00")["id"]
    mapping = {"max_deletes": 10}
    await sync(box, url, mapping=mapping)
    box.delete_source("tasks", task, row)
    run = await sync(box, url, mapping=mapping)
    made = await plan_back(box, url, run.run_id, mapping=mapping)
    save = Journal.save

    async def dying(journal, record=None, *what, **more):
        if record is not None and record.reason == "restored":
            raise Crash
        await save(journal, record, *what, **more)

    with monkeypatch.context() as patched, contextlib.suppress(Crash):
        patched.setattr(Journal, "save", dying)
        await apply_once("acme", ApplyOptions(plan=made.plan_id), settings_of(box, url, mapping=mapping))
        pytest.fail("it did not die")
    assert len(box.tasks()) == 1
    for _ in range(2):
        await sync(box, url, mapping=mapping)
    assert len(box.tasks()) == 1
    assert actions(url, f"{row}/{task}", "tasks") == ["created", "deleted", "recovered"]
