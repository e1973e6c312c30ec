"""What a verification found, on both databases."""

from __future__ import annotations

from dataclasses import replace

from tasks.ledger import deviations, records
from tasks.ledger.deviations import Deviation
from tasks.ledger.records import Record

MISSING = Deviation(entity="notes", kind="missing", source_id="1/1", destination_id="n1", contact_id="c1")
EDITED = replace(
    MISSING, entity="contacts", kind="edited", source_id="2", destination_id="c2", fields=("email", "tags")
)


def contact(source_id, **values):
    given = {"account": "acme", "entity": "contacts", "state": "synced", "first_seen_at": 1.0}
    return Record(**{**given, "source_id": source_id, "destination_id": f"c{source_id}", **values})


def test_deviations_are_kept_once_counted_and_listed_in_order(database):
    do, look = database.now_do, database.now_look
    do(lambda c: deviations.save(c, "acme", 7, [MISSING, EDITED, MISSING]))
    do(lambda c: deviations.save(c, "acme", 7, [replace(EDITED, fields=("phone",))]))
    do(lambda c: deviations.save(c, "acme", 3, [MISSING]))
    do(lambda c: deviations.save(c, "other", 7, [MISSING]))
    assert look(lambda c: deviations.count(c, "acme", 7)) == {
        ("contacts", "edited"): 1,
        ("notes", "missing"): 1,
    }
    first = look(lambda c: deviations.listed(c, "acme", 7, most=1))
    assert first == [replace(EDITED, fields=("phone",))]
    assert look(lambda c: deviations.listed(c, "acme", 7, most=9, after=first[0])) == [MISSING]
    assert look(lambda c: deviations.listed(c, "acme", 7, most=9, after=MISSING)) == []
    do(lambda c: deviations.forget(c, "acme", {7}))
    assert look(lambda c: deviations.count(c, "acme", 3)) == {}
    assert look(lambda c: deviations.count(c, "other", 7)) == {("notes", "missing"): 1}


def test_which_records_are_there_and_were_looked_at(database):
    do, look = database.now_do, database.now_look
    rows = [contact(str(number)) for number in range(1, 5)]
    aside = [
        contact("5", state="rejected"),
        contact("6", destination_id=None),
        contact("7", intent={"at": 1}),
    ]
    note = contact("1/1", entity="notes", parent_id="1")
    do(lambda c: records.save(c, [*rows, *aside, note, contact("1", account="other")]))
    assert look(lambda c: deviations.delivered(c, "acme")) == {"contacts": 4, "notes": 1}
    assert look(lambda c: deviations.contacts_after(c, "acme", "2", 9)) == [("3", "c3"), ("4", "c4")]
    do(lambda c: deviations.mark(c, "acme", "contacts", ["1", "3"], 7))
    do(lambda c: deviations.mark(c, "acme", "contacts", ["2"], 6))
    assert look(lambda c: deviations.contacts_unchecked(c, "acme", 7, after="", most=1)) == [("2", "c2")]
    assert look(lambda c: deviations.contacts_unchecked(c, "acme", 7, after="2", most=9)) == [("4", "c4")]
    assert look(lambda c: deviations.count_unchecked(c, "acme", 7)) == 2
    assert look(lambda c: deviations.checked(c, "acme", 7)) == {"contacts": 2}
    do(lambda c: records.save(c, [contact("1", state="left")]))
    assert look(lambda c: deviations.checked(c, "acme", 7)) == {"contacts": 2}
