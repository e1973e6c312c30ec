"""prefect.yaml: what Prefect would accept silently and ignore, and whether what it names is there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.automations import EACH_FAILURE, FLOWS, HEARTBEAT_SECONDS, automations
from deployments.bootstrap import POOL
from flows.cli_run import PREFECT
from tests.support.forking import execute

PROJECT = Path(__file__).parents[2]
KEYS: dict[str, set[str]] = {
    "file": {"name", "prefect-version", "definitions", "build", "push", "pull", "deployments"},
    "deployment": {
        "name", "version", "version_type", "tags", "description", "schedules", "paused", "concurrency_limit",
        "flow_name", "entrypoint", "parameters", "enforce_parameter_schema", "build", "push", "pull",
        "work_pool", "triggers", "sla",
    },
    "work_pool": {"name", "work_queue_name", "job_variables"},
    "concurrency_limit": {"limit", "collision_strategy", "grace_period_seconds"},
    "schedule": {
        "interval", "anchor_date", "cron", "day_or", "rrule", "timezone", "active", "slug", "parameters",
        "max_scheduled_runs",
    },
}  # fmt: skip
"""Prefect's documented keys; a misspelt one is ignored without a word (measured)."""


WANTED: dict[str, dict[str, Any]] = {
    "apply": {"options": {"plan": "1"}},
    "undo": {"options": {"run_id": "1"}},
    "shard": {"accounts": ["acme"]},
}
"""What a person, or the fleet, must say when starting a run."""
HEARTBEAT = "PREFECT_FLOWS_HEARTBEAT_FREQUENCY"


@pytest.fixture(scope="module")
def file() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((PROJECT / "prefect.yaml").read_text(encoding="utf-8"))
    return read


@pytest.fixture(scope="module")
def deployments(file: dict[str, Any]) -> list[dict[str, Any]]:
    return list(file["deployments"])


def flow_of(deployment: dict[str, Any]) -> str:
    return str(deployment["entrypoint"]).partition(":")[2]


def test_it_has_only_keys_that_prefect_knows(file: dict[str, Any], deployments: list[dict[str, Any]]) -> None:
    assert set(file) <= KEYS["file"]
    for one in deployments:
        assert set(one) <= KEYS["deployment"]
        assert set(one["work_pool"]) <= KEYS["work_pool"]
        for schedule in one.get("schedules", []):
            assert set(schedule) <= KEYS["schedule"]
            assert schedule["slug"]
            assert schedule["timezone"]
    names = [(flow_of(one), one["name"]) for one in deployments]
    assert len(names) == len(set(names))


def test_everything_is_deployed(deployments: list[dict[str, Any]]) -> None:
    assert {flow_of(one) for one in deployments} == set(FLOWS)
    scheduled = {one["name"]: one["schedules"][0] for one in deployments if "schedules" in one}
    assert scheduled.pop("fleet")["active"] is False
    assert set(scheduled) == {"sync", "sync-full", "verify", "purge"}
    assert scheduled["sync"]["interval"] == 60
    for one in deployments:
        assert one["description"]
        assert {"voipsync", flow_of(one)} & set(one["tags"])
        assert one["work_pool"]["name"] == POOL
        # a dead run keeps its slot for minutes: ours is a lease
        assert "concurrency_limit" not in one
        assert one["work_pool"]["job_variables"]["env"][HEARTBEAT] == str(HEARTBEAT_SECONDS)
    assert PREFECT[HEARTBEAT] == str(HEARTBEAT_SECONDS)
    seldom = {one["name"] for one in deployments if EACH_FAILURE in one["tags"]}
    assert seldom == {"sync-full", "verify", "retry", "backfill", "apply", "purge"}


def test_nobody_applies_a_plan_by_a_click_too_many(deployments: list[dict[str, Any]]) -> None:
    applying = [one["parameters"]["options"]["approval"] for one in deployments if flow_of(one) == "apply"]
    assert applying
    assert all(applying)


def test_every_automation_stands_in_the_guide() -> None:
    page = (PROJECT / "docs" / "deployment.md").read_text(encoding="utf-8")
    for one in automations(None):
        assert f"| `{one.name.removeprefix('voipsync: ')}` |" in page


def test_the_account_is_written_once() -> None:
    lines = (PROJECT / "prefect.yaml").read_text(encoding="utf-8").splitlines()
    assert len([line for line in lines if "acme" in line.partition("#")[0]]) == 1


LOADS = """\
import json, sys
from prefect.flows import load_flow_from_entrypoint
for one in json.loads(sys.argv[1]):
    flow = load_flow_from_entrypoint(one["entrypoint"], use_placeholder_flow=False)
    flow.validate_parameters(one["parameters"])
    print(flow.name)
"""


def test_every_deployment_loads_and_takes_its_parameters(
    deployments: list[dict[str, Any]], tmp_path: Path
) -> None:
    """In a process of its own: loading by file puts that file's folder in front of ``sys.path``."""
    out = tmp_path / "loads.out"

    def loaded(given: list[dict[str, Any]]) -> int:
        nowhere = {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
        return execute(LOADS, json.dumps(given), out=out, cwd=PROJECT, **nowhere).wait(60)

    given = [
        {
            "entrypoint": one["entrypoint"],
            "parameters": {**WANTED.get(flow_of(one), {}), **one.get("parameters", {})},
        }
        for one in deployments
    ]
    assert loaded(given) == 0, out.with_suffix(".err").read_text(encoding="utf-8")
    names = out.read_text(encoding="utf-8").split()
    assert names == [Path(one["entrypoint"].partition(":")[0]).stem for one in given]
    given[0]["parameters"] = {**given[0]["parameters"], "options": {"mood": "incremental"}}
    assert loaded(given[:1]) != 0
    assert "options.mood" in out.with_suffix(".err").read_text(encoding="utf-8")
