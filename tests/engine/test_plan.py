"""What a plan says, and that making it leaves no trace: at the destination, in the ledger, on the disk."""

from __future__ import annotations

import pytest
from sqlalchemy import select, text

from tasks.engine.outline import outline, remarks
from tasks.engine.plan import plan_of
from tasks.engine.plan_items import Item
from tasks.engine.shape import Bundle
from tasks.engine.steps import open_steps
from tasks.ledger import plans, tables
from tasks.ledger.database import opened
from tasks.mapping.desired import Desired
from tasks.options import SyncOptions
from tests.support.accounts import settings_of, sync
from tests.support.planning import apply, foreseen, operations, plan, received
from tests.support.receiver import receiving

EVERYTHING = {"deletes": "delete", "max_deletes": 100, "max_delete_percent": 100.0}


def person(box, number=1, **values):
    given = {"first_name": f"Person{number}", "email": f"person{number}@example.com"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def named(url, plan_id):
    return [(one["name"], one["source_id"]) for one in operations(url, plan_id)]


def ledger(url):
    """All that the ledger holds of records, but for the number of the walk."""
    found = {}
    with opened(url) as database:
        for table in (tables.records, tables.effects, tables.directory, tables.facts):
            rows = database.now_look(lambda one, table=table: one.execute(select(table)).all())
            found[table.name] = sorted(str(row) for row in rows if "walk" not in tuple(row))
    return found


async def test_a_plan_writes_nothing_anywhere(box, url, tmp_path):
    box.seed(contacts=12)
    await sync(box, url)
    for row in box.source("contacts")[:4]:
        box.edit_source("contacts", row["id"], last_name="Renamed", labels=["new"])
    person(box, 99)
    before, files = ledger(url), sorted(path.name for path in tmp_path.iterdir())
    there = box.state("highlevel")
    box.record()
    box.reset_counters()
    made = await plan(box, url)
    assert made.about["operations"]["create-contact"] == 1
    assert made.about["requests"]["writes"] > 4
    assert box.writes() == {}
    sent = {row["operation"] for row in box.requests("highlevel") if row["method"] != "GET"}
    assert sent <= {"search-contacts"}
    assert box.state("highlevel") == there
    assert ledger(url) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == files


@pytest.mark.parametrize("duplicates", [True, False])
async def test_a_plan_foresees_what_a_sync_sends(box, url, duplicates):
    box.options(location={"allow_duplicates": duplicates})
    box.seed(contacts=18)
    made = await plan(box, url)
    box.record()
    await sync(box, url)
    assert foreseen(url, made.plan_id) == received(box)
    assert made.about["entities"]["notes"]["created"] == made.about["operations"]["create-note"]
    for row in box.source("contacts")[:6]:
        box.edit_source("contacts", row["id"], last_name="Renamed", labels=["new"], tel_1="02079460123")
    for entity in ("notes", "tasks", "appointments"):
        rows = box.source(entity)
        box.delete_source(entity, rows[0]["id"], rows[0]["contact_id"])
        box.edit_source(entity, rows[1]["id"], rows[1]["contact_id"], **changed(entity))
    made = await plan(box, url)
    box.reset_counters()
    await sync(box, url)
    assert foreseen(url, made.plan_id) == received(box)
    assert {"update-contact", "add-tags", "update-note", "delete-note"} <= set(made.about["operations"])


def changed(entity):
    return {"notes": {"body": "Edited"}, "tasks": {"title": "Retitled"}, "appointments": {"title": "Moved"}}[
        entity
    ]


async def test_an_update_is_shown_field_by_field(box, url):
    number = person(box, 1, last_name="Before", labels=["old"])
    await sync(box, url)
    box.edit_source("contacts", number, last_name="After", labels=["new"])
    made = await plan(box, url)
    update, adding, removing = operations(url, made.plan_id)
    contact_id = box.contacts()[0]["id"]
    assert (update["name"], update["target"]) == ("update-contact", contact_id)
    assert (update["before"], update["write"]) == ({"lastName": "Before"}, {"lastName": "After"})
    assert (adding["name"], adding["write"], adding["before"]) == (
        "add-tags",
        {"tags": ["new"]},
        {"tags": ["old"]},
    )
    assert (removing["name"], removing["write"]) == ("remove-tags", {"tags": ["old"]})


async def test_adoption_and_doubt_are_in_the_plan_and_come_true(box, url):
    box.insert("contacts", firstName="Person1", email="person1@example.com")
    for name in ("One", "Two"):
        box.insert("contacts", firstName=name, email="shared@example.com")
    person(box, 1, last_name="Known")
    person(box, 2, email="shared@example.com")
    made = await plan(box, url)
    assert made.status == "degraded"
    assert made.about["entities"]["contacts"]["adopted"] == 1
    assert [one["source_id"] for one in made.about["ambiguous"]] == ["2"]
    assert len(made.about["ambiguous"][0]["candidates"]) == 2
    assert named(url, made.plan_id) == [("update-contact", "1")]
    with opened(url) as database:
        (line,) = database.now_look(lambda connection: outline(connection, made.plan_id, 10))
    assert next(line.told()).endswith(", found in HighLevel and linked")
    assert next(remarks(made)) == "contacts: 1 adopted"
    report = await apply(box, url, made.plan_id)
    assert report.entities["contacts"]["adopted"] == 1
    assert report.entities["contacts"]["ambiguous"] == 1
    assert len(box.contacts()) == 3


async def test_a_vanished_contact_is_in_the_plan(box, url):
    for number in (1, 2, 3):
        person(box, number)
    await sync(box, url, mapping=EVERYTHING)
    box.delete_source("contacts", 2)
    await sync(box, url, mapping=EVERYTHING)  # the first of two walks that miss it
    made = await plan(box, url, mapping=EVERYTHING)
    assert named(url, made.plan_id) == [("delete-contact", "2")]
    assert len(box.contacts()) == 3
    report = await apply(box, url, made.plan_id, mapping=EVERYTHING)
    assert report.entities["contacts"]["deleted"] == 1
    assert len(box.contacts()) == 2


async def test_a_vanished_activity_alone_is_a_plan_and_goes(box, url):
    person(box, 1)
    notes = [box.insert_source("notes", 1, body=f"Said {number}")["id"] for number in range(3)]
    await sync(box, url)
    box.delete_source("notes", notes[0], 1)
    made = await plan(box, url)
    assert named(url, made.plan_id) == [("delete-note", f"1/{notes[0]}")]
    box.edit("notes", box.notes()[1]["id"], body="Human")
    report = await apply(box, url, made.plan_id)
    assert (report.status, report.entities["notes"]["deleted"]) == ("ok", 1)
    assert len(box.notes()) == 2


async def test_what_routes_start_is_in_the_plan_and_is_started_by_it(box, url):
    routes = {"routes": [{"tag": "vip", "workflow": "Welcome"}]}
    person(box, 1)
    await sync(box, url, mapping=routes)
    person(box, 2, labels=["VIP"])
    made = await plan(box, url, mapping=routes)
    assert named(url, made.plan_id) == [("create-contact", "2"), ("enrol-in-workflow", "2")]
    assert box.state("highlevel", "enrolments") == []
    await apply(box, url, made.plan_id, mapping=routes)
    assert len(box.state("highlevel", "enrolments")) == 1


async def test_a_webhook_is_foreseen_and_called_by_apply_alone(box, url, monkeypatch):
    monkeypatch.setenv("WEBHOOK_SECRET", "a shared secret")
    with receiving() as receiver:
        hook = {"tag": "vip", "webhook": receiver.url, "webhook_secret": "${WEBHOOK_SECRET}"}
        event = {"tag": "vip", "event": "crm.vip"}
        person(box, 1)
        await sync(box, url, mapping={"routes": [hook, event]})
        box.edit_source("contacts", 1, labels=["vip"])
        made = await plan(box, url, mapping={"routes": [hook, event]})
        assert made.about["operations"] == {"add-tags": 1, "event": 1, "webhook": 1}
        assert made.about["requests"]["writes"] == 1
        assert receiver.messages == []
        await apply(box, url, made.plan_id, mapping={"routes": [hook, event]})
        assert len(receiver.messages) == 1


async def test_what_an_earlier_run_left_unknown_stays_so_and_nobody_waits(box, url):
    person(box, 1)
    await sync(box, url)
    box.insert_source("notes", 1, body="Said")
    box.fault("drop", method="POST", path="/notes$", count=1)
    box.fault("status", method="GET", path="/notes$", status=400, count=9)
    patient = {"destination": {"settle_seconds": 3600.0}}
    report = await sync(box, url, destination={"settle_seconds": 0.0})
    assert report.entities["notes"]["unresolved"] == 1
    box.clear_faults()
    made = await plan(box, url, **patient)
    assert made.about["operations"] == {}
    assert any("unresolved" in one for one in made.about["warnings"])
    assert made.status == "degraded"


async def test_a_plan_is_sealed_in_the_ledger(box, url, tmp_path, monkeypatch):
    monkeypatch.setenv("LEDGER_KEY", "a key that is long enough for this")
    state = {"encryption_keys": ["${LEDGER_KEY}"]}
    person(box, 1, last_name="Secretive")
    made = await plan(box, url, state=state)
    assert b"Secretive" not in (tmp_path / "ledger.db").read_bytes()
    report = await apply(box, url, made.plan_id, state=state)
    assert report.entities["contacts"]["created"] == 1
    assert box.contacts()[0]["lastName"] == "Secretive"
    for path in tmp_path.iterdir():
        assert b"Secretive" not in path.read_bytes()


async def test_only_the_last_plans_are_kept(box, url, monkeypatch):
    monkeypatch.setattr(plans, "KEPT", 2)
    person(box, 1)
    made = [await plan(box, url) for _ in range(3)]
    await sync(box, url)
    with opened(url) as database:
        kept = database.now_look(lambda one: one.execute(select(tables.plans.c.id)).scalars().all())
        left = database.now_look(
            lambda one: one.execute(text("SELECT DISTINCT plan_id FROM plan_items")).scalars().all()
        )
    assert sorted(kept) == sorted(left) == sorted(one.plan_id for one in made[1:])


async def test_what_changes_nothing_is_not_in_the_plan(box, url):
    for number in (1, 2):
        person(box, number)
    await sync(box, url)
    box.edit_source("contacts", 1, nb_call_attempts=7)
    box.edit_source("contacts", 2, last_name="After")
    made = await plan(box, url, mode="full")
    assert (made.about["items"], named(url, made.plan_id)) == (1, [("update-contact", "2")])


def content(url, source_id):
    """What was last written of a record."""
    query = select(tables.records.c.content).where(tables.records.c.source_id == source_id)
    with opened(url) as database:
        return database.now_look(lambda one: one.execute(query).scalar())


async def items_planned(box, url, *chosen, told=()):
    async with open_steps("acme", SyncOptions(), settings_of(box, url), kind="verify") as steps:
        made = await plan_of(steps, chosen, kind="repair", told=told)
        await steps.conclude()
        return made


async def test_a_contact_that_is_missing_is_planned_anew_with_its_activities(box, url):
    for number in (1, 2):
        person(box, number)
        box.insert_source("notes", number, body=f"Note {number}")
    await sync(box, url)
    box.delete("contacts", next(row["id"] for row in box.contacts() if row["email"].startswith("person1")))
    desired = Desired("contacts", "1", None, content(url, "1"))
    lost = Item(Bundle("1", desired, fingerprints={("contacts", "1"): "f"}), release=(("contacts", "1"),))
    made = await items_planned(box, url, lost)
    assert named(url, made.plan_id) == [("create-contact", "1"), ("create-note", "1/1")]
    assert (await apply(box, url, made.plan_id)).status == "ok"
    assert len(box.contacts()) == len(box.notes()) == 2
    assert (await sync(box, url)).status == "ok"
    assert len(box.contacts()) == len(box.notes()) == 2


async def test_items_from_elsewhere_become_a_plan(box, url):
    """As `verify --repair` and `undo` make them: create anew, write back, delete."""
    for number in (1, 2):
        person(box, number)
        box.insert_source("notes", number, body=f"Note {number}")
    await sync(box, url)
    ids = {row["email"][6]: row["id"] for row in box.contacts()}
    box.delete("notes", box.notes(ids["1"])[0]["id"])
    desired = Desired("notes", "1/1", "1", content(url, "1/1"))
    anew = Bundle("1", children={"notes": [desired]}, fingerprints={("notes", "1/1"): "f"})
    chosen = [
        Item(anew, release=(("notes", "1/1"),)),
        Item(Bundle("2"), part=(("contacts", "2"),)),
    ]
    made = await items_planned(box, url, *chosen, told=["cannot be repaired: 7"])
    assert named(url, made.plan_id) == [("create-note", "1/1"), ("delete-contact", "2")]
    assert made.about["told"] == ["cannot be repaired: 7"]
    report = await apply(box, url, made.plan_id)
    assert report.status == "ok", report.warnings
    assert [row["id"] for row in box.contacts()] == [ids["1"]]
    assert len(box.notes(ids["1"])) == 1
