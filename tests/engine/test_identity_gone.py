"""Contacts that are not at the destination any more: deleted there by somebody, or merged into another."""

from __future__ import annotations

import pytest

from tasks.engine.report import COUNTS
from tasks.errors import ServiceUnavailable
from tasks.identity import directory
from tasks.ledger import facts
from tasks.ledger.database import opened
from tests.engine.test_identity import custom, person, quiet, there
from tests.support.accounts import retry, sync

ACTIVITIES = ("notes", "tasks", "appointments")


def mapped(deleted_contacts):
    return {"default_country": "GB", "deleted_contacts": deleted_contacts}


def with_activities(box, name="Ann", **values):
    """A contact with one activity of each kind."""
    number = person(box, name, **values)
    box.insert_source("notes", number, body="A note")
    box.insert_source("tasks", number, title="Call", due_at="2026-12-01 10:00:00")
    box.insert_source("appointments", number, title="Visit", starts_at="2026-12-01 10:00:00")
    return number


def numbers(box):
    return [len(box.contacts()), *(len(box.children(entity)) for entity in ACTIVITIES)]


async def touched(box, url, number, how, **sections):
    """A run that comes upon the contact, by a change of its own or of one of its activities."""
    match how:
        case "contact":
            box.edit_source("contacts", number, last_name="Changed")
        case "new activity":
            box.insert_source("notes", number, body="Another note")
        case "old activity":
            note = box.source("notes", number)[0]
            box.edit_source("notes", note["id"], number, body="Changed")
    return await sync(box, url, **sections)


HOW = pytest.mark.parametrize("how", ["contact", "new activity", "old activity"])


@HOW
async def test_left_by_default(box, url, how):
    number = with_activities(box)
    await sync(box, url)
    box.delete("contacts", box.contacts()[0]["id"])
    report = await touched(box, url, number, how)
    assert (report.status, numbers(box)) == ("ok", [0, 0, 0, 0])
    assert any("deleted at the destination by someone, and left so" in one for one in report.warnings)
    await quiet(box, url)
    box.edit_source("contacts", number, first_name="Anne")
    await sync(box, url)
    assert numbers(box) == [0, 0, 0, 0]


@HOW
async def test_recreated_with_its_activities_exactly_once(box, url, how):
    number = with_activities(box)
    await sync(box, url)
    old = box.contacts()[0]["id"]
    box.delete("contacts", old)
    report = await touched(box, url, number, how, mapping=mapped("recreate"))
    notes = 2 if how == "new activity" else 1
    assert (report.status, numbers(box)) == ("ok", [1, notes, 1, 1])
    new = box.contacts()[0]
    assert new["id"] != old
    assert all(one["contactId"] == new["id"] for entity in ACTIVITIES for one in box.children(entity))
    assert any("created anew" in one for one in report.warnings)
    await quiet(box, url, mapping=mapped("recreate"))
    await sync(box, url, mode="full", mapping=mapped("recreate"))
    assert numbers(box) == [1, notes, 1, 1]


async def test_an_activity_that_somebody_deleted_before_does_not_come_back_with_its_contact(box, url):
    number = with_activities(box)
    await sync(box, url)
    box.delete("notes", box.notes()[0]["id"])
    box.edit_source("notes", box.source("notes")[0]["id"], number, body="Changed")
    await sync(box, url)
    box.delete("contacts", box.contacts()[0]["id"])
    await touched(box, url, number, "contact", mapping=mapped("recreate"))
    assert numbers(box) == [1, 0, 1, 1]


async def test_a_run_that_dies_while_it_recreates_is_finished_by_the_next(box, url):
    number = with_activities(box)
    await sync(box, url)
    box.delete("contacts", box.contacts()[0]["id"])
    box.fault("commit_then_drop", method="POST", path="/contacts/$")
    box.fault("status", method="POST", path="/notes$|/tasks$", status=503)
    await touched(box, url, number, "contact", mapping=mapped("recreate"))
    box.clear_faults()
    for _ in range(2):
        report = await sync(box, url, mapping=mapped("recreate"))
    assert (report.status, numbers(box)) == ("ok", [1, 1, 1, 1])


