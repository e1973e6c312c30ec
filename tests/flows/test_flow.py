"""What Prefect is told of a sync: states, task runs, artifacts, parameters; never a secret or a person."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.command import KEY, Command, Ran
from tests.support.forking import PREFECT_COMMAND, execute
from tests.support.prefect_http import prefect_client

Make = Callable[..., Command]
PROJECT = Path(__file__).parents[2]
MOST_TASK_RUNS = 200
"""Per flow run: Prefect's server loses track of more."""
STAGES = {"prepare", "extract", "transform", "load", "finish", "report"}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the Prefect API shows of an account's only flow run."""

    flow_run: dict[str, Any]
    task_runs: list[dict[str, Any]]
    artifacts: list[dict[str, Any]]
    logs: list[dict[str, Any]]

    @property
    def stages(self) -> Counter[str]:
        """How many task runs each stage had."""
        return Counter(run["name"].partition("-")[0] for run in self.task_runs)

    @property
    def everything(self) -> str:
        """All of it as one text."""
        return json.dumps([self.flow_run, self.task_runs, self.artifacts, self.logs], ensure_ascii=False)


class Api:
    """Prefect's REST API."""

    def __init__(self, url: str) -> None:
        self.client = prefect_client(url)

    def filter(self, what: str, **body: Any) -> list[dict[str, Any]]:
        """Everything that matches, page by page."""
        rows: list[dict[str, Any]] = []
        while True:
            page = self.client.post(f"{what}/filter", json={**body, "limit": 200, "offset": len(rows)})
            rows += page.raise_for_status().json()
            if len(page.json()) < 200:
                return rows

    def seen(self, account: str, ran: Ran) -> Seen:
        """What is shown of an account's run, once the server has recorded the task runs that we saw end."""
        (flow_run,) = self.filter("flow_runs", flow_runs={"name": {"any_": [f"sync {account}"]}})
        chosen = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
        ended = len(re.findall(r"Task run '[^']+' - Finished in state", ran.err))
        until = time.monotonic() + 30
        while len(task_runs := self.filter("task_runs", **chosen)) < ended or {
            run["state_type"] for run in task_runs
        } & {"PENDING", "RUNNING"}:
            assert time.monotonic() < until, f"{len(task_runs)} of {ended} task runs were recorded"
            time.sleep(0.2)
        artifacts = self.filter("artifacts", **chosen)
        logs = self.filter("logs", logs={"flow_run_id": {"any_": [flow_run["id"]]}})
        return Seen(flow_run, task_runs, artifacts, logs)


@pytest.fixture(scope="module")
def api(prefect_api: str) -> Iterator[Api]:
    made = Api(prefect_api)
    yield made
    made.client.close()


@dataclass(frozen=True, slots=True)
class Story:
    """A run, what Prefect shows of it, and the sandbox it ran against."""

    ran: Ran
    seen: Seen
    box: Box
    command: Command


@pytest.fixture(scope="module")
def sound(prefect_api: str, command: Make, api: Api) -> Iterator[Story]:
    with Sandbox.threaded(contacts=120, burst=50_000) as box:
        made = command("sound", PREFECT_API_URL=prefect_api).configure(box)
        ran = made.run("sync", "sound", "--json")
        yield Story(ran, api.seen("sound", ran), box, made)


def test_a_run_without_a_flaw_is_completed(sound: Story) -> None:
    state = sound.seen.flow_run["state"]
    assert (sound.ran.code, sound.ran.json["status"]) == (0, "ok")
    assert (state["type"], state["name"]) == ("COMPLETED", "Completed")
    assert sound.ran.json["run_id"] in state["message"]


def test_a_run_that_leaves_something_open_is_completed_and_named_degraded(
    with_a_refusal: Ran, api: Api
) -> None:
    state = api.seen("poisoned", with_a_refusal).flow_run["state"]
    assert (state["type"], state["name"]) == ("COMPLETED", "Degraded")
    assert "rejected" in state["message"]


def test_a_run_that_could_not_do_its_work_is_failed(prefect_api: str, command: Make, api: Api) -> None:
    with Sandbox.threaded(contacts=3, burst=5000) as box:
        made = command("locked-out", PREFECT_API_URL=prefect_api).configure(box)
        ran = made.run("sync", "locked-out", "--json", **{KEY: "0123456789abcdef" * 2})
    seen = api.seen("locked-out", ran)
    assert (seen.flow_run["state"]["type"], seen.flow_run["state"]["name"]) == ("FAILED", "Failed")
    assert seen.flow_run["state"]["message"] == ran.json["warnings"][0]
    assert "VoIPstudio refuses the key" in ran.json["warnings"][0]
    assert "0123456789abcdef" not in seen.everything
    assert {run["name"].partition("-")[0]: run["state_type"] for run in seen.task_runs} == {
        "prepare": "COMPLETED",
        "extract": "FAILED",
        "report": "COMPLETED",
    }


def test_the_report_and_the_progress_are_artifacts(sound: Story) -> None:
    by_key = {one["key"]: one for one in sound.seen.artifacts}
    assert {key: one["type"] for key, one in by_key.items()} == {
        "report-sound": "table",
        "summary-sound": "markdown",
        "progress-sound": "progress",
        "overview-sound": "markdown",
    }
    report = sound.ran.json
    rows = {row.pop("entity"): row for row in json.loads(by_key["report-sound"]["data"])}
    said = {
        entity: {name: counts[name] for name in rows[entity]} for entity, counts in report["entities"].items()
    }
    assert rows == said
    assert sum(map(sum, (row.values() for row in rows.values()))) == sum(
        number for counts in report["entities"].values() for number in counts.values()
    )
    assert report["run_id"] in by_key["summary-sound"]["data"]
    assert f"| contacts | {report['entities']['contacts']['read']} |" in by_key["summary-sound"]["data"]
    assert float(by_key["progress-sound"]["data"]) == 100.0
    assert report["run_id"] in by_key["overview-sound"]["data"]


