"""``voipsync plan`` and ``voipsync apply`` as a user meets them, and a plan that is approved in the UI."""

from __future__ import annotations

import json
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.command import Command, Ran, Running
from tests.support.prefect_http import prefect_client

Make = Callable[..., Command]
NOT_THERE, BUSY = 404, 503
"""The latter is what Prefect's server answers while somebody else writes to its SQLite file: ask again."""
ASKING = """\
import asyncio, sys
import tasks.plan
from flows.apply import apply
tasks.plan.ASKS_EVERY = 0.5
options = {"plan": sys.argv[1], "approval": True, "approval_hours": 1}
state = asyncio.run(apply("pilot", options, return_state=True))
print(state.type.value, state.message)
"""


@dataclass(frozen=True, slots=True)
class Story:
    """A plan that was made, and everything it was made with."""

    planned: Ran
    file: Path
    box: Box
    command: Command
    api: httpx.Client

    def flow_runs(self, name: str) -> list[dict[str, Any]]:
        body = {"flow_runs": {"name": {"any_": [name]}}}
        rows: list[dict[str, Any]] = self.api.post("flow_runs/filter", json=body).raise_for_status().json()
        return rows

    def start_asking(self, plan_id: str) -> Running:
        return self.command.execute(ASKING, plan_id)


@pytest.fixture(scope="module")
def story(prefect_api: str, command: Make) -> Iterator[Story]:
    with (
        Sandbox.threaded(contacts=6, burst=5000) as box,
        prefect_client(prefect_api) as api,
    ):
        made = command("pilot", PREFECT_API_URL=prefect_api).configure(box)
        yield Story(
            made.run("plan", "pilot", "--json", "--out", "plan.json"),
            made.folder / "plan.json",
            box,
            made,
            api,
        )


def test_a_plan_is_one_json_document_and_the_same_as_the_file(story: Story) -> None:
    assert story.planned.code == 0, story.planned.err[-2000:]
    shown = story.planned.json
    assert shown.pop("status") == "ok"
    assert shown == json.loads(story.file.read_text(encoding="utf-8"))
    assert shown["about"]["operations"]["create-contact"] > 0
    assert stat.S_IMODE(story.file.stat().st_mode) == 0o600
    assert story.box.writes() == {}


def test_prefect_shows_which_fields_and_nobodys_values(story: Story) -> None:
    (run,) = story.flow_runs("plan pilot")
    artifacts = _artifacts(story, run)
    logs = story.api.post("logs/filter", json={"logs": {"flow_run_id": {"any_": [run["id"]]}}}).json()
    table = json.loads(artifacts["plan-pilot"]["data"])
    assert table[0]["request"] == "create-contact"
    assert "firstName: [personal]" in table[0]["fields"]
    summary = artifacts["plan-pilot-summary"]["data"]
    assert f"voipsync apply pilot {story.planned.json['id']}" in summary
    everything = json.dumps([run, artifacts, logs], ensure_ascii=False)
    for row in story.box.source("contacts"):
        for name in ("first_name", "email", "tel"):
            assert not row[name] or str(row[name]) not in everything


def test_a_plan_waits_for_approval_and_is_applied_from_its_file(story: Story) -> None:
    plan_id = story.planned.json["id"]
    asking = [story.start_asking(plan_id) for _ in range(2)]
    try:
        until = time.monotonic() + 60
        while len(paused := _paused(story)) < 2:
            assert time.monotonic() < until, "they do not ask"
            time.sleep(0.2)
        until = time.monotonic() + 60
        form = _form(story, paused[0])
        asked = story.box.counters()["highlevel"]["requests"]
        for run, approve in zip(paused, (False, True), strict=True):
            answer = {"run_input": {"approve": approve, "note": "seen"}}
            while (told := story.api.post(f"flow_runs/{run['id']}/resume", json=answer)).status_code == BUSY:
                assert time.monotonic() < until, "the server's database stays locked"
            assert told.raise_for_status().json()["status"] == "ACCEPT", told.text
        said = sorted(running.end(90).out.strip() for running in asking)
    finally:
        for running in asking:
            running.child.kill()
    assert f"plan {plan_id} of pilot" in form["description"]
    assert "plan-pilot" in form["description"]
    assert _artifacts(story, paused[0])["approval-pilot"]["data"] == form["description"]
    assert "voipsync apply" not in form["description"]  # it is being applied
    assert all(one["description"] for one in form["properties"].values())
    assert story.box.counters()["highlevel"]["requests"] > asked
    assert said[0].startswith("COMPLETED run ")
    assert said[1].startswith("FAILED ")
    assert said[1].endswith(f"Declined: plan {plan_id} was declined: nothing was written")
    assert story.box.writes()["create-contact"] == story.planned.json["about"]["operations"]["create-contact"]
    story.box.reset_counters()
    again = story.command.run("apply", "pilot", "plan.json", "--json")
    assert (again.code, again.json["warnings"]) == (0, [f"plan {plan_id} was applied already"])
    assert story.box.counters()["highlevel"]["requests"] == 0


def _artifacts(story: Story, run: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What a run's page shows, by key."""
    body = {"flow_runs": {"id": {"any_": [run["id"]]}}}
    return {
        one["key"]: one for one in story.api.post("artifacts/filter", json=body).raise_for_status().json()
    }


def _form(story: Story, run: dict[str, Any]) -> dict[str, Any]:
    """What the run's page asks, as Prefect keeps it; that is there a moment after the run has paused."""
    keys, until = run["state"]["state_details"]["run_input_keyset"], time.monotonic() + 30
    asked = []
    for name in ("schema", "description"):
        while (told := story.api.get(f"flow_runs/{run['id']}/input/{keys[name]}")).status_code == NOT_THERE:
            assert time.monotonic() < until, f"no {name} of the form"
            time.sleep(0.1)
        asked.append(told.raise_for_status().json())
    return {**asked[0], "description": asked[1]}


def _paused(story: Story) -> list[dict[str, Any]]:
    return [run for run in story.flow_runs("apply pilot") if run["state_type"] == "PAUSED"]


def test_what_cannot_be_applied_is_one_line(story: Story) -> None:
    missing = story.command.run("apply", "pilot", "nonsense")
    assert (missing.code, "has no plan 'nonsense'" in missing.line) == (2, True)
    altered = story.command.folder / "altered.json"
    altered.write_text(story.file.read_text(encoding="utf-8").replace("VoIPstudio", "Evil"), encoding="utf-8")
    refused = story.command.run("apply", "pilot", "altered.json")
    assert (refused.code, "was altered since it was written" in refused.line) == (1, True)
