"""Who is who: shared and moved e-mails and phones, and people who are at the source twice."""

from __future__ import annotations

import asyncio

import pytest

from tasks.engine.who import ROUNDS
from tests.support.accounts import sync

LINE, OTHER = "+442079460001", "+442079460002"


def person(box, name, **values):
    """A contact at the source; its id."""
    given = {"first_name": name, "last_name": "Smith", "email": f"{name.lower()}@example.com"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def there(box, name):
    """The contact at the destination with this first name."""
    (found,) = [row for row in box.contacts() if row.get("firstName") == name]
    return found


def custom(box, row, label="VoIPstudio other phones"):
    """A contact's value of one of our custom fields."""
    (field,) = [one["id"] for one in box.state("highlevel", "custom_fields") if one["name"] == label]
    return next((one["value"] for one in row["customFields"] if one["id"] == field), None)


def counts(report, entity="contacts"):
    return {name: number for name, number in report.entities[entity].items() if number}


async def quiet(box, url, **sections):
    """A run without changes at the source asks and writes nothing."""
    box.reset_counters()
    report = await sync(box, url, **sections)
    assert box.counters()["highlevel"]["requests"] == 0
    return report


# one phone, several people


@pytest.mark.parametrize("allow_duplicates", [False, True])
async def test_a_shared_phone_is_the_first_ones_and_kept_for_the_others(box, url, allow_duplicates):
    box.reset(contacts=0, burst=5000, allow_duplicates=allow_duplicates)
    theirs = box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE, email="zoe@example.com")
    person(box, "Ann", tel="02079460001", mobile="02079460002")
    report = await sync(box, url)
    assert (report.status, counts(report)) == ("ok", {"read": 1, "created": 1})
    assert "phone" not in there(box, "Ann")
    assert custom(box, there(box, "Ann")) == f"{LINE}, {OTHER}"
    assert box.contact(theirs["id"])["phone"] == LINE
    assert any("phone not written: another contact" in one for one in report.warnings)
    await quiet(box, url)


async def test_a_phone_that_is_another_contacts_is_kept_at_an_adopted_one(box, url):
    box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE, email="zoe@example.com")
    adopted = box.insert("contacts", firstName="Ann", lastName="Smith", email="ann@example.com")
    person(box, "Ann", tel="02079460001")
    report = await sync(box, url)
    assert counts(report) == {"read": 1, "adopted": 1}
    after = box.contact(adopted["id"])
    assert ("phone" in after, custom(box, after)) == (False, LINE)
    assert any("phone not written" in one for one in report.warnings)
    await quiet(box, url)


async def test_an_adopted_contacts_own_phone_stands_and_ours_is_kept_beside_it(box, url):
    adopted = box.insert("contacts", firstName="Ann", email="ann@example.com", phone=OTHER)
    person(box, "Ann", tel="02079460001")
    report = await sync(box, url)
    after = box.contact(adopted["id"])
    assert (after["phone"], custom(box, after)) == (OTHER, LINE)
    assert any("phone left as a person wrote it" in one for one in report.warnings)
    await quiet(box, url)


@pytest.mark.parametrize("allow_duplicates", [False, True])
async def test_a_phone_refused_on_update_is_kept_and_written_when_it_is_free(box, url, allow_duplicates):
    box.reset(contacts=0, burst=5000, allow_duplicates=allow_duplicates)
    ann, bob = person(box, "Ann"), person(box, "Bob", tel="02079460001")
    await sync(box, url)
    box.edit_source("contacts", ann, tel="02079460001", last_name="Married")
    report = await sync(box, url)
    after = there(box, "Ann")
    assert ("phone" in after, custom(box, after), after["lastName"]) == (False, LINE, "Married")
    assert (report.status, counts(report)["updated"]) == ("ok", 1)
    assert any("phone not written" in one for one in report.warnings)
    await quiet(box, url)
    box.edit_source("contacts", bob, tel="02079460002")
    await sync(box, url)
    assert (there(box, "Bob")["phone"], there(box, "Ann")["phone"]) == (OTHER, LINE)
    assert not custom(box, there(box, "Ann"))
    await quiet(box, url)


async def test_a_phone_is_refused_by_a_holder_who_was_not_known(box, url):
    ann = person(box, "Ann")
    await sync(box, url)
    box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE)
    box.edit_source("contacts", ann, tel="02079460001", last_name="Married")
    report = await sync(box, url)
    after = there(box, "Ann")
    assert ("phone" in after, custom(box, after), after["lastName"]) == (False, LINE, "Married")
    assert any("phone not written" in one for one in report.warnings)
    await quiet(box, url)


