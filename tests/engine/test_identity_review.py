"""What nobody guesses: listed for a person, whose decision the next sync carries out."""

from __future__ import annotations

import pytest

from tasks.engine.review import decide, to_review
from tasks.errors import ConfigurationError, VoipsyncError
from tasks.ledger.database import opened
from tasks.ledger.journal import Journal
from tasks.options import SyncOptions
from tests.engine.test_identity import LINE, counts, custom, person, quiet, there
from tests.engine.test_identity_gone import mapped, numbers, with_activities
from tests.support.accounts import settings_of, sync
from tests.support.dying import Crash


@pytest.fixture
def open_question(box):
    """A contact at the source whose phone is that of a contact with another name; their ids."""
    theirs = box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE, email="zoe@example.com")
    number = with_activities(box, "Ann", email=None, tel="02079460001", labels=["lead"])
    return str(number), theirs["id"]


def listed(url, account="acme"):
    with opened(url) as database:
        return to_review(database, account)


async def settle(box, url, source_id, contact_id=None, **sections):
    await decide("acme", str(source_id), contact_id, settings_of(box, url, **sections), SyncOptions())


async def test_listed_with_ids_and_keys_and_nothing_else(box, url, open_question):
    source_id, contact_id = open_question
    report = await sync(box, url)
    assert (report.status, counts(report)) == ("degraded", {"read": 1, "ambiguous": 1})
    assert listed(url) == [
        {
            "source_id": source_id,
            "reason": "the phone is another contact's, and there is no e-mail to tell them apart",
            "candidates": [{"id": contact_id, "matched": ["phone"]}],
            "decision": None,
        }
    ]
    assert "Zoe" not in str(listed(url))


async def test_linked_as_decided(box, url, open_question):
    source_id, contact_id = open_question
    await sync(box, url)
    box.reset_counters()
    await settle(box, url, source_id, contact_id)
    assert (box.counters()["highlevel"]["requests"], box.writes()) == (1, {})
    assert listed(url)[0]["decision"] == contact_id
    report = await sync(box, url)
    assert (report.status, counts(report)["adopted"], numbers(box)) == ("ok", 1, [1, 1, 1, 1])
    after = box.contact(contact_id)
    assert (after["firstName"], after["tags"]) == ("Zoe", ["lead"])
    assert custom(box, after, "VoIPstudio ID") == source_id
    assert listed(url) == []
    await quiet(box, url)


@pytest.mark.parametrize("allow_duplicates", [False, True])
async def test_created_as_decided_without_the_phone_that_is_taken(box, url, allow_duplicates):
    box.reset(contacts=0, burst=5000, allow_duplicates=allow_duplicates)
    mail = box.insert("contacts", firstName="Ann", lastName="Smith", email="ann@example.com")
    line = box.insert("contacts", firstName="Ann", lastName="Smith", phone=LINE)
    number = person(box, "Ann", tel="02079460001", email="ann@example.com")
    await sync(box, url)
    (one,) = listed(url)
    matched = {known["id"]: known["matched"] for known in one["candidates"]}
    assert matched == {mail["id"]: ["email"], line["id"]: ["phone"]}
    await settle(box, url, number)
    report = await sync(box, url)
    if allow_duplicates:  # the same e-mail twice is what was decided
        assert (report.status, counts(report)["created"]) == ("ok", 1)
        (new,) = [row for row in box.contacts() if row["id"] not in matched]
        assert (new["email"], "phone" in new, custom(box, new)) == ("ann@example.com", False, LINE)
        await quiet(box, url)
    else:  # the location takes neither key, and nobody without one
        assert (report.status, counts(report)["rejected"], len(box.contacts())) == ("degraded", 1, 2)
        await settle(box, url, number, mail["id"])
        report = await sync(box, url)
        assert (report.status, counts(report)["adopted"]) == ("ok", 1)
        assert custom(box, box.contact(mail["id"])) == LINE


async def test_created_as_decided_where_only_the_phone_is_taken(box, url):
    twins = [box.insert("contacts", firstName="Ann", lastName="Smith", email="ann@example.com")]
    twins.append(box.insert("contacts", firstName="Ann", lastName="Smith", phone=LINE))
    number = person(box, "Ann", tel="02079460001", email="ann@example.com")
    await sync(box, url)
    box.edit("contacts", twins[0]["id"], email="other@example.com")
    await settle(box, url, number)
    report = await sync(box, url)
    assert (report.status, len(box.contacts())) == ("ok", 3)
    (new,) = [row for row in box.contacts() if row.get("email") == "ann@example.com"]
    assert ("phone" in new, custom(box, new)) == (False, LINE)


async def test_what_is_said_where_there_is_nothing_to_decide(box, url, open_question):
    source_id, contact_id = open_question
    linked = person(box, "Bob")
    await sync(box, url)
    with pytest.raises(ConfigurationError, match=rf"contact 99 is not known.*lists {source_id}$"):
        await settle(box, url, 99, contact_id)
    with pytest.raises(ConfigurationError, match=f"linked already, to {there(box, 'Bob')['id']}"):
        await settle(box, url, linked, contact_id)
    with pytest.raises(ConfigurationError, match="there is no contact nowhere in the location"):
        await settle(box, url, source_id, "nowhere")
    assert listed(url)[0]["decision"] is None
    skipped = person(box, "Cy", email=None)
    await sync(box, url)
    with pytest.raises(ConfigurationError, match=f"contact {skipped} is skipped, there is nothing to decide"):
        await settle(box, url, skipped)