def test_a_run_without_anything_to_do_leaves_its_accounts_page_alone(sound: Story, api: Api) -> None:
    ran = sound.command.run("sync", "sound", "--json", VOIPSYNC_LOG_FORMAT="json")
    assert ran.json["requests"]["destination_writes"] == 0
    shown = [one for one in api.filter("artifacts") if ran.json["run_id"] in json.dumps(one)]
    assert [one["key"] for one in shown] == ["overview-sound"]
    assert [one["key"] for one in api.filter("artifacts")].count("overview-sound") == 1
    logged = [json.loads(line) for line in ran.err.splitlines()]
    (ended,) = [line for line in logged if line["message"].endswith("of sound: ok")]
    assert (ended["run"], ended["account"]) == (ran.json["run_id"], "sound")
    assert ended["flow_run"] in {line.get("flow_run") for line in logged if line["logger"] != ended["logger"]}


def test_prefect_is_told_nothing_about_people(sound: Story) -> None:
    told = sound.seen.everything
    people = sound.box.source("contacts")
    emails = {row["email"] for row in people if row["email"]}
    numbers = {row[name] for row in people for name in ("tel", "tel_1", "tel_2", "mobile") if row.get(name)}
    numbers |= {contact["phone"] for contact in sound.box.contacts() if contact.get("phone")}
    bodies = {row["body"] for row in sound.box.source("notes") if row["body"]}
    assert (len(emails) > 100, len(numbers) > 100, len(bodies) > 10) == (True, True, True)
    assert [email for email in emails if email.lower() in told.lower()] == []
    assert [number for number in numbers if len(number) > 6 and number in told] == []
    assert [body for body in bodies if len(body) > 6 and body in told] == []
    assert "@" not in told


def test_prefect_is_told_no_secret(sound: Story) -> None:
    assert sound.seen.flow_run["parameters"]["account"] == "sound"
    assert sound.seen.flow_run["parameters"]["options"] == {
        "mode": "incremental",
        "only": [],
        "wait_seconds": 600.0,
        "accept_fewer": False,
    }
    assert sound.box.token not in sound.seen.everything
    assert sound.box.api_key not in sound.seen.everything
    assert sound.box.token not in sound.ran.err + sound.ran.out
    assert sound.box.api_key not in sound.ran.err + sound.ran.out


def test_a_task_run_is_a_chunk(sound: Story, prefect_api: str, command: Make, api: Api) -> None:
    with Sandbox.threaded(contacts=900, activities=False, burst=50_000) as box:
        made = command("large", PREFECT_API_URL=prefect_api).configure(box)
        ran = made.run("sync", "large", "--only", "contacts", "--json")
    large = api.seen("large", ran)
    assert (ran.json["status"], ran.json["entities"]["contacts"]["read"]) == ("ok", 900)
    for seen in (sound.seen, large):
        assert set(seen.stages) == STAGES
        assert len(seen.task_runs) <= MOST_TASK_RUNS
        assert {run["state_type"] for run in seen.task_runs} == {"COMPLETED"}
    assert sound.seen.stages["load"] <= 5
    assert large.stages["load"] <= 4


def test_the_deployments_are_accepted(prefect_api: str, api: Api, tmp_path: Path) -> None:
    env = {"HOME": str(tmp_path), "PREFECT_API_URL": prefect_api, "PREFECT_HOME": str(tmp_path)}
    env |= {"PWD": str(PROJECT)}
    file = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))
    there = [one for one in file["deployments"] if (PROJECT / one["entrypoint"].partition(":")[0]).exists()]
    (tmp_path / "prefect.yaml").write_text(yaml.safe_dump({**file, "deployments": there}), encoding="utf-8")
    api.client.post("/work_pools/", json={"name": "voipsync", "type": "process"})
    out, options = tmp_path / "deploy.out", ("--prefect-file", str(tmp_path / "prefect.yaml"))
    deploying = execute(
        PREFECT_COMMAND, "--no-prompt", "deploy", "--all", *options, out=out, cwd=PROJECT, **env
    )
    assert deploying.wait(90) == 0, out.read_text() + out.with_suffix(".err").read_text()
    made = {(one["entrypoint"].rpartition(":")[2], one["name"]): one for one in api.filter("deployments")}
    assert {(one["entrypoint"].rpartition(":")[2], one["name"]) for one in there} <= set(made)
    deployment = made["sync", "sync"]
    assert deployment["parameters"] == {
        "account": "acme",
        "options": {"mode": "incremental", "overlap": "skip"},
    }
    assert [
        step["prefect.deployments.steps.set_working_directory"]["directory"]
        for step in deployment["pull_steps"]
    ] == [str(PROJECT)]
    assert deployment["parameter_openapi_schema"]["required"] == ["account"]
    assert [one["schedule"]["interval"] for one in deployment["schedules"]] == [60.0]
    assert deployment["global_concurrency_limit"] is None
    for one in made.values():
        for model in one["parameter_openapi_schema"].get("definitions", {}).values():
            assert all(field.get("description") for field in model.get("properties", {}).values())
    for one in made.values():
        api.client.delete(f"/deployments/{one['id']}").raise_for_status()
    api.client.delete("/work_pools/voipsync")
