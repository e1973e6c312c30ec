"""Every request that a sync sends is one that HighLevel's OpenAPI files allow."""

from __future__ import annotations

import pytest

from tests.support.accounts import sync
from tests.support.openapi import ABSENT, SPECS, validate_request


@pytest.mark.skipif(not SPECS.is_dir(), reason=ABSENT)
@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
async def test_every_request_is_allowed(box, url, tmp_path, version):
    box.reset(contacts=25, mirrored=10, strangers=20, burst=5000, record=True)
    await sync(box, url, destination={"api_version": version})
    for row in box.source("contacts")[:10]:
        box.edit_source("contacts", row["id"], last_name="Renamed", labels=["renamed"])
    for entity, change in (
        ("notes", {"body": "Edited"}),
        ("tasks", {"completed": True}),
        ("appointments", {"title": "Moved"}),
    ):
        for row in box.source(entity)[:5]:
            box.edit_source(entity, row["id"], row["contact_id"], **change)
    await sync(box, url, destination={"api_version": version})
    await sync(box, f"sqlite:///{tmp_path}/another.db", destination={"api_version": version})
    sent = box.requests("highlevel")
    assert {request["operation"] for request in sent} >= {
        "create-contact",
        "update-contact",
        "add-tags",
        "create-note",
        "update-note",
        "create-task",
        "create-appointment",
        "update-appointment",
        "search-contacts",
        "list-notes",
    }
    problems = {problem for request in sent for problem in validate_request(SPECS, request)}
    assert problems == set()
