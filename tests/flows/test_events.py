"""Events of routes on a real Prefect server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from prefect.settings import PREFECT_API_URL, temporary_settings

from sandbox.serve import Sandbox
from tasks.engine.changes import STATE, SYNCED
from tasks.engine.effects import Event
from tasks.events import emit
from tests.support.command import Command, Ran
from tests.support.prefect_http import prefect_client

ROUTE = """
[[accounts.acme.mapping.routes]]
tag = "vip"
event = "crm.vip"
"""


def there(api: str, name: str, number: int) -> list[dict[str, Any]]:
    """The events of a name, once the server has stored so many."""
    until = time.monotonic() + 20
    query = {"filter": {"event": {"name": [name]}}, "limit": 50}
    with prefect_client(api) as client:
        while True:
            found: list[dict[str, Any]] = client.post("/events/filter", json=query).json()["events"]
            if len(found) >= number or time.monotonic() > until:
                return found
            time.sleep(0.2)


async def test_an_event_that_is_emitted_twice_is_one_event(prefect_api: str) -> None:
    some = [
        Event(
            id=str(uuid4()),
            name="crm.repeated",
            at=datetime.now(UTC),
            resource={"prefect.resource.id": f"voipsync.contact.acme.{number}"},
            location={"prefect.resource.id": "voipsync.location.x", "prefect.resource.role": "location"},
            payload={"contact_id": str(number)},
        )
        for number in range(3)
    ]
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        await emit(some[:2])
        await emit(some)
    assert len(there(prefect_api, "crm.repeated", 3)) == 3
    await asyncio.sleep(1)
    assert {one["id"] for one in there(prefect_api, "crm.repeated", 3)} == {one.id for one in some}


def test_a_tag_that_appears_is_an_event_with_the_contacts_ids(
    prefect_api: str, command: Callable[..., Command]
) -> None:
    with Sandbox.threaded(contacts=2, activities=False, burst=5000) as box:
        made = command(PREFECT_API_URL=prefect_api).configure(box)
        made.path.write_text(made.path.read_text(encoding="utf-8") + ROUTE, encoding="utf-8")
        assert made.run("sync", "acme").code == 0
        row = box.insert_source("contacts", first_name="Zoe", email="zoe@example.com", labels=["VIP"])
        for _ in range(2):
            assert made.run("sync", "acme", "--json").json["status"] == "ok"
        contact = next(one["id"] for one in box.contacts() if one.get("email") == "zoe@example.com")
    [event] = there(prefect_api, "crm.vip", 1)
    assert event["resource"] == {"prefect.resource.id": f"voipsync.contact.acme.{contact}"}
    related = {one["prefect.resource.role"]: one["prefect.resource.id"] for one in event["related"]}
    assert related["location"] == f"voipsync.location.{box.location_id}"
    assert related["flow-run"].startswith("prefect.flow-run.")
    assert event["payload"] == {
        "account": "acme",
        "location_id": box.location_id,
        "contact_id": contact,
        "source_id": str(row["id"]),
        "tag": "vip",
        "when": "added",
    }


def test_what_changed_with_a_run_is_told(prefect_api: str, with_a_refusal: Ran) -> None:
    assert with_a_refusal.json["status"] == "degraded"
    (told,) = of_account(prefect_api, STATE, "poisoned")
    assert told["payload"]["from"] == "ok"
    assert told["payload"]["to"] == "degraded"
    assert told["payload"]["message"] == with_a_refusal.json["warnings"][0]
    assert [one["payload"]["status"] for one in of_account(prefect_api, SYNCED, "poisoned")] == ["degraded"]


SYNCS = """\
import asyncio, sys
from pathlib import Path
from flows.sync import sync

async def syncs():
    for text in sys.argv[1:]:
        Path("voipsync.toml").write_text(text)
        print((await sync("mended", return_state=True)).name)

asyncio.run(syncs())
"""
"""Syncs under one configuration after the other, as a worker does."""


def test_a_sync_that_can_record_nothing_is_told_once_and_so_is_the_recovery(
    prefect_api: str, command: Callable[..., Command]
) -> None:
    with Sandbox.threaded(contacts=1, activities=False, burst=5000) as box:
        made = command("mended", PREFECT_API_URL=prefect_api).configure(box)
        well, broken = made.path.read_text(encoding="utf-8"), "[nothing]"
        texts, deployment = (well, broken, broken, well, well), str(uuid4())
        ran = made.execute(SYNCS, *texts, PREFECT__RUNTIME__DEPLOYMENT__ID=deployment).end(120)
    assert ran.out.split() == ["Completed", "Failed", "Failed", "Completed", "Completed"], ran.err
    there(prefect_api, SYNCED, 3)
    told = [one["payload"] for one in reversed(of_account(prefect_api, STATE, "mended"))]
    assert [(one["from"], one["to"]) for one in told] == [("ok", "failed"), ("failed", "ok")]
    assert "nothing" in told[0]["message"]


def of_account(api: str, name: str, account: str) -> list[dict[str, Any]]:
    until = time.monotonic() + 20
    while True:
        found = [one for one in there(api, name, 1) if one["payload"]["account"] == account]
        if found or time.monotonic() > until:
            return found
        time.sleep(0.2)
