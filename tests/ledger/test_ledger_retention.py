"""What goes when it is old, and above all what stays, on both databases."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from sqlalchemy import func, insert, select, text, update

from tasks.ledger import backfills, facts, plans, retention
from tasks.ledger.database import opened
from tasks.ledger.history import Deed, History
from tasks.ledger.plans import Plan
from tasks.ledger.retention import DAY, KINDS, ROUTES_FROM, Terms
from tasks.ledger.tables import deviations, effects, history, metadata, plan_items, records, runs, staged
from tasks.ledger.tables import facts as facts_table
from tasks.ledger.tables import plans as plans_table

NOW = 1_800_000_000.0
TERMS = Terms(history_days=90, runs_days=30)
OLD = NOW - 91 * DAY


def put(database, table, *rows):
    database.now_do(lambda c: c.execute(insert(table), list(rows)))


def number_of(database, table):
    return database.now_look(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())


def trim(database, account="acme", terms=TERMS, most=None):
    """Let all go that is old; what would go was told before."""
    told = {
        kind: database.now_look(partial(retention.count, kind=kind, account=account, now=NOW, terms=terms))
        for kind in KINDS
    }
    went = dict.fromkeys(KINDS, 0)
    database.now_do(partial(plans.drop_old, account=account, now=NOW))
    for kind in KINDS:
        while number := batch(database, kind, most, account=account, terms=terms):
            assert number <= (most or retention.BATCH)
            went[kind] += number
    assert went == told
    return {kind: number for kind, number in went.items() if number}


def batch(database, kind, most=None, *, account="acme", terms=TERMS):
    how = {"kind": kind, "account": account, "now": NOW, "terms": terms}
    if most is None:
        return database.now_do(partial(retention.let_go, **how))
    places = database.now_look(partial(retention.old, **how, most=most))
    return database.now_do(partial(retention.let_go, **how, places=places))


def run(number, at, *, account="acme", kind="sync", status="ok"):
    return {
        "id": f"{account}-{number}", "account": account, "kind": kind, "mode": "full", "status": status,
        "owner": "me:1", "started_at": at, "finished_at": at + 1,
    }  # fmt: skip


def write(database, *numbers, at=OLD, account="acme"):
    deeds = [
        Deed(account=account, entity="contacts", source_id=str(number), action="updated", at=at)
        for number in numbers
    ]
    database.now_do(lambda c: History(account, f"{account}-{at}", 90).write(c, deeds))


def test_old_writes_go_in_small_batches_and_only_the_accounts_own(database):
    write(database, *range(7))
    write(database, 8, at=NOW - 89 * DAY)
    write(database, 9, account="beta")
    assert trim(database, most=3) == {"writes": 7}
    assert number_of(database, history) == 2
    assert trim(database, terms=Terms(0, 30)) == {"writes": 1}


def test_old_runs_go_but_for_the_last_few_and_the_last_good_sync(database):
    ages = [100 - day for day in range(60)]
    put(database, runs, *(run(number, NOW - age * DAY, status="failed") for number, age in enumerate(ages)))
    put(database, runs, run("good", NOW - 200 * DAY), run("verified", NOW - 90 * DAY, kind="verify"))
    put(database, runs, run("other", NOW - 500 * DAY, account="beta"))
    assert trim(database, most=10) == {"runs": 60 - 5 + 1}
    query = select(runs.c.id).order_by(runs.c.started_at)
    left = database.now_look(lambda c: c.execute(query).scalars().all())
    assert left == ["beta-other", "acme-good", *(f"acme-{number}" for number in range(55, 60))]


def plan(number, at, state=plans.MADE, items=3):
    made = Plan(
        id=f"p{number}", account="acme", kind="plan", state=state, created_at=at, checksum="", about={}
    )
    return made, [(str(one), {"n": one}) for one in range(items)]


def enter(database, *several):
    for made, items in several:
        database.now_do(partial(plans.begin, plan=made))
        database.now_do(partial(plans.add, plan_id=made.id, first=0, items=items))
        database.now_do(partial(plans.become, plan_id=made.id, state=made.state))


def found(database):
    return [one.id for one in database.now_look(partial(plans.find, account="acme", beginning=""))]


def test_a_plan_that_is_too_old_is_found_by_nobody_before_its_rows_go(database):
    enter(database, plan(1, NOW - 9 * DAY), plan(2, NOW - 7 * DAY), plan(3, NOW - 2 * DAY))
    assert found(database) == ["p3", "p2", "p1"]
    database.now_do(partial(plans.drop_old, account="acme", now=NOW))
    assert batch(database, "plan_items", 2) == 2  # and there it is killed
    assert found(database) == ["p3", "p2"]
    assert trim(database, most=2) == {"plan_items": 1, "plans": 1}
    assert number_of(database, plan_items) == 6


def test_what_was_never_finished_is_dropped_by_the_next_plan_and_purged(database):
    enter(database, plan(1, NOW, plans.MAKING))
    assert trim(database) == {}
    enter(database, plan(2, NOW))
    assert trim(database) == {"plan_items": 3, "plans": 1}
    assert found(database) == ["p2"]


def record(number, *, entity="contacts", state="synced", **values):
    row = {
        "account": "acme", "entity": entity, "source_id": str(number), "state": state,
        "first_seen_at": OLD - DAY, "synced_at": OLD, "attempts": 0, "seen": 1, "listed": "",
    }  # fmt: skip
    return {**row, **values}


def test_that_a_plan_was_applied_is_remembered_until_something_was_delivered(database):
    enter(database, plan(1, OLD, plans.APPLIED, items=0))
    assert trim(database) == {}
    assert database.now_look(partial(plans.any_applied, account="acme"))
    put(database, records, record(1, destination_id="c1"))
    assert trim(database) == {"plans": 1}


GONE = {"state": "gone", "reason": "deleted"}


@pytest.fixture
def synced(database):
    """A first sync was complete, long ago."""
    database.now_do(partial(facts.put, account="acme", name=ROUTES_FROM, value=1))
    learnt = update(facts_table).values(learnt_at=OLD - 2 * DAY)
    database.now_do(lambda c: c.execute(learnt))
    return database


@pytest.mark.parametrize("entity", ["contacts", "notes"])
def test_a_record_of_what_was_deleted_at_both_sides_goes(synced, entity):
    put(synced, records, record(1, entity=entity, **GONE))
    assert trim(synced) == {"tombstones": 1}
    assert number_of(synced, records) == 0


@pytest.mark.parametrize(
    "values",
    [
        {"state": "synced", "destination_id": "c1"},
        {"state": "left", "reason": "deleted", "destination_id": "c1"},
        {"state": "left", "reason": "deleted"},
        {"state": "skipped", "reason": "undone"},
        {"state": "waiting"},
        {"state": "rejected"},
        {"state": "ambiguous", "reason": "deleted"},
        {"state": "unresolved", "intent": {"operation": "delete-contacts"}},
        {**GONE, "intent": {"operation": "create-contacts"}},
        {**GONE, "destination_id": "c1"},
        {**GONE, "reason": "tagged", "destination_id": "c1"},
        {**GONE, "reason": "edited", "destination_id": "c1"},
        {**GONE, "reason": "restored", "destination_id": "c1"},
        {**GONE, "synced_at": NOW - 89 * DAY},
        {**GONE, "synced_at": None, "first_seen_at": NOW - 89 * DAY},
        {**GONE, "first_seen_at": OLD - 3 * DAY},
    ],
    ids=str,
)
def test_a_record_without_which_something_would_be_written_again_stays(synced, values):
    put(synced, records, record(1, **values))
    assert trim(synced) == {}
    assert number_of(synced, records) == 1


def test_a_tombstone_stays_as_long_as_the_journal_tells_of_it_or_none_is_kept(synced):
    put(synced, records, record(1, **GONE))
    write(synced, 1, at=NOW - 89 * DAY)
    assert trim(synced) == {}
    synced.now_do(lambda c: c.execute(update(history).values(at=OLD)))
    assert trim(synced, terms=Terms(0, 30)) == {"writes": 1}
    assert number_of(synced, records) == 1
    assert trim(synced) == {"tombstones": 1}


def test_contacts_met_before_there_was_a_complete_sync_stay(database):
    put(database, records, record(1, **GONE), record(2, entity="notes", **GONE))
    assert trim(database) == {"tombstones": 1}
    left = database.now_look(lambda c: c.execute(select(records.c.entity)).scalars().all())
    assert left == ["contacts"]


def test_what_a_backfill_still_has_to_do_stays_however_old(database):
    for key, finished in (("done", OLD), ("going", None), (backfills.ESTIMATE, None)):
        row = {"account": "acme", "key": key, "started_at": OLD, "finished_at": finished}
        put(database, backfills.backfills, row)
        put(
            database, staged, *({"account": "acme", "key": key, "source_id": one, "at": 1.0} for one in "abc")
        )
    assert trim(database, most=2) == {"staged": 6, "backfills": 2}
    assert database.now_look(partial(backfills.find, account="acme", key="going"))
    assert database.now_look(partial(backfills.rest, account="acme", key="going")).number == 3


def test_findings_of_the_last_verification_go_when_it_is_old(database):
    row = {
        "account": "acme", "number": 7, "entity": "contacts", "kind": "edited", "source_id": "1",
        "destination_id": "c1", "contact_id": "c1", "fields": ["city"],
    }  # fmt: skip
    put(database, deviations, row)
    database.now_do(partial(facts.put, account="acme", name="verification", value={"number": 7}))
    learnt = partial(update(facts_table).values)
    database.now_do(lambda c: c.execute(learnt(learnt_at=NOW - 29 * DAY)))
    assert trim(database) == {}
    database.now_do(lambda c: c.execute(learnt(learnt_at=NOW - 31 * DAY)))
    assert trim(database) == {"deviations": 1}


def test_effects_go_once_they_are_done_with(database):
    row = {
        "account": "acme", "source_id": "1", "tag": "lead", "when": "added", "action": "webhook",
        "target": "https://example.com", "attempts": 0, "tried": 0,
    }  # fmt: skip
    states = ("pending", "sent", "failed", "done", "dropped")
    put(database, effects, *({**row, "key": one, "state": one, "at": OLD} for one in states))
    put(database, effects, {**row, "key": "new", "state": "done", "at": NOW - 3600})
    assert trim(database, most=1) == {"effects": 2}
    assert trim(database, terms=Terms(0, 30)) == {}
    left = database.now_look(lambda c: c.execute(select(effects.c.key)).scalars().all())
    assert sorted(left) == ["failed", "new", "pending", "sent"]


def test_all_of_an_account_goes_and_nothing_of_another(database, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 1)
    for account in ("acme", "beta"):
        fill(database, account)
    before = {table.name: number_of(database, table) for table in metadata.sorted_tables}
    assert database.now_look(retention.accounts) == ["acme", "beta"]
    counts = database.now_look(partial(retention.count_account, account="acme"))
    assert all(counts.values())
    batches = 0
    while database.now_do(partial(retention.forget_account, account="acme")):
        batches += 1
        known = database.now_look(retention.accounts)
        assert ("acme" in known) == (batches < sum(counts.values()))
    after = {table.name: number_of(database, table) for table in metadata.sorted_tables}
    assert after == {name: number - counts.get(name, 0) for name, number in before.items()}
    assert after["plan_items"] == counts["plan_items"]
    assert database.now_look(retention.accounts) == ["beta"]


def fill(database, account):
    """A row of everything, whatever columns there are."""
    for table in metadata.sorted_tables:
        values = {column.name: value_for(column, account) for column in table.c}
        if table is plan_items:
            values["plan_id"] = f"{account}-id"
        if table is plans_table:
            values["id"] = f"{account}-id"
        if table is runs:
            values["id"] = f"{account}-run"
        if "account" in table.c or table is plan_items:
            put(database, table, values)


def value_for(column, account):
    if column.name == "account":
        return account
    kind = type(column.type).__name__
    return {"Float": 1.0, "Integer": 1, "BigInteger": 1, "JSON": {}, "SealedJson": {}}.get(kind, "x")


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
def test_a_row_that_another_is_just_giving_a_use_again_stays(synced, ledger_url):
    put(synced, records, record(1, entity="notes", **GONE))
    with opened(ledger_url) as other:
        how = {"kind": "tombstones", "account": "acme", "now": NOW, "terms": TERMS}
        how["places"] = other.now_look(partial(retention.old, **how, most=9))
        went = []
        purging = threading.Thread(target=lambda: went.append(other.now_do(partial(retention.let_go, **how))))
        with synced.engine.begin() as returning:
            returning.execute(
                update(records).values(state="unresolved", intent={"operation": "create-notes"})
            )
            purging.start()
            waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while not returning.execute(waits).scalar():
                pass
        purging.join()
    assert went == [0]
    assert number_of(synced, records) == 1
