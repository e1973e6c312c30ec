from __future__ import annotations

from dataclasses import replace

from sqlalchemy import event, func, select

from tasks.ledger import records, tables
from tasks.ledger.records import BLOCK, Outline, Record

FULL = Record(
    account="acme",
    entity="notes",
    source_id="7/1",
    state="rejected",
    first_seen_at=1_700_000_000.25,
    parent_id="7",
    destination_id="d1",
    fingerprint="f" * 32,
    content_hash="c" * 32,
    content={"body": "Zażółć 👩‍👩‍👧 שלום\n<b>&amp;</b> \u0007", "n": [1, 2.5, None, True]},
    intent={"operation": "create-note", "content": {"body": "x"}, "at": 1_700_000_001.5},
    origin="created",
    listed="notes,tasks",
    reason="http_422",
    error='said "no" — 🙅',
    status=422,
    payload={"body": "é"},
    attempts=3,
    next_attempt_at=1_700_000_600.125,
    seen=2**40,
    synced_at=1_700_000_002.0,
    activities_at=1_700_000_003.0,
)


def make(source_id, entity="contacts", state="synced", account="acme", **values):
    return Record(
        account=account, entity=entity, source_id=source_id, state=state, first_seen_at=1.0, **values
    )


def save(database, *changed):
    database.now_do(lambda connection: records.save(connection, changed))


def load(database, ids, entity="contacts", account="acme"):
    return database.now_look(lambda connection: records.load(connection, account, entity, ids))


def test_a_record_comes_back_field_by_field(database):
    save(database, FULL)
    assert load(database, ["7/1"], "notes") == {"7/1": FULL}


def test_saving_again_overwrites_every_field_and_adds_no_row(database):
    save(database, FULL)
    plain = make("7/1", "notes", "synced")
    save(database, plain)
    save(database, plain)
    assert load(database, ["7/1"], "notes") == {"7/1": plain}
    assert (
        database.now_look(lambda c: c.execute(select(func.count()).select_from(tables.records)).scalar()) == 1
    )


def test_what_is_saved_again_is_compiled_to_sql_once(database):
    compiled = {}

    def thrice(connection):
        for _ in range(3):
            records.save(connection.execution_options(compiled_cache=compiled), [FULL])

    database.now_do(thrice)
    assert len(compiled) == 1


def test_an_absent_value_is_null_and_an_empty_one_is_kept(database):
    save(database, make("1"), make("2", content={}))
    with_content = select(tables.records.c.source_id).where(tables.records.c.content.is_not(None))
    assert database.now_look(lambda c: c.execute(with_content).scalars().all()) == ["2"]


def test_accounts_and_entities_are_kept_apart(database):
    save(database, make("7"), make("7", account="beta", state="skipped"), make("7", "notes", "left"))
    assert load(database, ["7"])["7"].state == "synced"
    assert load(database, ["7"], account="beta")["7"].state == "skipped"
    assert load(database, ["7"], "notes")["7"].state == "left"
    assert load(database, ["7"], "tasks") == {}


def test_a_long_text_survives(database):
    text = "Zażółć ✓ 🙂 " * 100_000
    save(database, make("1", content={"body": text}))
    assert load(database, ["1"])["1"].content == {"body": text}


def test_more_ids_than_fit_one_statement(database):
    ids = [str(number) for number in range(2 * BLOCK + 7)]
    save(database, *(make(one, seen=int(one)) for one in ids))
    wanted = [*ids, "unknown"]
    assert {one: record.seen for one, record in load(database, wanted).items()} == {
        one: int(one) for one in ids
    }
    outlines = database.now_look(lambda c: records.outline(c, "acme", "contacts", wanted))
    assert set(outlines) == set(ids)
    database.now_do(lambda c: records.mark_seen(c, "acme", "contacts", ids, 9_999))
    database.now_do(lambda c: records.mark_activities_read(c, "acme", ids, 5.5))
    assert {(record.seen, record.activities_at) for record in load(database, ids).values()} == {(9_999, 5.5)}


def test_a_statement_names_at_most_a_block_of_ids(database):
    sent = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    for number, statements in ((0, 0), (1, 1), (BLOCK, 1), (BLOCK + 1, 2)):
        sent.clear()
        load(database, [str(one) for one in range(number)])
        assert sum("FROM records" in one for one in sent) == statements


def test_an_outline_tells_what_is_needed_to_see_that_nothing_changed(database):
    save(database, FULL)
    assert database.now_look(lambda c: records.outline(c, "acme", "notes", ["7/1"])) == {
        "7/1": Outline("7/1", "f" * 32, "rejected", 1_700_000_600.125, 1_700_000_003.0)
    }


def test_mark_seen_touches_the_named_only(database):
    save(database, make("1"), make("2"), make("1", "notes"), make("1", account="beta"))
    database.now_do(lambda c: records.mark_seen(c, "acme", "contacts", ["1", "unknown"], 4))
    assert load(database, ["1"])["1"].seen == 4
    assert load(database, ["2"])["2"].seen == 0
    assert load(database, ["1"], "notes")["1"].seen == 0
    assert load(database, ["1"], account="beta")["1"].seen == 0
    assert load(database, ["unknown"]) == {}