@pytest.mark.parametrize("kind", ["commit_then_drop", "status"])
@pytest.mark.parametrize("create", [True, False])
async def test_a_decision_survives_trouble(box, url, open_question, kind, create):
    source_id, contact_id = open_question
    await sync(box, url)
    if create:
        box.edit("contacts", contact_id, phone="+442079460009")  # so that the phone is free
    await settle(box, url, source_id, None if create else contact_id)
    method, path = ("POST", "/contacts/$") if create else ("PUT", "/contacts/[^/]*$")
    box.fault(kind, method=method, path=path, **({"status": 400} if kind == "status" else {}))
    await sync(box, url, destination={"settle_seconds": 0.0, "search_lag_seconds": 0.0})
    box.clear_faults()
    for _ in range(2):
        report = await sync(box, url)
    assert report.status == "ok"
    assert listed(url) == []
    owner = [row["id"] for row in box.contacts() if custom(box, row, "VoIPstudio ID") == source_id]
    assert len(owner) == 1
    assert (owner[0] == contact_id) is not create


async def test_nobody_is_asked_about_a_contact_that_is_not_there_any_more(box, url, open_question):
    _, contact_id = open_question
    person(box, "Bob")
    await sync(box, url)
    box.delete("contacts", contact_id)
    number = person(box, "Cy", email=None, tel="02079460001")
    report = await sync(box, url)
    assert (report.status, there(box, "Cy")["phone"], bool(number)) == ("degraded", LINE, True)


async def test_a_contact_that_is_gone_by_then_is_asked_about_again(box, url, open_question):
    source_id, contact_id = open_question
    other = box.insert("contacts", firstName="Bo", email="bo@example.com")
    await sync(box, url)
    await settle(box, url, source_id, other["id"])
    box.delete("contacts", other["id"])
    report = await sync(box, url)
    assert report.entities["contacts"]["ambiguous"] == 1
    assert "not there any more" in listed(url)[0]["reason"]
    await settle(box, url, source_id, contact_id)
    assert (await sync(box, url)).status == "ok"


@pytest.mark.parametrize("deleted_contacts", ["ask", "leave"])
@pytest.mark.parametrize("create", [True, False])
async def test_a_deleted_contact_is_settled(box, url, deleted_contacts, create):
    mapping = mapped(deleted_contacts)
    number = with_activities(box)
    await sync(box, url, mapping=mapping)
    box.delete("contacts", box.contacts()[0]["id"])
    box.edit_source("contacts", number, last_name="Changed")
    await sync(box, url, mapping=mapping)
    if deleted_contacts == "ask":
        assert listed(url)[0]["reason"] == "deleted at the destination"
    other = None if create else box.insert("contacts", firstName="New", phone="+442079460009")["id"]
    await settle(box, url, number, other, mapping=mapping)
    report = await sync(box, url, mapping=mapping)
    assert (report.status, numbers(box)) == ("ok", [1, 1, 1, 1])
    assert box.contacts()[0].get("email") == "ann@example.com"
    assert other in (None, box.contacts()[0]["id"])
    await quiet(box, url, mapping=mapping)


@pytest.mark.parametrize("how", ["merged", "deleted"])
async def test_a_link_follows_a_contact_that_is_gone_before_any_sync_comes_upon_it(box, url, how):
    number = with_activities(box, tel="02079460001", labels=["lead"])
    await sync(box, url)
    ours = box.contacts()[0]
    keep = box.insert("contacts", firstName="Zoe", lastName="Fry", email="zoe@example.com")
    with pytest.raises(ConfigurationError, match=f"linked already, to {ours['id']}, which is there"):
        await settle(box, url, number, keep["id"])
    if how == "merged":
        box.merge(keep["id"], ours["id"])
    else:
        box.delete("contacts", ours["id"])
    box.reset_counters()
    await settle(box, url, number, keep["id"])
    assert box.writes() == {}
    report = await sync(box, url)
    assert (report.status, counts(report)["adopted"], numbers(box)) == ("ok", 1, [1, 1, 1, 1])
    after = box.contact(keep["id"])
    assert (after["firstName"], custom(box, after, "VoIPstudio ID")) == ("Zoe", str(number))
    assert {one["contactId"] for one in (*box.notes(), *box.tasks(), *box.appointments())} == {keep["id"]}
    await quiet(box, url)
    box.edit_source("contacts", number, labels=["lead", "won"])
    await sync(box, url)
    assert set(box.contact(keep["id"])["tags"]) == {"lead", "won"}


async def test_a_link_waits_until_the_truth_about_a_write_is_known(box, url, monkeypatch):
    number = person(box, "Ann")
    await sync(box, url)
    box.edit_source("contacts", number, last_name="Changed")
    save = Journal.save

    async def dying(journal, *what, **more):
        await save(journal, *what, **more)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "save", dying)
        with pytest.raises(BaseException, match=r"Crash|unhandled|^$"):
            await sync(box, url)
    box.delete("contacts", there(box, "Ann")["id"])
    other = box.insert("contacts", firstName="Zoe")["id"]
    with pytest.raises(ConfigurationError, match="run `voipsync sync acme` first"):
        await settle(box, url, number, other)


async def test_a_decision_waits_for_the_lease(box, url, open_question):
    source_id, contact_id = open_question
    await sync(box, url)
    settings = settings_of(box, url)
    from tasks.engine.opening import open_run  # noqa: PLC0415

    async with open_run("acme", settings, SyncOptions()):
        with pytest.raises(VoipsyncError):
            await decide("acme", source_id, contact_id, settings, SyncOptions(wait_seconds=0))
    assert listed(url)[0]["decision"] is None
