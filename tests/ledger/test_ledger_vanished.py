"""What the ledger says of records that the source no longer shows."""

from __future__ import annotations

from sqlalchemy import insert, select

from tasks.ledger import records, tables, vanished
from tasks.ledger.records import Record

INTENT = {"operation": "update-contacts", "content": {}, "at": 1.0}


def make(source_id, entity="contacts", state="synced", account="acme", **values):
    return Record(
        account=account, entity=entity, source_id=source_id, state=state, first_seen_at=1.0, **values
    )


def save(database, *rows):
    database.now_do(lambda connection: records.save(connection, rows))


def ids(database, entity):
    query = select(tables.records.c.source_id).where(tables.records.c.entity == entity)
    return {row.source_id for row in database.now_look(lambda one: one.execute(query).all())}


def test_a_contact_is_missing_where_all_that_is_linked_to_it_is_and_we_made_it(database):
    ours = {"origin": "created"}
    save(
        database,
        make("1", destination_id="missing", seen=4, **ours),
        make("2", destination_id="here", seen=5, **ours),
        make("3", destination_id="adopted", seen=4, origin="adopted"),
        make("4", destination_id="both", seen=4, **ours),
        make("5", destination_id="both", seen=3, origin="adopted"),
        make("6", destination_id="one", seen=4, **ours),
        make("7", destination_id="one", seen=6, origin="adopted"),
        make("8", destination_id="open", seen=4, intent=INTENT, **ours),
        make("9", state="left", destination_id="left", seen=4, **ours),
        make("10", state="gone", destination_id="tagged", seen=4, **ours),
        make("11", state="rejected", destination_id="refused", seen=4, **ours),
        make("12", state="waiting", seen=4, **ours),
        make("13", account="beta", destination_id="beta", seen=4, **ours),
        make("14", "notes", destination_id="note", seen=4),
        make("15", destination_id="shared", seen=4, **ours),
        make("1", account="beta", destination_id="shared", seen=9, origin="adopted"),
    )
    found = database.now_look(lambda connection: vanished.contacts(connection, "acme", 5))
    assert found == ["both", "missing", "refused"]
    assert database.now_look(lambda connection: vanished.delivered(connection, "acme", "contacts")) == 10
    assert database.now_look(lambda connection: vanished.met(connection, "acme", 6)) == "7"
    assert database.now_look(lambda connection: vanished.met(connection, "acme", 7)) is None


def test_a_list_that_was_read_whole_tells_what_is_missing_and_what_is_back(database):
    there = {"parent_id": "1", "destination_id": "d"}
    save(
        database,
        make("1", destination_id="c"),
        make("2", state="left", destination_id="c2"),
        make("1/1", "notes", **there),
        make("1/2", "notes", missing=4, **there),
        make("1/3", "notes", state="rejected", parent_id="1"),
        make("1/4", "notes", state="unresolved", parent_id="1", intent=INTENT),
        make("1/5", "notes", state="gone", parent_id="1"),
        make("1/6", "notes", **there),
        make("1/notes", "notes", **there),
        make("1/7", "tasks", **there),
        make("2/1", "notes", parent_id="2", destination_id="d2", missing=9),
        make("3/1", "notes", parent_id="3", destination_id="d3"),
    )

    def note(walk):
        return database.now_do(
            lambda connection: vanished.note_lists(
                connection, "acme", "notes", ["1"], {"1/2", "1/6"}, walk, besides={"notes"}
            )
        )

    assert note(9) == 1
    assert database.now_look(lambda one: vanished.activities(one, "acme", "notes", 9)) == ["1/1"]
    known = database.now_look(lambda one: records.load(one, "acme", "notes", ids(database, "notes")))
    assert {source_id: record.missing for source_id, record in known.items() if record.missing} == {
        "1/1": 9,
        "2/1": 9,
    }
    assert "1/3" not in known
    assert database.now_look(lambda one: records.with_open_children(one, "acme", ["1", "3"], 0.0)) == {"1"}
    assert note(None) == 0


def test_ids_tell_the_same(database):
    save(
        database,
        make("1/notes", "notes", parent_id="1", destination_id="d"),
        make("2/notes", "notes", parent_id="2", destination_id="d2", missing=3),
        make("3/notes", "notes", state="gone", parent_id="3"),
    )
    asked = ["1/notes", "2/notes", "3/notes", "4/notes"]
    known = database.now_look(lambda one: vanished.known_of(one, "acme", "notes", asked))
    assert known == {"1/notes", "2/notes"}
    shown = {"1/notes": False, "2/notes": True}
    assert database.now_do(lambda one: vanished.note_ids(one, "acme", "notes", shown, 9)) == 1
    found = database.now_look(lambda one: records.load(one, "acme", "notes", shown))
    assert [found[source_id].missing for source_id in shown] == [9, None]


def test_with_a_contact_goes_what_hangs_on_it(database):
    save(
        database,
        make("1/1", "notes", parent_id="1", destination_id="d", content={"body": "x"}, fingerprint="f"),
        make("1/2", "notes", state="waiting", parent_id="1"),
        make("1/3", "notes", state="left", parent_id="1", destination_id="d3"),
        make("1/4", "tasks", state="unresolved", parent_id="1", intent=INTENT),
        make("2/1", "notes", parent_id="2", destination_id="d4"),
    )
    row = {"account": "acme", "contact_id": "c", "name": "ann"}
    database.now_do(lambda one: one.execute(insert(tables.directory), row))
    database.now_do(lambda one: vanished.bury(one, "acme", "c", ["1"]))
    notes = database.now_look(lambda one: records.load(one, "acme", "notes", ["1/1", "1/2", "1/3", "2/1"]))
    assert {source_id: (record.state, record.destination_id) for source_id, record in notes.items()} == {
        "1/1": ("gone", None),
        "1/3": ("left", "d3"),
        "2/1": ("synced", "d4"),
    }
    task = database.now_look(lambda one: records.load(one, "acme", "tasks", ["1/4"]))["1/4"]
    assert (task.state, task.intent) == ("gone", None)
    assert database.now_look(lambda one: one.execute(select(tables.directory)).all()) == []


def test_what_is_stuck_of_contacts_that_are_not_there_is_settled(database):
    stuck = {"state": "rejected", "reason": "http_400", "fingerprint": "f"}
    save(
        database,
        make("1", destination_id="d", seen=4, **stuck),
        make("1/1", "notes", parent_id="1", **stuck),
        make("1/2", "notes", parent_id="1", destination_id="d2", **stuck),
        make("2", destination_id="d3", seen=5, **stuck),
        make("2/1", "notes", parent_id="2", **stuck),
        make("3/1", "notes", parent_id="3", state="waiting"),
    )
    database.now_do(lambda one: vanished.settle(one, "acme", 5))
    counts = database.now_look(lambda one: records.count_by_state(one, "acme"))
    assert counts == {
        ("contacts", "rejected"): 1,
        ("contacts", "synced"): 1,
        ("notes", "rejected"): 1,
        ("notes", "synced"): 1,
    }
    one = database.now_look(lambda connection: records.load(connection, "acme", "contacts", ["1"]))["1"]
    assert (one.reason, one.fingerprint) == (None, None)
