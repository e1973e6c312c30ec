"""For any history of edits on both sides: who changed a field alone, has it.

The model knows of each field what both sides last agreed on. A person's change stands until somebody at
the source changes that field as well, and then as its rule says; what only the source changed is written.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.accounts import CONTACTS_ALONE, sync

RULES = {
    "firstName": {},
    "lastName": {"winner": "source"},
    "companyName": {"policy": "off"},
    "city": {"source": "group_name", "policy": "fill"},
    "website": {"template": "https://phones.example/{notes}", "policy": "merge"},
}
COLUMNS = {"firstName": "first_name", "lastName": "last_name", "city": "group_name", "website": "notes"}
FIELDS = st.sampled_from(sorted(COLUMNS))
EDITS = st.tuples(st.sampled_from(["source", "person"]), FIELDS)
HISTORIES = st.lists(st.lists(EDITS, max_size=4), min_size=1, max_size=4)


def shown(field, value):
    return f"https://phones.example/{value}" if field == "website" else value


def stands(field, *, agreed, source, there):
    """What a field must hold after a sync."""
    if field == "city":  # fill
        return there or source
    if source == agreed:
        return there
    if there == agreed or RULES[field].get("winner") == "source":
        return source
    return there


@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
def test_who_changed_a_field_alone_has_it(box, version):
    mapping = {"default_country": "GB", "fields": RULES, "group_as_tag": False}

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(histories=HISTORIES)
    def play(histories):
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(live(f"sqlite:///{Path(folder)}/ledger.db", histories))

    async def live(url, histories):
        box.reset(contacts=0, burst=5000)
        value = dict.fromkeys(COLUMNS, "begin")
        row = box.insert_source(
            "contacts", email="ann@example.com", **{COLUMNS[field]: value[field] for field in value}
        )
        run = {"mapping": mapping, "source": CONTACTS_ALONE, "destination": {"api_version": version}}
        await sync(box, url, **run)
        [contact] = box.contacts()
        expected = {field: shown(field, value[field]) for field in value}
        agreed = dict(expected)
        for number, edits in enumerate(histories):
            for side, field in edits:
                word = f"{side}{number}"
                if side == "source":
                    value[field] = word
                    box.edit_source("contacts", row["id"], **{COLUMNS[field]: word})
                else:
                    expected[field] = shown(field, word)
                    box.edit("contacts", contact["id"], **{field: expected[field]})
            await sync(box, url, **run)
            for field in value:
                source = shown(field, value[field])
                expected[field] = stands(field, agreed=agreed[field], source=source, there=expected[field])
                agreed[field] = source
            now = box.contact(contact["id"])
            assert {field: now.get(field) for field in expected} == expected
            box.reset_counters()
            await sync(box, url, **run)
            assert box.writes() == {}

    play()
