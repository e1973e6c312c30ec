"""A plan is carried out, and only it: what changed since is left and named; what was killed is completed."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select, update

from tasks.engine.apply import apply_once
from tasks.engine.choose import Refused, exported, imported
from tasks.engine.run import Run
from tasks.engine.steps import sync_once
from tasks.errors import ConfigurationError
from tasks.ledger import plans, tables
from tasks.ledger.database import opened
from tasks.ledger.journal import Journal
from tasks.options import ApplyOptions, SyncOptions
from tests.support.accounts import settings_of, sync
from tests.support.planning import apply, foreseen, plan, received


def person(box, number=1, **values):
    given = {"first_name": f"Person{number}", "email": f"person{number}@example.com"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def contact(box, number):
    return next(row for row in box.contacts() if row["email"] == f"person{number}@example.com")


def rows(url, entity="contacts"):
    query = select(tables.records).where(tables.records.c.entity == entity)
    with opened(url) as database:
        found = database.now_look(lambda one: one.execute(query).all())
    return {row.source_id: {**row._mapping, "seen": 0} for row in found}


@pytest.fixture
async def renamed(box, url):
    """Three people who are there, and are called otherwise by now; a plan of that."""
    for number in (1, 2, 3):
        person(box, number, last_name="Before", labels=["old"])
        box.insert_source("notes", number, body=f"Said {number}")
    await sync(box, url)
    for number in (1, 2, 3):
        box.edit_source("contacts", number, last_name="After", labels=["new"])
        note = box.source("notes", number)[0]
        box.edit_source("notes", note["id"], number, body=f"Corrected {number}")
    made = await plan(box, url)
    box.record()
    box.reset_counters()
    return made


async def test_what_is_sent_is_what_was_planned(box, url, renamed):
    report = await apply(box, url, renamed.plan_id)
    assert (report.status, report.mode) == ("ok", "apply")
    assert report.entities["contacts"]["updated"] == report.entities["notes"]["updated"] == 3
    assert received(box) == foreseen(url, renamed.plan_id)
    box.reset_counters()
    assert (await sync(box, url)).status == "ok"
    assert box.counters()["highlevel"]["requests"] == 0


async def test_what_was_applied_is_not_applied_again(box, url, renamed):
    await apply(box, url, renamed.plan_id[:-2])
    box.reset_counters()
    report = await apply(box, url, renamed.plan_id)
    assert (report.status, report.warnings) == ("ok", [f"plan {renamed.plan_id} was applied already"])
    assert box.counters()["highlevel"]["requests"] == 0


@pytest.mark.parametrize("edit", [{"lastName": "Human"}, {"tags": ["old", "human"]}, {"city": "Leeds"}])
async def test_a_contact_that_somebody_changed_is_left_and_named(box, url, renamed, edit):
    box.edit("contacts", contact(box, 2)["id"], **edit)
    before, there = rows(url)["2"], contact(box, 2)
    report = await apply(box, url, renamed.plan_id)
    assert report.status == "degraded"
    assert [one for one in report.warnings if "left out: contacts 2 was changed at the destination" in one]
    assert contact(box, 2) == there
    assert rows(url)["2"] == before
    assert report.entities["contacts"]["updated"] == 2
    assert report.entities["notes"]["updated"] == 3
    assert (await sync(box, url)).status == "ok"


async def test_an_activity_that_somebody_changed_is_left_and_named(box, url, renamed):
    note = box.notes(contact(box, 2)["id"])[0]
    box.edit("notes", note["id"], body="Human " + note["body"])
    before = rows(url, "notes")
    report = await apply(box, url, renamed.plan_id)
    left = next(key for key in before if key.startswith("2/"))
    assert [one for one in report.warnings if f"left out: notes {left} was changed" in one]
    assert rows(url, "notes")[left] == before[left]
    assert box.notes(contact(box, 2)["id"])[0]["body"].startswith("Human")


async def test_what_would_be_adopted_by_now_is_not_created(box, url):
    person(box, 1)
    person(box, 2)
    box.insert_source("notes", 1, body="Said")
    made = await plan(box, url)
    box.insert("contacts", firstName="Person1", email="person1@example.com", city="Leeds")
    report = await apply(box, url, made.plan_id)
    assert report.status == "degraded"
    assert [
        one for one in report.warnings if one.startswith("left out: contacts 1 would be written otherwise")
    ]
    assert sorted(rows(url)) == ["2"]
    assert rows(url, "notes") == {}
    assert len(box.contacts()) == 2


async def test_what_another_run_has_synced_is_left_to_it(box, url, renamed):
    box.edit_source("contacts", 1, last_name="Later")
    await sync(box, url)
    box.reset_counters()
    report = await apply(box, url, renamed.plan_id)
    assert box.writes() == {}
    assert contact(box, 1)["lastName"] == "Later"
    assert [one for one in report.warnings if "left out: contacts 1 was synced by another run" in one]


async def test_a_contact_that_is_back_is_not_deleted(box, url):
    everything = {"deletes": "delete", "max_deletes": 100, "max_delete_percent": 100.0}
    person(box, 1)
    person(box, 2)
    await sync(box, url, mapping=everything)
    box.delete_source("contacts", 2)
    await sync(box, url, mapping=everything)
    made = await plan(box, url, mapping=everything)
    assert made.about["operations"] == {"delete-contact": 1}
    box.insert_source("contacts", id=2, first_name="Person2", email="person2@example.com")
    await sync(box, url, mapping=everything)
    report = await apply(box, url, made.plan_id, mapping=everything)
    assert len(box.contacts()) == 2
    assert [one for one in report.warnings if "left out: contacts 2 was to be deleted" in one]


async def test_what_a_sync_does_that_goes_first_counts(box, url, monkeypatch):
    everything = {"deletes": "delete", "max_deletes": 100, "max_delete_percent": 100.0}
    person(box, 1)
    person(box, 2)
    await sync(box, url, mapping=everything)
    box.delete_source("contacts", 2)
    await sync(box, url, mapping=everything)
    made = await plan(box, url, mapping=everything)
    step_aside, left = Run.step_aside, iter([True])

    async def live_sync():
        box.insert_source("contacts", id=2, first_name="Person2", email="person2@example.com")
        assert (await sync(box, url, mapping=everything)).status == "ok"

    async def stepping(run, meanwhile=None):
        goes_first = run.kind == "apply" and next(left, False)
        await step_aside(run, live_sync if goes_first else meanwhile)

    monkeypatch.setattr(Run, "step_aside", stepping)
    report = await apply(box, url, made.plan_id, mapping=everything)
    assert len(box.contacts()) == 2
    assert [one for one in report.warnings if "left out: contacts 2 was to be deleted" in one]


# killed


class Crash(BaseException):
    """The process is gone."""


@pytest.mark.parametrize("at", [3, 9])
@pytest.mark.parametrize("saved", [True, False])
async def test_a_killed_apply_is_completed(box, url, renamed, monkeypatch, at, saved):
    """At the ``at``-th save of a record, before or after it is durable."""
    person(box, 4)
    box.insert_source("notes", 4, body="Said 4")
    made = await plan(box, url)
    box.reset_counters()
    save, left = Journal.save, iter(range(at, 0, -1))

    async def dying(journal, *what, **more):
        last = next(left, 0) == 1
        if last and not saved:
            raise Crash
        await save(journal, *what, **more)
        if last:
            raise Crash

    monkeypatch.setattr(Journal, "save", dying)
    narrow = {"destination": {"concurrency": 1, "settle_seconds": 0.05, "search_lag_seconds": 0.05}}
    with pytest.raises(BaseException, match=r"Crash|unhandled|^$"):
        await apply(box, url, made.plan_id, **narrow)
    monkeypatch.setattr(Journal, "save", save)
    report = await apply(box, url, made.plan_id, **narrow)
    assert report.status == "ok", report.warnings
    assert [row["lastName"] for row in box.contacts() if "lastName" in row] == ["After"] * 3
    assert all(row["tags"] == ["new"] for row in box.contacts() if "lastName" in row)
    assert sorted(row["body"].partition("\n")[0] for row in box.notes()) == [
        "Corrected 1",
        "Corrected 2",
        "Corrected 3",
        "Said 4",
    ]
    box.reset_counters()
    assert (await sync(box, url)).status == "ok"
    assert box.writes() == {}


async def test_a_run_that_the_destination_ended_is_continued(box, url, renamed, monkeypatch):
    monkeypatch.setattr("tasks.transport.FIRST_PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("tasks.transport.PATIENCE_SECONDS", 0.2, raising=False)
    box.fault("status", method="PUT", path="/contacts/", status=401, after=2, count=1)
    report = await apply(box, url, renamed.plan_id)
    assert report.status == "failed"
    box.clear_faults()
    report = await apply(box, url, renamed.plan_id)
    assert report.status == "ok", report.warnings
    assert [row["lastName"] for row in box.contacts()] == ["After"] * 3


# refused


async def test_a_plan_that_was_altered_is_refused(box, url, renamed):
    with opened(url) as database:
        row = database.now_look(lambda one: plans.items(one, renamed.plan_id))[0]
        text = json.dumps(row.item).replace("After", "Evil")
        change = update(tables.plan_items).where(tables.plan_items.c.number == row.number)
        database.now_do(lambda one: one.execute(change.values(item=json.loads(text))))
    with pytest.raises(Refused, match="was altered since it was made"):
        await apply(box, url, renamed.plan_id)
    assert box.counters()["highlevel"]["requests"] == 0


async def test_a_file_travels_and_is_refused_where_it_was_altered(box, url, tmp_path, renamed):
    path, elsewhere = tmp_path / "plan.json", f"sqlite:///{tmp_path}/elsewhere.db"
    with opened(url) as database:
        stored = database.now_look(lambda one: plans.get(one, renamed.plan_id))
        path.write_text("".join(exported(database, stored)))
        assert imported(database, "acme", path) == renamed.plan_id
        path.write_text(path.read_text().replace("After", "Evil"))
        with pytest.raises(Refused, match="was altered since it was written"):
            imported(database, "acme", path)
        for text in ("{}", json.dumps({**json.loads(path.read_text()), "about": None})):
            path.write_text(text)
            with pytest.raises(ConfigurationError, match="is no plan"):
                imported(database, "acme", path)
    await sync(box, elsewhere)
    with opened(url) as database:
        path.write_text("".join(exported(database, stored)))
    with opened(elsewhere) as database:
        with pytest.raises(ConfigurationError, match="is a plan of acme, not of other"):
            imported(database, "other", path)
        assert imported(database, "acme", path) == renamed.plan_id
        assert database.now_look(lambda one: plans.get(one, renamed.plan_id)) == stored


async def test_a_plan_for_something_else_is_refused(box, url, renamed):
    for sections, words in (
        ({"mapping": {"tag_prefix": "voip "}}, "made with another mapping"),
        ({"destination": {"location_id": "another"}}, "for another location"),
        ({"destination": {"plan_max_age_hours": 1e-6}}, "hours old"),
    ):
        with pytest.raises(Refused, match=words):
            await apply(box, url, renamed.plan_id, **sections)
    assert box.counters()["highlevel"]["requests"] == 0


async def test_the_latest_is_the_newest_that_was_not_applied(box, url, renamed):
    box.edit_source("contacts", 1, last_name="Later")
    newest = await plan(box, url)
    assert (await apply(box, url, "latest")).status == "ok"
    assert contact(box, 1)["lastName"] == "Later"
    assert (await apply(box, url, newest.plan_id)).warnings == [f"plan {newest.plan_id} was applied already"]
    assert (await apply(box, url, "latest")).status == "degraded"  # the older one: superseded by now
    with pytest.raises(ConfigurationError, match="has no plan 'latest'"):
        await apply(box, url, "latest")


async def test_a_plan_that_is_not_there_is_refused(box, url, renamed):
    await plan(box, url)
    with pytest.raises(ConfigurationError, match="acme has no plan 'nonsense'"):
        await apply(box, url, "nonsense")
    with pytest.raises(ConfigurationError, match="several plans of acme begin with '20'"):
        await apply(box, url, "20")


async def test_a_plan_that_was_begun_may_be_completed_later(box, url, renamed):
    old = {"destination": {"plan_max_age_hours": 1e-6}}
    box.fault("status", method="PUT", path="/contacts/", status=401, after=2, count=1)
    assert (await apply(box, url, renamed.plan_id)).status == "failed"
    box.clear_faults()
    assert (await apply(box, url, renamed.plan_id, **old)).status == "ok"


# first run


async def test_nothing_is_written_before_the_first_plan_where_it_is_required(box, url):
    person(box, 1)
    configured = settings_of(box, url)
    acme = configured.accounts["acme"].model_copy(update={"first_run": "plan"})
    settings = configured.model_copy(update={"accounts": {"acme": acme}})

    async def try_sync():
        return await sync_once("acme", SyncOptions(), settings)

    with pytest.raises(ConfigurationError, match="voipsync plan acme"):
        await try_sync()
    assert box.counters()["highlevel"]["requests"] == 0
    made = await plan(box, url)
    with pytest.raises(ConfigurationError, match="first_run"):
        await try_sync()
    await apply_once("acme", ApplyOptions(plan=made.plan_id), settings)
    assert len(box.contacts()) == 1
    assert (await try_sync()).status == "ok"


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_a_plan_on_postgresql_sealed(box, ledger_url, monkeypatch):
    monkeypatch.setenv("LEDGER_KEY", "a key that is long enough for this")
    state = {"encryption_keys": ["${LEDGER_KEY}"]}
    box.seed(contacts=5)
    await sync(box, ledger_url, state=state)
    for row in box.source("contacts"):
        box.edit_source("contacts", row["id"], last_name="After\0wards 🎪", labels=["new"])
    made = await plan(box, ledger_url, state=state)
    assert made.about["operations"]["update-contact"] > 0
    box.reset_counters()
    assert (await apply(box, ledger_url, made.plan_id, state=state)).status == "ok"
    assert sum(box.writes().values()) == made.about["requests"]["writes"]
    assert (await apply(box, ledger_url, made.plan_id, state=state)).warnings == [
        f"plan {made.plan_id} was applied already"
    ]
