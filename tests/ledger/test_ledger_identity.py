"""What the ledger is asked about people: who is linked, who waits for a key, who is to be settled."""

from __future__ import annotations

from tasks.ledger import records
from tests.ledger.test_ledger_records import make, save

LINE, MAIL = "+442079460001", "ann@example.com"


def ids(found):
    return sorted(record.source_id for record in found)


def test_source_contacts_linked_to_several_contacts(database):
    save(
        database,
        make("1", destination_id="a"),
        make("2", destination_id="b"),
        make("3", destination_id="c"),
        make("4", "notes", destination_id="a"),
    )
    assert ids(database.now_look(lambda c: records.linked_to(c, "acme", "a", "b"))) == ["1", "2"]
    assert database.now_look(lambda c: records.linked_to(c, "acme")) == []


def test_who_waits_for_an_email_or_phone(database):
    save(
        database,
        make("1", content={"withheld": LINE}),
        make("2", content={"withheld_email": MAIL}),
        make("3", content={"phone": LINE, "email": MAIL}),
        make("4", content={"withheld": LINE}, account="beta"),
        make("5", content={"withheld": LINE}, state="rejected"),
        make("6"),
    )
    assert ids(database.now_look(lambda c: records.withholding(c, "acme", [LINE, MAIL]))) == ["1", "2"]
    assert ids(database.now_look(lambda c: records.withholding(c, "acme", [MAIL]))) == ["2"]
    save(database, make("1", content={"phone": LINE}))
    assert database.now_look(lambda c: records.withholding(c, "acme", [LINE])) == []


def test_a_contacts_activities(database):
    save(
        database,
        make("1"),
        make("1/2", "notes", parent_id="1"),
        make("1/3", "tasks", parent_id="1"),
        make("2/4", "notes", parent_id="2"),
        make("1/5", "notes", parent_id="1", account="beta"),
    )
    assert ids(database.now_look(lambda c: records.children_of(c, "acme", "1"))) == ["1/2", "1/3"]


def test_who_is_known_and_who_is_to_be_settled(database):
    save(
        database,
        make("1"),
        make("2", state="ambiguous", payload={"candidates": ["a"]}, decision="link a"),
        make("3", state="ambiguous"),
        make("4", "notes"),
        make("5", account="beta", state="ambiguous"),
    )
    assert database.now_look(lambda c: records.count_known(c, "acme")) == 3
    found = database.now_look(lambda c: records.ambiguous(c, "acme"))
    assert [(one.source_id, one.decision) for one in found] == [("2", "link a"), ("3", None)]
    assert ids(database.now_look(lambda c: records.ambiguous(c, "acme", 1))) == ["2"]
