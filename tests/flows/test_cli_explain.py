"""``voipsync explain`` and ``voipsync undo`` as a user meets them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.accounts import sync
from tests.support.command import Command
from tests.support.deeds import last_run


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Sandbox.threaded(contacts=0, burst=5000) as running:
        running.insert_source(
            "contacts", first_name="Ann", last_name="Smith", email="ann@example.com", labels=["vip"]
        )
        running.insert_source("notes", 1, body="Said\nmore")
        yield running


@pytest.fixture(scope="module")
def acme(command: Callable[..., Command], prefect_api: str, box: Box) -> Command:
    made = command(PREFECT_API_URL=prefect_api).configure(box)
    asyncio.run(sync(box, made.ledger))
    box.edit_source("contacts", 1, first_name="Anna", labels=["gold"])
    asyncio.run(sync(box, made.ledger))
    return made


def test_a_records_story_is_told_in_words(acme: Command, box: Box) -> None:
    ran = acme.run("explain", "acme", "contact", "1")
    assert (ran.code, ran.err) == (0, "")
    said = ran.out.splitlines()
    assert said[0] == f"acme: contacts 1: synced, {box.contacts()[0]['id']} in HighLevel"
    assert '  firstName = "Anna"' in said
    assert "    from first_name (merge: a person's edit in HighLevel stands)" in said
    assert '    firstName: "Ann" → "Anna"' in said
    assert "    tags: -vip +gold" in said
    assert f", by sync {last_run(acme.ledger)}" in ran.out
    assert "  notes: 1 synced" in said
    assert "now" not in said


def test_a_records_story_is_one_json_document(acme: Command) -> None:
    ran = acme.run("explain", "acme", "notes", "1/1", "--json")
    assert ran.code == 0
    assert (ran.json["entity"], ran.json["state"], ran.json["contact"]) == ("notes", "synced", "1")
    assert [one["action"] for one in ran.json["history"]] == ["created"]


def test_what_is_not_known_is_told_with_what_may_be_meant(acme: Command) -> None:
    ran = acme.run("explain", "acme", "contacts", "9")
    assert (ran.code, ran.line) == (2, "voipsync: acme knows no contacts record 9; it knows such as: 1")
    assert acme.run("explain", "acme", "calls", "9").code == 2
    ran = acme.run("undo", "acme", "nosuch")
    assert ran.code == 2
    assert "the history holds no write of a run nosuch of acme" in ran.line


def test_a_run_is_planned_back_and_applied(acme: Command, box: Box) -> None:
    run_id, before = last_run(acme.ledger), box.writes()
    ran = acme.run("undo", "acme", run_id[:-2])
    assert ran.code == 0, ran.err
    assert '    firstName: "Anna" → "Ann"' in ran.out
    assert "in a full sync, it is written again" in ran.out
    assert box.writes() == before
    plan = ran.out.splitlines()[-1].split()[-1]
    applied = acme.run("apply", "acme", plan, "--json")
    assert applied.code == 0, applied.err
    [contact] = box.contacts()
    assert (contact["firstName"], contact["tags"]) == ("Ann", ["vip"])
    assert "by apply " in acme.run("explain", "acme", "contacts", "1").out
