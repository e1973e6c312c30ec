"""An account in which next to nothing has changed: pages are compared several at once, and none is lost."""

from __future__ import annotations

import pytest

from tasks.engine import read
from tests.support.accounts import sync

PAGE = {"page_size": 10}


@pytest.mark.parametrize("together", [1, 30, 500])
async def test_every_page_is_read_once_and_every_contact_counted(box, url, monkeypatch, together):
    monkeypatch.setattr(read, "TOGETHER", together)
    box.reset(contacts=105, activities=False, burst=5000)
    first = await sync(box, url, only=("contacts",), source=PAGE)
    edited = [row for row in box.source("contacts") if row["email"] and row["tel"]][-1]
    box.edit_source("contacts", edited["id"], last_name="Renamed")
    box.reset_counters()
    second = await sync(box, url, only=("contacts",), source=PAGE)
    counts, before = second.entities["contacts"], first.entities["contacts"]
    assert counts["read"] == before["read"] == 105
    assert counts["updated"] == 1
    assert counts["unchanged"] == before["created"] - 1
    assert counts["skipped"] == before["skipped"]
    assert box.counters()["voipstudio"]["operations"] == {"list-contacts": 12}
    assert "Renamed" in {row.get("lastName") for row in box.contacts()}
