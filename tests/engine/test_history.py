"""The journal of writes: each leaves a row with what it changed and why; what changes nothing leaves none."""

from __future__ import annotations

import contextlib
import time

import pytest
from sqlalchemy import update

from tasks.ledger import retention
from tasks.ledger.database import opened
from tasks.ledger.journal import Journal
from tasks.ledger.tables import history
from tests.support.accounts import sync
from tests.support.deeds import actions, rows, told

LONG_AGO = 365 * 86_400.0
ANY = {"max_deletes": 100, "max_delete_percent": 100}


def ann(box, **values):
    given = {"first_name": "Ann", "email": "ann@example.com", **values}
    return box.insert_source("contacts", **given)["id"]


async def test_what_is_created_and_changed_is_told_field_by_field(box, url):
    row = ann(box, labels=["vip"])
    report = await sync(box, url)
    [made] = told(url, row)
    assert (made.deed.action, made.run_id, made.kind) == ("created", report.run_id, "sync")
    assert made.deed.before is None
    assert made.deed.after["firstName"] == "Ann"
    assert made.deed.after["tags"] == ["vip"]
    assert "labels" not in made.deed.after
    assert made.deed.destination_id == box.contacts()[0]["id"]

    before = rows(url)
    await sync(box, url)
    await sync(box, url, mode="full")
    assert rows(url) == before

    box.edit_source("contacts", row, first_name="Anna", labels=["gold"])
    await sync(box, url)
    changed = told(url, row)[-1].deed
    assert changed.action == "updated"
    assert changed.before == {"firstName": "Ann", "tags": ["vip"]}
    assert changed.after == {"firstName": "Anna", "tags": ["gold"]}


async def test_a_persons_edit_that_stands_is_told_once(box, url):
    row = ann(box)
    await sync(box, url)
    box.edit("contacts", box.contacts()[0]["id"], firstName="Nan")
    box.edit_source("contacts", row, first_name="Anna")
    await sync(box, url)
    await sync(box, url, mode="full")
    kept = told(url, row)[-1].deed
    assert (kept.action, kept.before, kept.after) == ("kept", None, None)
    assert kept.why == "firstName: kept as a person wrote it at the destination"
    assert actions(url, row) == ["created", "kept"]


async def test_of_an_adopted_contact_the_row_tells_by_what_it_was_matched(box, url):
    box.insert("contacts", email="ann@example.com", firstName="Ann")
    row = ann(box, last_name="Lee")
    await sync(box, url)
    [linked] = [one.deed for one in told(url, row)]
    assert (linked.action, linked.why) == ("adopted", "matched by e-mail")
    assert linked.before["lastName"] is None
    assert linked.after["lastName"] == "Lee"
    assert "firstName" not in linked.after


async def test_each_kind_of_activity_has_its_story(box, url):
    row = ann(box)
    note = box.insert_source("notes", row, body="Said")["id"]
    await sync(box, url)
    box.edit_source("notes", note, row, body="Said more")
    await sync(box, url)
    box.delete_source("notes", note, row)
    await sync(box, url)
    made, changed, gone = (one.deed for one in told(url, f"{row}/{note}", "notes"))
    assert [made.action, changed.action, gone.action] == ["created", "updated", "deleted"]
    assert changed.before["body"] != changed.after["body"]
    assert gone.before["body"].startswith("Said more")
    assert gone.why == "it vanished at the source"
    assert gone.destination_id == made.destination_id


async def test_a_contact_that_is_deleted_takes_its_activities_along(box, url):
    row = ann(box)
    note = box.insert_source("notes", row, body="Said")["id"]
    box.insert_source("contacts", email="bob@example.com")
    mapping = {"deletes": "delete", **ANY}
    await sync(box, url, mapping=mapping)
    box.delete_source("contacts", row)
    for _ in range(2):
        await sync(box, url, mapping=mapping)
    last = told(url, row)[-1].deed
    assert (last.action, last.before["email"]) == ("deleted", "ann@example.com")
    assert told(url, f"{row}/{note}", "notes")[-1].deed.why == "deleted with its contact"