@HOW
@pytest.mark.parametrize("status", [400, 404, 422])
async def test_one_whose_fate_is_not_told_is_refused_alone_and_asked_about_again(box, url, how, status):
    ann, bob = with_activities(box), person(box, "Bob")
    await sync(box, url)
    box.delete("contacts", there(box, "Ann")["id"])
    box.edit_source("contacts", bob, last_name="Changed")
    box.fault(
        "status", method="GET", path="/contacts/search/duplicate$", status=status, body={"message": "Odd"}
    )
    report = await touched(box, url, ann, how, mapping=mapped("recreate"))
    assert (report.status, report.entities["contacts"]["rejected"]) == ("degraded", 1)
    assert (there(box, "Bob")["lastName"], numbers(box)) == ("Changed", [1, 0, 0, 0])
    counted = report.entities["contacts"]
    done = [counted[name] for name in COUNTS if name not in ("read", "recovered")]
    assert sum(done) == counted["read"] + (how != "contact")  # its row is unchanged, and it is refused
    box.clear_faults()
    report = await sync(box, url, mapping=mapped("recreate"))
    notes = 2 if how == "new activity" else 1
    assert (report.status, numbers(box)) == ("ok", [2, notes, 1, 1])
    await quiet(box, url, mapping=mapped("recreate"))


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_an_activity_is_not_given_up_while_nobody_tells_whether_its_contact_is_there(box, url, status):
    ann, bob = with_activities(box), person(box, "Bob")
    await sync(box, url)
    gone = there(box, "Ann")["id"]
    box.delete("contacts", gone)
    box.edit_source("contacts", bob, last_name="Changed")
    box.fault("status", method="GET", path=f"/contacts/{gone}$", status=status, body={"message": "Odd"})
    report = await touched(box, url, ann, "old activity", mapping=mapped("recreate"))
    assert report.status in ("ok", "degraded")
    assert there(box, "Bob")["lastName"] == "Changed"
    box.clear_faults()
    for _ in range(2):
        report = await sync(box, url, mapping=mapped("recreate"))
    assert (report.status, numbers(box)) == ("ok", [2, 1, 1, 1])
    await quiet(box, url, mapping=mapped("recreate"))


@pytest.mark.parametrize("again", [sync, retry])
async def test_what_was_refused_of_one_that_is_gone_is_not_open_for_ever(box, url, again):
    number = with_activities(box)
    await sync(box, url)
    for body in ("Lost", "Refused"):
        box.insert_source("notes", number, body=body)
    box.fault("status", status=422, body={}, method="POST", path="/notes$", containing="Refused")
    box.fault("drop", method="POST", path="/notes$", containing="Lost", count=1)
    box.fault("status", method="GET", path="/notes$", status=400)
    notes = (await sync(box, url)).entities["notes"]
    assert (notes["rejected"], notes["unresolved"]) == (1, 1)
    box.clear_faults()
    box.delete("contacts", box.contacts()[0]["id"])
    await again(box, url)
    assert (await sync(box, url)).status == "ok"
    await quiet(box, url)


@HOW
async def test_asked_about(box, url, how):
    number = with_activities(box)
    await sync(box, url)
    box.delete("contacts", box.contacts()[0]["id"])
    report = await touched(box, url, number, how, mapping=mapped("ask"))
    assert (report.status, report.entities["contacts"]["ambiguous"]) == ("degraded", 1)
    assert numbers(box) == [0, 0, 0, 0]
    assert any(f"contact {number}: deleted at the destination" in one for one in report.warnings)
    await sync(box, url, mapping=mapped("ask"))
    assert numbers(box) == [0, 0, 0, 0]
    settled = await sync(box, url, mapping=mapped("recreate"))
    assert settled.status == "ok"
    assert numbers(box) == [1, 2 if how == "new activity" else 1, 1, 1]


@pytest.mark.parametrize("how", ["deleted", "merged"])
@pytest.mark.parametrize("kind", ["drop", "commit_then_drop"])
async def test_an_activity_of_unknown_outcome_is_settled_although_its_contact_is_gone(box, url, kind, how):
    number = with_activities(box)
    await sync(box, url)
    box.insert_source("notes", number, body="Lost")
    box.fault(kind, method="POST", path="/notes$", count=1)
    box.fault("status", method="GET", path="/notes$", status=400, count=9)
    assert (await sync(box, url)).entities["notes"]["unresolved"] == 1
    box.clear_faults()
    ours = box.contacts()[0]
    if how == "merged":
        keep = box.insert("contacts", firstName="Anna", email="anna@crm.example.com")
        box.merge(keep["id"], ours["id"])
    else:
        box.delete("contacts", ours["id"])
    report = await sync(box, url)
    assert (report.status, numbers(box)) == ("ok", [1, 2, 1, 1] if how == "merged" else [0, 0, 0, 0])
    await quiet(box, url)


# merged


@HOW
@pytest.mark.parametrize("deleted_contacts", ["leave", "recreate", "ask"])
async def test_merged_into_another_contact(box, url, how, deleted_contacts):
    number = with_activities(box, tel="02079460001", labels=["lead"])
    await sync(box, url, mapping=mapped(deleted_contacts))
    ours = box.contacts()[0]
    keep = box.insert("contacts", firstName="Anna", email="anna@crm.example.com", tags=["vip"])
    box.merge(keep["id"], ours["id"])
    report = await touched(box, url, number, how, mapping=mapped(deleted_contacts))
    assert (report.status, numbers(box)) == ("ok", [1, 2 if how == "new activity" else 1, 1, 1])
    after = box.contact(keep["id"])
    assert (after["firstName"], set(after["tags"])) == ("Anna", {"vip", "lead"})
    assert custom(box, after, "VoIPstudio ID") == str(number)
    assert any("merged into another contact" in one for one in report.warnings)
    await quiet(box, url, mapping=mapped(deleted_contacts))
    box.edit_source("notes", box.source("notes")[0]["id"], number, body="After the merge")
    await sync(box, url, mapping=mapped(deleted_contacts))
    assert any(note["body"].startswith("After the merge") for note in box.notes(keep["id"]))


