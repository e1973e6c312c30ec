"""Whatever changed on both sides: an undo gives back what was, but for what a person touched since."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.accounts import sync
from tests.support.undoing import take_back

COLUMNS = {"firstName": "first_name", "lastName": "last_name", "city": "group_name", "website": "notes"}
POLICIES = st.fixed_dictionaries(
    {
        field: st.sampled_from([{}, {"winner": "source"}, {"policy": "source"}, {"policy": "fill"}])
        for field in COLUMNS
    }
)
FIELDS = st.sets(st.sampled_from(sorted(COLUMNS)))
LABELS = st.lists(st.sampled_from(["vip", "gold", "old"]), unique=True)


def shown(box, contact_id):
    now = box.contact(contact_id)
    return {field: now.get(field) or None for field in COLUMNS}, set(now["tags"])


def test_what_nobody_touched_since_is_as_it_was(box):
    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        rules=POLICIES,
        begin=FIELDS,
        source=FIELDS,
        person=FIELDS,
        labels=st.tuples(LABELS, LABELS),
        own_tag=st.booleans(),
    )
    def play(rules, begin, source, person, labels, own_tag):
        with tempfile.TemporaryDirectory() as folder:
            url = f"sqlite:///{Path(folder)}/ledger.db"
            asyncio.run(live(url, rules, begin, source, person, labels, own_tag))

    async def live(url, rules, begin, source, person, labels, own_tag):
        box.reset(contacts=0, burst=5000)
        fields = {field: {"source": COLUMNS[field], **rule} for field, rule in rules.items()}
        mapping = {"fields": fields, "group_as_tag": False}
        given = {COLUMNS[field]: "begin" for field in begin}
        row = box.insert_source("contacts", email="ann@example.com", labels=labels[0], **given)
        await sync(box, url, mapping=mapping)
        [contact] = box.contacts()
        fields_before, tags_before = shown(box, contact["id"])
        changes = {COLUMNS[field]: "source" for field in source}
        box.edit_source("contacts", row["id"], labels=labels[1], **changes)
        run = await sync(box, url, mapping=mapping)
        if not sum(box.writes().values()) or shown(box, contact["id"]) == (fields_before, tags_before):
            return
        for field in person:
            box.edit("contacts", contact["id"], **{field: "person"})
        if own_tag:
            box.edit("contacts", contact["id"], tags=[*box.contact(contact["id"])["tags"], "theirs"])
        await take_back(box, url, run.run_id, mapping=mapping)
        fields_after, tags_after = shown(box, contact["id"])
        assert fields_after == fields_before | dict.fromkeys(person, "person")
        assert tags_after == tags_before | ({"theirs"} if own_tag else set())
        box.reset_counters()
        await sync(box, url, mapping=mapping)
        assert box.writes() == {}

    play()