def test_open_intents_contacts_first(database):
    intent = {"operation": "create", "content": {}, "at": 1.0}
    save(
        database,
        make("1/2", "notes", intent=intent),
        make("1/1", "appointments", intent=intent),
        make("9", intent=intent),
        make("8"),
        make("3", account="beta", intent=intent),
    )
    found = database.now_look(lambda c: records.with_intent(c, "acme"))
    assert [record.key for record in found] == [
        ("contacts", "9"),
        ("appointments", "1/1"),
        ("notes", "1/2"),
    ]
    assert found[0].intent == intent


def test_contacts_with_children_that_are_due(database):
    save(
        database,
        make("1/1", "notes", "rejected", parent_id="1"),
        make("2/1", "notes", "waiting", parent_id="2", next_attempt_at=100.0),
        make("3/1", "notes", "rejected", parent_id="3", next_attempt_at=100.5),
        make("4/1", "notes", "synced", parent_id="4"),
        make("5/1", "tasks", "waiting", parent_id="5"),
        make("5/2", "tasks", "waiting", parent_id="5"),
        make("6/1", "tasks", "waiting", parent_id="6", account="beta"),
    )
    parents = [str(number) for number in range(BLOCK + 1)]
    assert database.now_look(lambda c: records.with_open_children(c, "acme", parents, 100.0)) == {
        "1",
        "2",
        "5",
    }
    assert database.now_look(lambda c: records.with_open_children(c, "acme", ["1"], 100.0)) == {"1"}


def test_source_contacts_linked_to_one_destination_contact(database):
    save(
        database,
        make("1", destination_id="d"),
        make("2", destination_id="d"),
        make("3", destination_id="other"),
        make("4", "notes", destination_id="d"),
        make("5", account="beta", destination_id="d"),
    )
    linked = database.now_look(lambda c: records.linked_to(c, "acme", "d"))
    assert {record.source_id for record in linked} == {"1", "2"}


def test_counts_by_state_and_of_rejects_by_reason(database):
    save(
        database,
        make("1"),
        make("2"),
        make("3", state="rejected", reason="http_422"),
        make("4", state="rejected", reason="http_422"),
        make("5", state="rejected", reason="a"),
        make("6", "notes", "rejected"),
        make("7", account="beta", state="rejected", reason="a"),
    )
    assert database.now_look(lambda c: records.count_by_state(c, "acme")) == {
        ("contacts", "synced"): 2,
        ("contacts", "rejected"): 3,
        ("notes", "rejected"): 1,
    }
    assert database.now_look(lambda c: records.count_rejects(c, "acme")) == [
        ("contacts", "http_422", 2),
        ("contacts", "a", 1),
        ("notes", "unknown", 1),
    ]


def test_forgotten_are_only_the_undelivered_that_the_walk_did_not_meet(database):
    gone = make("gone", state="rejected", seen=1)
    kept = [
        make("met", state="rejected", seen=2),
        make("delivered", seen=1, destination_id="d"),
        make("unknown", state="unresolved", seen=1, intent={"operation": "create"}),
        make("other", "notes", "rejected", seen=1),
        make("beta", account="beta", state="rejected", seen=1),
    ]
    save(database, gone, *kept)
    assert database.now_do(lambda c: records.forget_vanished(c, "acme", "contacts", 2)) == 1
    assert database.now_do(lambda c: records.forget_vanished(c, "acme", "contacts", 2)) == 0
    left = database.now_look(lambda c: c.execute(select(tables.records.c.source_id)).scalars().all())
    assert sorted(left) == sorted(record.source_id for record in kept)


def test_saving_nothing_is_no_statement(database):
    sent = []
    event.listen(database.engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
    save(database)
    assert not [one for one in sent if "records" in one]


def test_text_no_database_can_hold_is_mended_where_it_is_free(database):
    for broken, mended in (("cut \ud83d", "cut ?"), ("nul \x00 in it", "nul  in it")):
        save(database, replace(FULL, error=broken, content={"body": broken}))
        record = load(database, ["7/1"], "notes")["7/1"]
        assert (record.error, record.content) == (mended, {"body": broken})


def test_a_destination_contact_of_any_length_has_a_place_in_the_directory(database):
    row = {
        "account": "acme",
        "contact_id": "d",
        "email": "e" * 300 + "@example.com",
        "phone": "+1 (555) 555-0100 ext. 12345",
        "source_id": "typed by a person " * 9,
        "name": "x\ud83d\x00",
        "content": {},
    }
    database.now_do(lambda connection: records.upsert(connection, tables.directory, [row]))
    for column in ("email", "phone", "source_id"):
        found = select(tables.directory.c.name).where(tables.directory.c[column] == row[column])
        assert database.now_look(lambda c, query=found: c.execute(query).scalars().all()) == ["x?"]
