"""The referee of the kill tests sees what it is there for."""

from __future__ import annotations

import sqlite3

import pytest

from tests.support.accounts import sync
from tests.support.truth import check


@pytest.fixture
async def synced(box, url):
    box.reset(contacts=6, burst=5000)
    assert (await sync(box, url)).status == "ok"
    assert check(box, url) == []
    return box


def in_ledger(url, statement):
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute(statement)
    connection.close()


async def test_it_sees_an_activity_twice(synced, url):
    note = synced.notes()[0]
    synced.insert("notes", note["contactId"], body=note["body"])
    (problem,) = check(synced, url)
    assert problem.endswith(": 2 times at the destination")


async def test_it_sees_a_contact_twice(synced, url):
    known = {one["id"]: one["value"] for one in synced.contacts()[0]["customFields"]}
    second = synced.insert("contacts", email="another@example.com")
    synced.edit("contacts", second["id"], customFields=known)
    assert "contact 1: 2 times at the destination" in check(synced, url)


@pytest.mark.parametrize("entity", ["contacts", "notes", "tasks", "appointments"])
async def test_it_sees_what_is_lost(synced, url, entity):
    synced.delete(entity, synced.state("highlevel", entity)[0]["id"])
    problems = check(synced, url)
    assert any("at the destination" in problem and "ledger" not in problem for problem in problems)
    assert any(problem.startswith("ledger") and "names something" in problem for problem in problems)


@pytest.mark.parametrize(
    ("entity", "change"),
    [
        ("contacts", {"lastName": "Other"}),
        ("contacts", {"tags": ["other"]}),
        ("tasks", {"completed": None}),
        ("appointments", {"appointmentStatus": "invalid"}),
    ],
)
async def test_it_sees_other_contents(synced, url, entity, change):
    row = synced.state("highlevel", entity)[0]
    if "completed" in change:
        change = {"completed": not row["completed"]}
    synced.edit(entity, row["id"], **change)
    (problem,) = check(synced, url)
    assert "not what the source says" in problem


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE records SET intent = '{}' WHERE entity = 'notes'", "has an open intent"),
        ("UPDATE records SET state = 'rejected' WHERE entity = 'tasks'", "is rejected"),
        ("UPDATE records SET destination_id = 'other' WHERE entity = 'contacts'", "names another contact"),
        ("UPDATE records SET content = '{}' WHERE entity = 'contacts'", "does not hold what was written"),
        ("DELETE FROM records WHERE entity = 'appointments'", "is missing"),
        ("UPDATE runs SET status = 'running'", "was not closed"),
        ("UPDATE leases SET owner = 'other'", "the lease was not given back"),
    ],
)
async def test_it_sees_a_ledger_that_is_wrong(synced, url, statement, problem):
    in_ledger(url, statement)
    assert any(found.startswith("ledger: ") and problem in found for found in check(synced, url))