async def test_a_phone_that_a_stranger_gives_up_is_written_once_that_is_learnt(box, url):
    stranger = box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE, email="zoe@example.com")
    person(box, "Ann", tel="02079460001")
    await sync(box, url)
    box.edit("contacts", stranger["id"], phone=OTHER)
    person(box, "New")  # somebody to be resolved: the location is read again
    await sync(box, url)
    assert there(box, "Ann")["phone"] == LINE
    box.edit("contacts", there(box, "Ann")["id"], phone="+442079460009")
    await quiet(box, url)


async def test_a_full_run_writes_a_phone_that_has_become_free(box, url):
    stranger = box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE, email="zoe@example.com")
    person(box, "Ann", tel="02079460001")
    await sync(box, url)
    box.delete("contacts", stranger["id"])
    await sync(box, url, mode="full")
    assert there(box, "Ann")["phone"] == LINE


# e-mail and phone point at two contacts


async def test_email_of_one_and_phone_of_another(box, url):
    mail = box.insert("contacts", firstName="Ann", lastName="Smith", email="ann@example.com")
    line = box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE, email="zoe@example.com")
    person(box, "Ann", tel="02079460001")
    await sync(box, url)
    assert custom(box, box.contact(mail["id"])) == LINE
    assert box.contact(line["id"])["phone"] == LINE
    assert not custom(box, box.contact(line["id"]), "VoIPstudio ID")


async def test_email_of_one_and_phone_of_what_may_be_the_same_person_is_nobodys_guess(box, url):
    mail = box.insert("contacts", firstName="Ann", lastName="Smith", email="ann@example.com")
    line = box.insert("contacts", firstName="Ann", lastName="Smith", phone=LINE)
    before = box.contacts()
    person(box, "Ann", tel="02079460001")
    report = await sync(box, url)
    assert (report.status, counts(report)) == ("degraded", {"read": 1, "ambiguous": 1})
    assert box.contacts() == before
    assert any(mail["id"] in one and line["id"] in one for one in report.warnings)


# one person, twice at the source


async def test_two_entries_of_one_person_do_not_undo_each_other(box, url):
    one = person(box, "Ann", email="ann@example.com", company="One", labels=["red", "both"])
    two = person(box, "Anna", email="Ann@example.com", labels=["blue", "both"], tel="02079460001")
    report = await sync(box, url)
    assert counts(report) == {"read": 2, "created": 1, "adopted": 1}
    assert not any("as a person wrote it" in warning for warning in report.warnings)
    (contact,) = box.contacts()
    assert (contact["firstName"], contact["phone"]) == ("Ann", LINE)
    assert set(contact["tags"]) == {"red", "blue", "both"}
    assert custom(box, contact, "VoIPstudio ID") == str(one)
    await quiet(box, url)
    box.edit_source("contacts", two, first_name="Anne")  # the latest word at the source counts
    await sync(box, url)
    assert box.contacts()[0]["firstName"] == "Anne"
    await quiet(box, url)
    box.reset_counters()
    await sync(box, url, mode="full")
    assert box.writes() == {}
    box.edit_source("contacts", one, first_name="Annie", labels=["red"])
    report = await sync(box, url)
    contact = box.contacts()[0]
    assert (contact["firstName"], set(contact["tags"])) == ("Annie", {"red", "blue", "both"})
    box.edit_source("contacts", two, labels=["blue"])
    await sync(box, url)
    assert set(box.contacts()[0]["tags"]) == {"red", "blue"}
    await quiet(box, url)


@pytest.mark.parametrize("policy", ["source", "merge"])
async def test_entries_of_one_person_settle_whatever_the_policy(box, url, policy):
    mapping = {"default_country": "GB", "fields": {"firstName": {"policy": policy, "winner": "source"}}}
    person(box, "Ann", email="ann@example.com")
    person(box, "Anna", email="ann@example.com")
    await sync(box, url, mapping=mapping)
    first = box.contacts()[0]["firstName"]
    for _ in range(2):
        box.reset_counters()
        await sync(box, url, mode="full", mapping=mapping)
        assert (box.writes(), box.contacts()[0]["firstName"]) == ({}, first)


