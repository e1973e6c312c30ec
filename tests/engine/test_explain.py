"""A record's story from the ledger alone, in every state in which a record may be."""

from __future__ import annotations

import pytest

from tasks.engine.explain import story
from tasks.errors import ConfigurationError
from tasks.ledger.database import opened
from tasks.ledger.records import load, save
from tests.support.accounts import settings_of, sync

NOTHING_ELSE = {"notes": "off", "tasks": "off", "appointments": "off"}


def ann(box, **values):
    given = {"first_name": "Ann", "email": "ann@example.com", **values}
    return str(box.insert_source("contacts", **given)["id"])


def explained(box, url, source_id, entity="contacts", **sections):
    return story("acme", settings_of(box, url, **sections), entity, source_id)


def now(told):
    return "\n".join(told["open"])


async def test_a_contact_that_is_in_tells_its_rules_and_its_history(box, url):
    row = ann(box, last_name="Lee", labels=["vip"], tel="02079460001")
    mapping = {
        "fields": {"lastName": {"policy": "source"}, "city": {"template": "{labels}", "policy": "fill"}},
    }
    first = await sync(box, url, mapping={"default_country": "GB", **mapping})
    box.edit_source("contacts", int(row), first_name="Anna")
    second = await sync(box, url, mapping={"default_country": "GB", **mapping})
    told = explained(box, url, row, mapping=mapping)
    assert (told["state"], told["open"], told["sent"]) == ("synced", [], None)
    assert told["destination_id"] == box.contacts()[0]["id"]
    rules = {one["field"]: (one["value"], one["from"], one["policy"]) for one in told["mapped"]}
    assert rules["firstName"] == ("Anna", "first_name", "merge: a person's edit in HighLevel stands")
    assert rules["lastName"] == ("Lee", "last_name", "source: kept equal")
    assert rules["city"] == ("vip", 'template "{labels}"', "fill: written where empty")
    assert rules["tags"][:2] == (["vip"], "labels and group, by mapping.tag_*")
    assert rules["id"][0] == row
    assert "labels" not in rules
    assert [(one["action"], one["run_id"]) for one in told["history"]] == [
        ("created", first.run_id),
        ("updated", second.run_id),
    ]
    assert told["history"][1]["run"] == "sync"
    assert [one["why"] for one in told["history"]] == [
        "nobody in the location was found to be this person",
        "it changed at the source",
    ]


async def test_what_a_tag_started_is_part_of_the_story(box, url):
    row = ann(box, labels=["vip"])
    await sync(box, url, mapping={"routes": [{"tag": "vip", "workflow": "Welcome", "history": True}]})
    assert explained(box, url, row)["history"][-1]["says"] == "workflow Welcome, as tag vip was added: done"


async def test_an_activity_tells_its_own_and_its_contact_counts_it(box, url):
    row = ann(box)
    note = box.insert_source("notes", int(row), body="Said")["id"]
    await sync(box, url)
    told = explained(box, url, f"{row}/{note}", "notes")
    assert (told["contact"], [one["from"] for one in told["mapped"]]) == (row, ["body, with its marker"])
    assert explained(box, url, row)["activities"] == {"notes": {"synced": 1}}


async def test_what_is_refused_says_why_and_what_to_do_and_when_it_is_tried_again(box, url):
    box.fault("status", status=422, method="POST", path=r"/contacts/$", body={"message": "email is odd"})
    row = ann(box)
    note = box.insert_source("notes", int(row), body="Said")["id"]
    for _ in range(2):
        await sync(box, url)
    told = explained(box, url, row)
    assert (told["state"], told["reason"], told["attempts"]) == ("rejected", "http_422", 2)
    assert "email is odd" in now(told)
    assert "refused 2 times: the next run tries again" in now(told)
    below = explained(box, url, f"{row}/{note}", "notes")
    assert (below["state"], below["history"]) == ("waiting", [])
    assert f"contact {row} is rejected (http_422)" in now(below)
    for _ in range(3):
        await sync(box, url)
    assert "refused 5 times: tried again from" in now(explained(box, url, row))