async def test_merged_into_another_that_shows_nothing_but_our_activities(box, url):
    number = with_activities(box, tel="02079460001")
    await sync(box, url)
    ours = box.contacts()[0]
    keep = box.insert("contacts", firstName="Zoe", lastName="Fry", email="zoe@example.com")
    box.merge(keep["id"], ours["id"])
    box.edit("contacts", keep["id"], customFields={key["id"]: "" for key in keep.get("customFields", [])})
    box.edit("contacts", keep["id"], additionalEmails=[])
    fields = {one["id"]: "" for one in box.state("highlevel", "custom_fields")}
    box.edit("contacts", keep["id"], customFields=fields)
    report = await touched(box, url, number, "contact")
    assert any("merged into another contact" in one for one in report.warnings)
    assert numbers(box) == [1, 1, 1, 1]


async def test_two_of_ours_merged_into_one(box, url):
    ann, bob = with_activities(box, "Ann"), with_activities(box, "Bob")
    await sync(box, url)
    keep, lose = there(box, "Ann"), there(box, "Bob")
    box.merge(keep["id"], lose["id"])
    box.edit_source("contacts", bob, labels=["bobs"])
    report = await sync(box, url)
    assert (report.status, numbers(box)) == ("ok", [1, 2, 2, 2])
    assert box.contacts()[0]["tags"] == ["bobs"]
    assert (box.contacts()[0]["firstName"], box.contacts()[0]["email"]) == ("Ann", "ann@example.com")
    await quiet(box, url)
    box.edit_source("contacts", ann, last_name="Changed")
    await sync(box, url)
    assert (len(box.contacts()), box.contacts()[0]["lastName"]) == (1, "Changed")


async def test_a_deleted_contact_whose_email_two_others_have_is_not_guessed(box, url):
    box.reset(contacts=0, burst=5000, allow_duplicates=True)
    number = with_activities(box)
    await sync(box, url)
    box.delete("contacts", box.contacts()[0]["id"])
    for _ in range(2):
        box.insert("contacts", firstName="Ann", email="ann@example.com")
    report = await touched(box, url, number, "contact", mapping=mapped("recreate"))
    assert (report.entities["contacts"]["ambiguous"], numbers(box)) == (1, [2, 0, 0, 0])


async def test_a_contact_that_is_shown_as_deleted_is_gone(box, url):
    number = with_activities(box)
    await sync(box, url)
    shown = {**box.contacts()[0], "deleted": True}
    path = f"/contacts/{shown['id']}$"
    box.fault("status", method="GET", path=path, status=200, body={"contact": shown})
    box.reset_counters()
    report = await touched(box, url, number, "contact")
    assert box.writes() == {}
    assert any("deleted at the destination by someone, and left so" in one for one in report.warnings)


async def test_a_directory_that_was_not_read_to_its_end_is_read_again(box, url, monkeypatch):
    def newest():
        with opened(url) as ledger:
            return ledger.now_look(lambda connection: facts.get(connection, "acme", directory.FACT))[0][
                "newest"
            ]

    box.reset(contacts=20, burst=5000)
    await sync(box, url)
    assert newest() is not None
    read = directory.pages

    async def interrupted(*given):
        async for page in read(*given):
            yield page
            raise ServiceUnavailable("the connection went")

    box.insert_source("contacts", first_name="New", email="new@example.com")
    with monkeypatch.context() as patch:
        patch.setattr(directory, "pages", interrupted)
        assert (await sync(box, url, mode="full")).status == "failed"
    assert newest() is None
    assert (await sync(box, url)).status == "ok"
    assert newest() is not None


async def test_what_the_index_still_shows_is_not_taken_for_a_create_without_an_answer(box, url):
    box.reset(contacts=0, burst=5000, allow_duplicates=True, destination={"lag": 30})
    number = person(box, "Ann")
    await sync(box, url)
    box.advance(60)
    old = box.contacts()[0]["id"]
    box.delete("contacts", old)
    box.fault("drop", method="POST", path="/contacts/$", count=1)
    sections = {"mapping": mapped("recreate"), "destination": {"search_lag_seconds": 0.1}}
    report = await touched(box, url, number, "contact", **sections)
    assert report.status == "ok"
    assert [row["id"] for row in box.contacts()] != [old]
    assert len(box.contacts()) == 1
    await quiet(box, url, **sections)
