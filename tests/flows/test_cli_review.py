"""``voipsync review`` and ``voipsync link`` as a user meets them; nothing of Prefect is needed for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.accounts import sync
from tests.support.command import Command

LINE = "+442079460001"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Sandbox.threaded(contacts=0, burst=5000) as running:
        running.insert("contacts", firstName="Zoe", lastName="Fry", email="zoe@example.com", phone=LINE)
        running.insert_source("contacts", first_name="Ann", last_name="Smith", tel="02079460001")
        running.insert_source("contacts", first_name="Bob", last_name="Smith", email="bob@example.com")
        yield running


@pytest.fixture(scope="module")
def acme(command: Callable[..., Command], box: Box) -> Command:
    made = command().configure(box)
    asyncio.run(sync(box, made.ledger))
    return made


def test_what_is_to_be_settled_is_listed(acme: Command, box: Box) -> None:
    candidate = next(row["id"] for row in box.contacts() if row["firstName"] == "Zoe")
    reason = "the phone is another contact's, and there is no e-mail to tell them apart"
    listed = {"source_id": "1", "reason": reason, "decision": None}
    listed["candidates"] = [{"id": candidate, "matched": ["phone"]}]
    ran = acme.run("review", "acme", "--json")
    assert (ran.code, ran.json) == (0, {"account": "acme", "contacts": [listed]})
    ran = acme.run("review", "acme")
    assert (ran.code, ran.out) == (0, f"1: {reason}\n  {candidate} (same phone)\n")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["acme", "99", "--create"], "contact 99 is not known: `voipsync review acme` lists 1"),
        (["acme", "2", "--create"], "contact 2 is linked already, to "),
        (["acme", "1", "nobody"], "there is no contact nobody in the location"),
        (["other", "1", "--create"], "other"),
    ],
)
def test_mistakes_are_one_line(acme: Command, arguments: list[str], says: str) -> None:
    ran = acme.run("link", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.line


@pytest.mark.parametrize("arguments", [["1"], ["1", "somebody", "--create"]])
def test_one_of_a_contact_and_create_is_needed(acme: Command, arguments: list[str]) -> None:
    ran = acme.run("link", "acme", *arguments)
    assert ran.code == 2
    assert "give either CONTACT_ID or --create" in ran.err


def test_a_decision_is_kept_and_shown(acme: Command, box: Box) -> None:
    candidate = next(row["id"] for row in box.contacts() if row["firstName"] == "Zoe")
    ran = acme.run("link", "acme", "1", candidate, "--json")
    assert (ran.code, ran.json) == (0, {"account": "acme", "source_id": "1", "decision": candidate})
    assert f"decided: {candidate}, by the next sync" in acme.run("review", "acme").out
    report = asyncio.run(sync(box, acme.ledger))
    assert (report.status, report.entities["contacts"]["adopted"]) == ("ok", 1)
    assert acme.run("review", "acme").out == "acme: nothing to settle\n"
    assert acme.run("status", "acme", "--json").json["accounts"][0]["runs"][1]["kind"] == "link"