async def test_a_label_that_both_lose_at_once_goes(box, url):
    ids = [person(box, name, email="ann@example.com", labels=["x", name]) for name in ("Ann", "Anna")]
    await sync(box, url)
    for number, name in zip(ids, ("Ann", "Anna"), strict=True):
        box.edit_source("contacts", number, labels=[name])
    await sync(box, url)
    assert set(box.contacts()[0]["tags"]) == {"ann", "anna"}


async def test_the_same_phone_and_name_is_one_person(box, url):
    person(box, "Ann", tel="02079460001")
    person(box, "ann", email=None, tel="02079460001", labels=["second"])
    report = await sync(box, url)
    assert counts(report) == {"read": 2, "created": 1, "adopted": 1}
    assert box.contacts()[0]["tags"] == ["second"]


async def test_entries_of_one_person_are_found_again_after_a_lost_ledger(box, url, tmp_path):
    person(box, "Ann", email="ann@example.com", labels=["red"])
    person(box, "Anna", email="ann@example.com", tel="02079460001", labels=["blue"])
    await sync(box, url)
    before = box.state("highlevel")
    report = await sync(box, f"sqlite:///{tmp_path}/another.db")
    assert counts(report) == {"read": 2, "adopted": 2}
    assert box.state("highlevel") == before


async def test_a_second_entry_that_comes_later_is_linked_to_the_first(box, url):
    person(box, "Ann", labels=["red"])
    await sync(box, url)
    two = person(box, "Anna", email="ann@example.com", labels=["blue"])
    note = box.insert_source("notes", two, body="Of the second")
    report = await sync(box, url)
    assert counts(report) == {"read": 2, "unchanged": 1, "adopted": 1}
    assert set(box.contacts()[0]["tags"]) == {"red", "blue"}
    assert note
    assert len(box.notes()) == 1
    await quiet(box, url)


# what moved from one to another


@pytest.mark.parametrize("allow_duplicates", [False, True])
@pytest.mark.parametrize("first", ["giver", "taker"])
@pytest.mark.parametrize("key", ["email", "phone"])
async def test_a_key_that_moved_between_known_contacts(box, url, first, key, allow_duplicates):
    box.reset(contacts=0, burst=5000, allow_duplicates=allow_duplicates)
    giver, taker = ("Ann", "Bob") if first == "giver" else ("Bob", "Ann")
    ids = {}
    for name in ("Ann", "Bob"):
        line = {"tel": "02079460001"} if name == giver else {}
        ids[name] = person(box, name, **line)
    await sync(box, url)
    old = f"{giver.lower()}@example.com"
    if key == "email":
        box.edit_source("contacts", ids[giver], email="new@example.com")
        box.edit_source("contacts", ids[taker], email=old)
    else:
        box.edit_source("contacts", ids[giver], tel="02079460002")
        box.edit_source("contacts", ids[taker], tel="02079460001")
    report = await sync(box, url)
    wanted = {"email": ("new@example.com", old), "phone": (OTHER, LINE)}[key]
    assert (there(box, giver)[key], there(box, taker)[key]) == wanted
    assert (report.status, len(box.contacts())) == ("ok", 2)
    await quiet(box, url)


@pytest.mark.parametrize("allow_duplicates", [False, True])
@pytest.mark.parametrize("first", ["giver", "taker"])
async def test_an_email_that_moved_to_a_new_contact(box, url, allow_duplicates, first):
    box.reset(contacts=0, burst=5000, allow_duplicates=allow_duplicates)
    bob = person(box, "Bob", email=None) if first == "taker" else None  # nobody as yet
    ann = person(box, "Ann", email="sales@example.com")
    await sync(box, url)
    box.edit_source("contacts", ann, email="ann@example.com")
    if bob:
        box.edit_source("contacts", bob, email="sales@example.com")
    else:
        bob = person(box, "Bob", email="sales@example.com")
    box.insert_source("notes", bob, body="Of Bob")
    report = await sync(box, url)
    assert (report.status, counts(report)["created"]) == ("ok", 1)
    assert (there(box, "Ann")["email"], there(box, "Bob")["email"]) == (
        "ann@example.com",
        "sales@example.com",
    )
    assert [one["contactId"] for one in box.notes()] == [there(box, "Bob")["id"]]
    await quiet(box, url)


