"""``voipsync verify`` as a user meets it, and what Prefect is told of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from flows.cli_verify import show
from sandbox.client import Box
from sandbox.serve import Sandbox
from tasks.engine.verify_report import KINDS, VerifyReport
from tests.support.accounts import sync
from tests.support.command import Command, Ran
from tests.support.prefect_http import prefect_client

Make = Callable[..., Command]


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Sandbox.threaded(contacts=30, burst=5000) as running:
        yield running


@pytest.fixture(scope="module")
def verified(prefect_api: str, command: Make, box: Box) -> Ran:
    """A complete verification, with repair, where a contact was edited and a note deleted."""
    made = command(PREFECT_API_URL=prefect_api).configure(box)
    asyncio.run(sync(box, made.ledger))
    first = next(row for row in box.contacts() if row.get("firstName"))
    box.edit("contacts", first["id"], firstName="Somebody else")
    box.delete("notes", box.notes()[0]["id"])
    return made.run("verify", "acme", "--all", "--only", "contacts,notes", "--repair", "--json")


def test_deviations_are_told_and_the_exit_code_is_3(verified: Ran) -> None:
    report = verified.json
    assert (verified.code, report["status"], report["scope"], report["complete"]) == (
        3,
        "degraded",
        "all",
        True,
    )
    assert report["entities"]["contacts"]["edited"] == 1
    assert report["entities"]["notes"]["checked"] == report["entities"]["notes"]["written"] > 0
    assert [one["fields"] for one in report["deviations"]] == [["firstName"], []]
    assert report["warnings"][0] == "deviations: 1 contacts edited, 1 notes missing"
    assert report["plan"]["kind"] == "repair"
    assert report["plan"]["about"]["operations"] == {"create-note": 1}
    assert [sentence.partition(": ")[2] for sentence in report["left"]] == ["a person's edit stands"]


def test_prefect_shows_it_and_learns_nothing_about_people(verified: Ran, box: Box, prefect_api: str) -> None:
    def found(what: str, **body: Any) -> list[dict[str, Any]]:
        with prefect_client(prefect_api) as api:
            rows: list[dict[str, Any]] = api.post(f"/{what}/filter", json=body).raise_for_status().json()
        return rows

    shown = found("artifacts", artifacts={"key": {"any_": ["verify-summary-acme"]}})
    (ran,) = (one["flow_run_id"] for one in shown if verified.json["run_id"] in one["data"])
    (flow_run,) = found("flow_runs", flow_runs={"id": {"any_": [ran]}})
    assert flow_run["name"] == "verify acme"
    assert (flow_run["state"]["type"], flow_run["state"]["name"]) == ("COMPLETED", "Degraded")
    assert flow_run["state"]["message"].startswith("deviations: 1 contacts edited")
    artifacts = found("artifacts", flow_runs={"id": {"any_": [flow_run["id"]]}})
    keys = {"verify-acme", "verify-summary-acme", "plan-acme", "plan-acme-summary"}
    assert {one["key"] for one in artifacts} == keys
    told = json.dumps([flow_run, artifacts, verified.json], ensure_ascii=False).lower()
    assert "somebody else" not in told
    assert [row["email"] for row in box.contacts() if row.get("email") and row["email"].lower() in told] == []
    assert "| contacts |" in told


def test_what_it_will_cost_is_told_before_it_begins(verified: Ran) -> None:
    told = verified.err.index("verifying contacts, notes of all ")
    assert told < verified.err.index("Task run 'compare")


def test_what_looks_wrong_is_asked_for_within_a_bound(prefect_api: str, command: Make) -> None:
    with Sandbox.threaded(contacts=4, activities=False, burst=5000) as box:
        made = command(PREFECT_API_URL=prefect_api).configure(box)
        asyncio.run(sync(box, made.ledger))
        box.advance(3600)
        box.edit("contacts", box.contacts()[0]["id"], firstName="Somebody else")
        box.advance(3600)
        ran = made.run("verify", "acme", "--all", "--questions", "0", "--json")
        assert (ran.code, ran.json["requests"]["asked_by_id"]) == (3, 0)
        assert ran.json["entities"]["contacts"]["edited"] == 0
        ran = made.run("verify", "acme", "--all", "--questions", "1", "--json")
        assert (ran.code, ran.json["requests"]["asked_by_id"]) == (3, 1)
        assert ran.json["entities"]["contacts"]["edited"] == 1


def test_people_get_a_table_and_lines(verified: Ran, capsys: pytest.CaptureFixture[str]) -> None:
    show(VerifyReport(**{**verified.json, "plan": None}))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("acme: degraded (verify all, ")
    assert lines[1].split() == ["written", "checked", *KINDS, "aside"]
    assert lines[2].split()[0] == "contacts"
    assert any(
        "contacts 1 edited (firstName): " in line and "a person's edit stands" in line for line in lines
    )
    assert any(line.startswith("- not planned: contacts 1, ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--recreate"], "--recreate says what --repair plans"),
        (["--all", "--sample", "5"], "give either --sample or --all"),
        (["--sample", "0"], "0 is not in the range"),
        (["--all", "--questions", "-1"], "-1 is not in the range"),
        (["--only", "calls"], "choose from contacts, notes"),
    ],
)
def test_mistakes_are_told_before_anything_is_started(
    command: Make, box: Box, arguments: list[str], says: str
) -> None:
    ran = command().configure(box).run("verify", "acme", *arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