async def test_a_refusal_is_told_with_its_code_and_status(box, url):
    box.fault("status", status=422, method="POST", path=r"/contacts/$", body={"message": "no"})
    row = ann(box)
    await sync(box, url)
    refused = told(url, row)[-1].deed
    assert (refused.action, refused.reason, refused.status) == ("rejected", "http_422", 422)
    assert refused.after["email"] == "ann@example.com"
    box.clear_faults()
    await sync(box, url)
    assert actions(url, row) == ["rejected", "created"]
    assert told(url, row)[-1].deed.reason is None


async def test_a_route_leaves_a_row_of_its_own(box, url):
    mapping = {"routes": [{"tag": "vip", "workflow": "Welcome", "history": True}]}
    row = ann(box, labels=["vip"])
    await sync(box, url, mapping=mapping)
    done = told(url, row)[-1].deed
    assert done.action == "route"
    assert {"action": "workflow", "target": "Welcome", "state": "done"}.items() <= done.after.items()


class Crash(BaseException):
    """The process dies."""


async def dies_after(box, url, monkeypatch, state):
    """Run until a record of this state would be saved."""
    save = Journal.save

    async def dying(journal, record=None, *what, **more):
        if record is not None and record.state == state:
            raise Crash
        await save(journal, record, *what, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "save", dying)
        with contextlib.suppress(Crash):
            await sync(box, url)
            pytest.fail("it did not die")


async def test_what_died_between_intent_and_outcome_is_told_by_the_run_that_looks(box, url, monkeypatch):
    row = ann(box)
    note = box.insert_source("notes", row, body="Said")["id"]
    await dies_after(box, url, monkeypatch, "synced")
    assert len(box.contacts()) == 1
    assert rows(url) == 0
    await sync(box, url)
    [found] = [one.deed for one in told(url, row)]
    assert (found.action, found.after["firstName"]) == ("recovered", "Ann")
    assert actions(url, f"{row}/{note}", "notes") == ["created"]

    box.edit_source("contacts", row, first_name="Anna")
    await dies_after(box, url, monkeypatch, "synced")
    assert box.contacts()[0]["firstName"] == "Anna"
    await sync(box, url)
    found = told(url, row)[-1].deed
    assert (found.action, found.before, found.after) == (
        "recovered",
        {"firstName": "Ann"},
        {"firstName": "Anna"},
    )


async def test_what_is_not_answered_is_told_and_then_what_became_of_it(box, url, monkeypatch):
    monkeypatch.setattr("tasks.transport._BACKOFF", lambda _: 0.01)
    row = ann(box)
    await sync(box, url)
    box.edit_source("contacts", row, first_name="Anna")
    box.fault("commit_then_status", status=502, method="PUT", path="/contacts/")
    await sync(box, url)
    box.clear_faults()
    await sync(box, url)
    lost, found = (one.deed for one in told(url, row)[1:])
    changed = ({"firstName": "Ann"}, {"firstName": "Anna"})
    assert (lost.action, lost.before, lost.after) == ("unknown", *changed)
    assert (found.action, found.before, found.after) == ("recovered", *changed)


async def test_old_rows_go_in_small_batches_and_with_zero_days_none_is_kept(box, url, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    for number in range(3):
        box.insert_source("contacts", email=f"person{number}@example.com")
    await sync(box, url)
    with opened(url) as database:
        aged = update(history).values(at=time.time() - LONG_AGO)
        database.now_do(lambda one: one.execute(aged))
    await sync(box, url, state={"history_days": 400})
    assert rows(url) == 3
    await sync(box, url)
    assert rows(url) == 1
    await sync(box, url)
    assert rows(url) == 0
    ann(box)
    await sync(box, url, state={"history_days": 0})
    assert rows(url) == 0


async def test_what_was_written_is_sealed_where_keys_are(box, url, monkeypatch, tmp_path):
    monkeypatch.setenv("VOIPSYNC_TEST_OLD", "correct horse battery staple")
    ann(box)
    await sync(box, url, state={"encryption_keys": ["${VOIPSYNC_TEST_OLD}"]})
    assert rows(url) == 1
    for file in tmp_path.iterdir():
        assert b"ann@example.com" not in file.read_bytes()