async def test_a_phone_that_moved_to_a_new_contact_without_email(box, url):
    ann = person(box, "Ann", tel="02079460001")
    await sync(box, url)
    box.edit_source("contacts", ann, tel="02079460002")
    person(box, "Bob", email=None, tel="02079460001")
    report = await sync(box, url)
    assert report.status == "ok"
    assert (there(box, "Ann")["phone"], there(box, "Bob")["phone"]) == (OTHER, LINE)


async def test_two_contacts_that_swap_their_phones(box, url):
    ann, bob = person(box, "Ann", tel="02079460001"), person(box, "Bob", tel="02079460002")
    await sync(box, url)
    box.edit_source("contacts", ann, tel="02079460002")
    box.edit_source("contacts", bob, tel="02079460001")
    await sync(box, url)
    assert (there(box, "Ann")["phone"], there(box, "Bob")["phone"]) == (OTHER, LINE)
    await quiet(box, url)


async def test_a_phone_is_given_up_for_who_has_it_now_although_the_new_one_is_taken(box, url):
    box.insert("contacts", firstName="Zoe", lastName="Fry", email="zoe@example.com", phone=OTHER)
    ann, bob = person(box, "Ann", tel="02079460001"), person(box, "Bob")
    await sync(box, url)
    box.edit_source("contacts", ann, tel="02079460002")
    await sync(box, url)
    assert there(box, "Ann")["phone"] == LINE  # outdated, but nobody else's
    box.edit_source("contacts", bob, tel="02079460001")
    await sync(box, url)
    assert ("phone" in there(box, "Ann"), there(box, "Bob")["phone"]) == (False, LINE)
    assert custom(box, there(box, "Ann")) == OTHER
    await quiet(box, url)


async def test_an_email_that_another_contact_keeps_is_written_when_it_is_free(box, url):
    stranger = box.insert("contacts", firstName="Zoe", email="zoe@example.com", phone=OTHER)
    ann = person(box, "Ann", tel="02079460001")
    await sync(box, url)
    box.edit_source("contacts", ann, email="zoe@example.com", last_name="Married")
    report = await sync(box, url)
    assert (there(box, "Ann")["email"], there(box, "Ann")["lastName"]) == ("ann@example.com", "Married")
    assert any("email not written: another contact" in one for one in report.warnings)
    await quiet(box, url)
    box.edit("contacts", stranger["id"], email="zoe.fry@example.com")
    await sync(box, url, mode="full")
    assert there(box, "Ann")["email"] == "zoe@example.com"


async def test_a_422_that_created_the_contact_all_the_same(box, url):
    person(box, "Ann", tel="02079460001")
    box.fault("commit_then_status", method="POST", path="/contacts/$", status=422, count=1)
    report = await sync(box, url)
    assert (report.status, counts(report)) == ("ok", {"read": 1, "recovered": 1})
    assert len(box.contacts()) == 1
    await quiet(box, url)


async def test_the_phone_of_a_contact_that_was_deleted_with_its_source_goes_to_who_waits(box, url):
    mapping = {"default_country": "GB", "deletes": "delete"}
    people = [person(box, f"P{number}") for number in range(4)]
    bob, ann = person(box, "Bob", tel="02079460001"), person(box, "Ann", tel="02079460001")
    await sync(box, url, mapping=mapping)
    box.delete_source("contacts", bob)
    for _ in range(2):
        await sync(box, url, mapping=mapping)
    assert (len(box.contacts()), there(box, "Ann")["phone"]) == (len(people) + 1, LINE)
    await quiet(box, url, mapping=mapping)
    assert ann


async def test_a_contact_named_by_refusals_that_is_deleted_meanwhile_is_not_waited_for(box, url):
    theirs = box.insert("contacts", firstName="Bo", email="bo@example.com")["id"]
    person(box, "Ann")
    meta = {"contactId": theirs, "matchingField": "email"}
    refused = {"statusCode": 400, "message": "This location does not allow duplicates.", "meta": meta}
    gone = {"statusCode": 400, "message": f"Contact not found for id:{theirs}"}
    box.fault("status", method="POST", path="/contacts/$", status=400, body=refused)
    box.fault("status", method="GET", path=f"/contacts/{theirs}$", status=400, body=gone, after=ROUNDS)
    async with asyncio.timeout(5):
        report = await sync(box, url)
    assert (report.status, report.entities["contacts"]["ambiguous"]) == ("degraded", 1)
    box.clear_faults()
    assert (await sync(box, url)).entities["contacts"]["created"] == 1
