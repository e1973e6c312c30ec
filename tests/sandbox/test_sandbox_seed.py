"""The seeded data is messy, always the same, and holds nothing that must be refused or doubted."""

from collections import Counter

import phonenumbers
import pytest

from sandbox import seed
from sandbox.source import LABEL_SHAPES, STREAMS, Printer, Source, SourceOptions

DEFAULT_COUNTRY = "GB"


def seeded(**options):
    source = Source()
    seed.seed_source(source, **options)
    return source


@pytest.fixture(scope="module")
def source():
    return seeded()


def as_number(text):
    """The number as a careful reader would take it, in E.164, or None."""
    for attempt in (text, f"+{text}"):
        try:
            number = phonenumbers.parse(attempt, DEFAULT_COUNTRY)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return None


def outside(source):
    return [row for row in source.contacts.values() if not row["internal"]]


def good_email(row):
    return bool(row["email"]) and "@" in row["email"]


def test_the_same_seed_is_the_same_data(source):
    again, other = seeded(), seeded(seed=8)
    assert again.contacts == source.contacts
    assert again.activities == source.activities
    assert other.contacts != source.contacts


def test_no_two_contacts_share_an_email(source):
    emails = Counter(row["email"].lower() for row in source.contacts.values() if good_email(row))
    assert max(emails.values()) == 1


@pytest.mark.parametrize("contacts", [200, 3000])
def test_who_shares_a_phone_has_an_email(contacts):
    people = outside(seeded(contacts=contacts, activities=False))
    firsts = [
        next(filter(None, (as_number(row[n]) for n in ("tel", "tel_1", "mobile") if row[n])), None)
        for row in people
    ]
    numbers = Counter(number for number in firsts if number)
    shared = [row for row, number in zip(people, firsts, strict=True) if number and numbers[number] > 1]
    assert len(shared) >= contacts // 10
    assert all(good_email(row) for row in shared)


def test_the_mess_is_there(source):
    people = outside(source)
    assert len(people) == 195
    assert sum(not good_email(row) and not row["tel"] for row in people) == 5
    assert sum(good_email(row) and not row["tel"] for row in people) == 10
    assert sum(not row["email"] and bool(row["tel"]) for row in people) == 10
    assert sum(bool(row["email"]) and "@" not in row["email"] for row in people) == 5
    assert sum(bool(row["next_call_at"]) for row in people) == 15
    assert sum(bool(row["notes"]) for row in people) == 20
    assert sum("ext." in (row["tel"] or "") for row in people) == 10
    text = " ".join(str(row) for row in people)
    for piece in ("مريم", "田中", "🌸", "<b>", "GmbH"):
        assert piece in text


def test_the_phones_come_from_several_countries_and_are_all_good(source):
    numbers = [as_number(row["tel"]) for row in outside(source) if row["tel"]]
    assert None not in numbers
    countries = Counter(phonenumbers.parse(number).country_code for number in numbers)
    assert set(countries) == {44, 34, 1, 33, 49, 353}


def test_numbers_of_their_own_are_different():
    numbers = [as_number(seed.phone(number)) for number in range(1, 20_001)]
    assert None not in numbers
    assert len(set(numbers)) == len(numbers)


def test_every_shape_of_labels_appears(source):
    printer = Printer(SourceOptions())
    shapes = {type(printer.contact(row)["labels"]).__name__ for row in source.contacts.values()}
    kinds = {type(item) for row in source.contacts.values() for item in printer.contact(row)["labels"] or ()}
    assert shapes == {"NoneType", "str", "list"}
    assert dict in kinds
    assert LABEL_SHAPES[-1] == "absent"


def test_activities_are_bounded_and_sound(source):
    rows = {
        stream: [row for items in source.activities[stream].values() for row in items] for stream in STREAMS
    }
    assert all(len(items) <= 4 for items in source.activities["notes"].values())
    assert all(len(items) <= 3 for items in source.activities["tasks"].values())
    assert all(len(items) <= 2 for items in source.activities["appointments"].values())
    assert len(rows["notes"]) > 100
    assert len(rows["tasks"]) > 50
    assert len(rows["appointments"]) > 50
    assert all(row["body"] for row in rows["notes"])
    assert max(len(row["body"]) for row in rows["notes"]) > 10_000
    assert any(row["due_at"] is None for row in rows["tasks"])
    assert any(row["ends_at"] is None for row in rows["appointments"])
    assert all(row["ends_at"] is None or row["ends_at"] > row["starts_at"] for row in rows["appointments"])


def test_poison_and_duplicates_are_asked_for(box, voip):
    box.reset(contacts=40, poison=5, duplicates=2)
    assert len(box.info["poisoned"]) == 5
    bad = voip.get(f"/contacts/{box.info['poisoned'][0]}").json()["data"]
    assert bad["email"] == {"address": "x@example.com"}
    emails = Counter(
        row["email"].lower() for row in box.source() if isinstance(row["email"], str) and row["email"]
    )
    assert sorted(emails.values())[-3:] == [1, 2, 2]


def test_people_who_are_in_the_crm_already(box):
    box.reset(contacts=40, mirrored=10, strangers=5)
    contacts = box.contacts()
    assert len(contacts) == 15
    for source_id, contact_id in box.info["mirrored"].items():
        row = next(row for row in box.source() if row["id"] == int(source_id))
        contact = box.contact(contact_id)
        assert contact["email"] == row["email"].lower()
        assert contact["customFields"] == []
