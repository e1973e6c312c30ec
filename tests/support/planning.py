"""Plans and what the sandbox received, in one form, so that both can be counted and compared."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from sandbox.client import Box
from tasks.engine.apply import apply_once
from tasks.engine.plan import PlanReport, plan_once
from tasks.engine.report import Report
from tasks.ledger import plans
from tasks.ledger.database import opened
from tasks.options import ApplyOptions, SyncOptions
from tests.support.accounts import settings_of

SPELT = {
    "create-crm-task": "create-task",
    "update-crm-task": "update-task",
    "delete-crm-task": "delete-task",
    "delete-appointment": "delete-event",
}
"""Operations that the sandbox calls otherwise."""
TAGS = frozenset({"add-tags", "remove-tags"})


async def plan(box: Box, url: str, *, mode: str = "incremental", **sections: Any) -> PlanReport:
    """Plan a sync, without Prefect."""
    options = SyncOptions.model_validate({"mode": mode, "wait_seconds": 0})
    return await plan_once("acme", options, settings_of(box, url, **sections))


async def apply(box: Box, url: str, plan_id: str, **sections: Any) -> Report:
    """Apply a plan, without Prefect."""
    options = ApplyOptions(plan=plan_id, wait_seconds=0)
    return await apply_once("acme", options, settings_of(box, url, **sections))


def items(url: str, plan_id: str) -> list[dict[str, Any]]:
    """The items of a plan."""
    with opened(url) as database:
        return database.now_look(lambda connection: [row.item for row in plans.walk(connection, plan_id)])


def operations(url: str, plan_id: str) -> list[dict[str, Any]]:
    """The requests that a plan foresees, in order."""
    return [one for item in items(url, plan_id) for one in item["operations"]]


def foreseen(url: str, plan_id: str) -> Counter[str]:
    """The requests that a plan foresees, as `received` says them."""
    return Counter(
        _said(SPELT.get(one["name"], one["name"]), one["write"]) for one in operations(url, plan_id)
    )


def received(box: Box) -> Counter[str]:
    """The writing requests that the destination received since they are recorded."""
    fields = {row["id"]: row["name"] for row in box.state("highlevel", "custom_fields")}
    ours = {"VoIPstudio ID": "id", "VoIPstudio other phones": "other_phones"}
    said: Counter[str] = Counter()
    for row in box.requests("highlevel"):
        name = row["operation"]
        if row["method"] == "GET" or name in ("search-contacts", "create-custom-field"):
            continue
        body = {key: value for key, value in (row["body"] or {}).items() if key != "locationId"}
        for one in body.pop("customFields", []):
            value = next(value for key, value in one.items() if key != "id")
            body[ours.get(fields[one["id"]], one["id"])] = value
        for aside in ("contactId", "ignoreFreeSlotValidation", "ignoreDateRange", "toNotify"):
            body.pop(aside, None)
        if name == "enrol-in-workflow":
            body["workflow"] = row["path"].rsplit("/", 1)[-1]
        said[_said(name, body)] += 1
    return said


def _said(name: str, write: dict[str, Any]) -> str:
    return f"{name} {json.dumps(write, sort_keys=True)}"


def shown(box: Box) -> dict[str, list[str]]:
    """All that the destination holds, without ids and instants of its own."""
    aside = {"id", "contactId", "dateAdded", "dateUpdated", "locationId", "createdAt", "updatedAt"}
    state = box.state("highlevel")
    emails = {row["id"]: row.get("email") or row.get("phone") for row in state["contacts"]}
    found: dict[str, list[str]] = {}
    for entity in ("contacts", "notes", "tasks", "appointments"):
        rows = []
        for row in state[entity]:
            kept = {key: value for key, value in row.items() if key not in aside}
            if "customFields" in kept:
                kept["customFields"] = sorted(str(one["value"]) for one in kept["customFields"])
            rows.append(json.dumps({**kept, "of": emails.get(row.get("contactId"))}, sort_keys=True))
        found[entity] = sorted(rows)
    return found