async def test_who_may_be_several_is_named_with_what_they_share(box, url):
    one = box.insert(
        "contacts", firstName="Zoe", lastName="Fry", email="zoe@example.com", phone="+442079460001"
    )
    row = ann(box, email=None, tel="02079460001")
    await sync(box, url)
    told = explained(box, url, row)
    assert told["state"] == "ambiguous"
    assert f"it may be {one['id']} (same phone)" in now(told)
    assert "voipsync review" in now(told)
    assert told["open"][0].startswith("ambiguous: more than one contact of the location may be it: ")
    [step] = told["history"]
    assert (step["action"], step["after"]) == ("ambiguous", {"candidates": [one["id"]]})


async def test_by_rule_nothing_is_sent_of_a_colleague(box, url):
    row = ann(box, internal=True)
    await sync(box, url)
    told = explained(box, url, row)
    assert (told["state"], told["history"]) == ("skipped", [])
    assert "colleague" in now(told)


async def test_what_another_contact_has_is_told(box, url):
    box.insert("contacts", firstName="Zoe", email="zoe@example.com", phone="+442079460001")
    row = ann(box, tel="02079460001")
    await sync(box, url)
    assert "phone +442079460001 is not written: another contact" in now(explained(box, url, row))


async def test_what_a_tag_has_not_started_yet_is_told(box, url):
    row = ann(box, labels=["vip"])
    mapping = {"routes": [{"tag": "vip", "event": "crm.vip", "history": True}]}
    await sync(box, url, mapping=mapping)  # without Prefect, nobody takes the event
    assert now(explained(box, url, row)) == "the event crm.vip that tag vip starts is not done yet"


async def test_what_is_on_its_way_is_told(box, url):
    row = ann(box)
    await sync(box, url)
    with opened(url) as database:
        known = database.now_look(lambda one: load(one, "acme", "contacts", [row]))[row]
        intent = {"operation": "update-contacts", "content": {}, "write": {"firstName": "A"}, "at": 1.0}
        sent = {**{name: getattr(known, name) for name in known.__slots__}, "intent": intent}
        database.now_do(lambda one: save(one, [type(known)(**{**sent, "state": "unresolved"})]))
    told = explained(box, url, row)
    assert told["sent"] == {"operation": "update-contacts", "at": 1.0, "content": {"firstName": "A"}}
    assert "asks HighLevel before anything else" in now(told)


async def test_what_was_deleted_there_says_so(box, url):
    row = ann(box)
    await sync(box, url)
    box.delete("contacts", box.contacts()[0]["id"])
    box.edit_source("contacts", int(row), first_name="Anna")
    await sync(box, url)
    told = explained(box, url, row)
    assert told["state"] == "left"
    assert "voipsync link" in now(told)
    assert told["history"][-1]["action"] == "left"


async def test_what_is_unknown_names_what_may_have_been_meant(box, url):
    def refused(source_id, entity="contacts", **sections):
        with pytest.raises(ConfigurationError) as error:
            explained(box, url, source_id, entity, **sections)
        return str(error.value)

    assert "has not been synced yet; run: voipsync sync acme" in refused("7")
    row = ann(box)
    note = box.insert_source("notes", int(row), body="Said")["id"]
    await sync(box, url)
    assert refused("99") == f"acme knows no contacts record 99; it knows such as: {row}"
    assert refused(str(note), "notes").endswith(f"contact's id/own id, such as: {row}/{note}")
    assert refused("9/9", "tasks", source={"streams": NOTHING_ELSE}).endswith("streams.tasks is off")
    assert "calendar_id says no calendar" in refused("9/9", "appointments", destination={"calendar_id": None})


async def test_it_reads_the_ledger_and_nothing_else(box, url):
    row = ann(box)
    await sync(box, url)
    box.reset_counters()
    explained(box, url, row)
    assert box.counters()["highlevel"]["requests"] == 0
