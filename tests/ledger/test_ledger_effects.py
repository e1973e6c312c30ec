from __future__ import annotations

import pytest

from tasks.ledger import effects, records
from tasks.ledger.effects import Effect
from tasks.ledger.journal import Journal
from tasks.ledger.records import Record

ALL = ("workflow", "event", "webhook")


def make(number, **values):
    given = {"tag": "vip", "when": "added", "action": "workflow", "target": "Welcome", "at": float(number)}
    return Effect(account="acme", key=f"key-{number}", source_id=str(number), **{**given, **values})


def contact(number, **values):
    given = {"state": "synced", "destination_id": f"there-{number}", "first_seen_at": 1.0}
    return Record(account="acme", entity="contacts", source_id=str(number), **{**given, **values})


def due(database, account="acme", **values):
    given = {"before": 5, "now": 100.0, "actions": ALL, "most": 10}
    found = database.now_look(lambda c: effects.due(c, account, **{**given, **values}))
    return [(one.effect.key, one.contact_id) for one in found]


@pytest.fixture
def saved(database):
    """Saves effects and contacts."""

    def save(*rows):
        database.now_do(lambda c: effects.save(c, [row for row in rows if isinstance(row, Effect)]))
        database.now_do(lambda c: records.save(c, [row for row in rows if isinstance(row, Record)]))

    return save


def test_the_oldest_come_first_with_their_contacts(database, saved):
    saved(make(2), make(1), make(3), contact(1), contact(2, state="left"))
    assert due(database) == [("key-1", "there-1"), ("key-2", None), ("key-3", None)]
    assert due(database, most=1) == [("key-1", "there-1")]
    assert due(database, "beta") == []


def test_a_contact_that_is_not_in_sync_is_still_there(database, saved):
    saved(make(1), contact(1, state="rejected"), make(2), contact(2, state="gone"))
    assert due(database) == [("key-1", "there-1"), ("key-2", "there-2")]


def test_a_contact_that_is_to_come_back_is_waited_for_and_one_that_was_deleted_is_not(database, saved):
    saved(make(1), contact(1, state="waiting", destination_id=None))
    saved(make(2), contact(2, state="gone", destination_id=None))
    assert due(database) == [("key-2", None)]


def test_only_what_is_open_and_due_and_not_tried_yet(database, saved):
    saved(
        make(1, state="done"),
        make(2, state="dropped"),
        make(3, state="failed", next_attempt_at=101.0),
        make(4, state="failed", next_attempt_at=100.0, tried=4),
        make(5, state="sent", tried=5),
        make(6, action="event"),
        make(7, target="Farewell"),
    )
    assert [key for key, _ in due(database)] == ["key-4", "key-6", "key-7"]
    assert [key for key, _ in due(database, actions=("workflow",))] == ["key-4", "key-7"]
    assert [key for key, _ in due(database, without={("workflow", "Farewell")})] == ["key-4", "key-6"]


def test_what_is_open_is_counted_by_reason(database, saved):
    saved(
        make(1, state="done"),
        make(2),
        make(3, state="failed", reason="http_400", error="No."),
        make(4, state="failed", reason="http_400", error="No."),
        make(5, state="sent", action="webhook"),
    )
    assert database.now_look(lambda c: effects.count_open(c, "acme")) == [
        ("webhook", "sent", 1, None),
        ("workflow", "http_400", 2, "No."),
        ("workflow", "pending", 1, None),
    ]


async def test_an_effect_is_saved_with_its_contact_and_alone(database):
    journal = Journal(database)
    await journal.save(contact(1), effects=[make(1), make(2)])
    assert due(database) == [("key-1", "there-1"), ("key-2", None)]
    await journal.save(effects=[make(1, state="done")])
    assert due(database) == [("key-2", None)]


async def test_where_the_effect_cannot_be_saved_its_contact_is_not_either(database):
    with pytest.raises(Exception, match=r"(?i)null|constraint|integrity|ledger|state database"):
        await Journal(database).save(contact(1), effects=[make(1, target=None)])
    assert database.now_look(lambda c: records.load(c, "acme", "contacts", ["1"])) == {}
