"""Whatever stands on both sides: apply sends what plan foresaw, and ends where a sync would have ended.

Each example is played twice from the same beginning, in the same sandbox: by a plain sync, and by a plan that
is applied. A third time somebody edits at the destination in between: nothing of that is touched.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.client import Box
from sandbox.scenario import Scenario
from sandbox.serve import Sandbox
from tests.support.accounts import sync
from tests.support.planning import apply, foreseen, plan, received, shown

PEOPLE = 6
MADE = "2026-01-02 03:04:05"
WHO = st.integers(0, PEOPLE - 1)
WORDS = st.sampled_from(["alpha", "beta", "gamma"])
STREAMS = st.sampled_from(["notes", "tasks", "appointments"])
SOURCE_EDITS = st.one_of(
    st.tuples(st.just("name"), WHO, WORDS),
    st.tuples(st.just("labels"), WHO, st.lists(WORDS, max_size=2, unique=True)),
    st.tuples(st.just("email"), WHO, WHO),
    st.tuples(st.just("phone"), WHO, WHO),
    st.tuples(st.just("person"), WHO, WORDS),
    st.tuples(st.just("activity"), WHO, STREAMS),
    st.tuples(st.just("changed"), WHO, STREAMS),
    st.tuples(st.just("deleted"), WHO, STREAMS),
    st.tuples(st.just("gone"), WHO, st.none()),
)
HUMAN_EDITS = st.one_of(
    st.tuples(st.just("rename"), WHO, WORDS),
    st.tuples(st.just("tag"), WHO, WORDS),
    st.tuples(st.just("note"), WHO, WORDS),
    st.tuples(st.just("delete"), WHO, st.none()),
)
STRANGERS = st.lists(st.tuples(WHO, st.sampled_from(["email", "phone", "both"])), max_size=3)
HOW = {"mapping": {"deletes": "delete", "max_deletes": 100, "max_delete_percent": 100.0}}
CHANGED = {"notes": {"body": "Edited"}, "tasks": {"title": "Retitled"}, "appointments": {"title": "Moved"}}
TEXT = {"notes": "body", "tasks": "title", "appointments": "title"}


def keys(number: int) -> tuple[str, str]:
    return f"person{number}@example.com", f"+44207946{number:04d}"


def begin(box: Box, strangers: list[tuple[int, str]], *, duplicates: bool) -> None:
    box.reset(**{**asdict(Scenario(contacts=0, burst=5000)), "allow_duplicates": duplicates})
    box.clear_faults()
    for number, which in strangers:
        email, phone = keys(number)
        known = {"email": {"email": email}, "phone": {"phone": phone}}.get(
            which, {"email": email, "phone": phone}
        )
        box.insert("contacts", firstName=f"First{number}", **known)
    for number in range(PEOPLE):
        email, phone = keys(number)
        who = box.insert_source(
            "contacts", first_name=f"First{number}", email=email, tel=phone, created_at=MADE
        )["id"]
        box.insert_source("notes", who, body=f"Said {number}", created_at=MADE)


def edit_source(box: Box, edits: list[tuple[str, int, Any]]) -> None:
    for turn, (kind, which, what) in enumerate(edits):
        people = box.source("contacts")
        who = people[which % len(people)]["id"]
        rows = box.source(what) if kind in ("changed", "deleted") else []
        row = rows[which % len(rows)] if rows else None
        match kind:
            case "name":
                box.edit_source("contacts", who, last_name=f"{what}{turn}")
            case "labels":
                box.edit_source("contacts", who, labels=what)
            case "email":
                box.edit_source("contacts", who, email=keys(what)[0])
            case "phone":
                box.edit_source("contacts", who, tel=keys(what)[1])
            case "person":
                box.insert_source(
                    "contacts", first_name=f"New {what}", email=f"new{turn}@example.com", created_at=MADE
                )
            case "activity":
                times = {"due_at": "2027-01-02 03:04:05"} if what == "tasks" else {}
                times |= {"starts_at": "2027-01-02 03:04:05"} if what == "appointments" else {}
                box.insert_source(what, who, created_at=MADE, **{TEXT[what]: f"New {turn}"}, **times)
            case "changed" if row:
                box.edit_source(what, row["id"], row["contact_id"], **CHANGED[what])
            case "deleted" if row:
                box.delete_source(what, row["id"], row["contact_id"])
            case "gone" if len(people) > 4:
                box.delete_source("contacts", who)


def edit_there(box: Box, edits: list[tuple[str, int, Any]]) -> list[tuple[str, str, Any]]:
    """What somebody did at the destination: entity, id, and the row as it then was (None: deleted)."""
    touched: dict[tuple[str, str], Any] = {}
    for turn, (kind, which, what) in enumerate(edits):
        entity = "notes" if kind == "note" else "contacts"
        rows = box.state("highlevel", entity)
        if not rows:
            continue
        row = rows[which % len(rows)]
        match kind:
            case "rename":
                box.edit("contacts", row["id"], lastName=f"Human {what}{turn}")
            case "tag":
                box.edit("contacts", row["id"], tags=[*row["tags"], f"human {turn}"])
            case "note":
                box.edit("notes", row["id"], body=f"Human {turn} {row['body']}")
            case _:
                box.delete("contacts", row["id"])
        touched[entity, row["id"]] = None
    state = box.state("highlevel")
    return [
        (entity, one, next((row for row in state[entity] if row["id"] == one), None))
        for entity, one in touched
    ]


@pytest.fixture(scope="module")
def played():
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        yield box


@settings(
    max_examples=4,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=True,
)
@given(
    strangers=STRANGERS,
    duplicates=st.booleans(),
    synced=st.booleans(),
    before=st.lists(SOURCE_EDITS, max_size=5),
    human=st.lists(HUMAN_EDITS, min_size=1, max_size=3),
)
def test_apply_does_what_plan_foresaw_and_what_sync_would_have_done(
    played, strangers, duplicates, synced, before, human
):
    folder = Path(tempfile.mkdtemp(prefix="voipsync-plan-"))

    async def play(way: str) -> Any:
        url = f"sqlite:///{folder}/{way}.db"
        begin(played, strangers, duplicates=duplicates)
        if synced:
            await sync(played, url, **HOW)
        edit_source(played, before)
        if way == "sync":
            await sync(played, url, **HOW)
            return shown(played)
        made = await plan(played, url, **HOW)
        touched = edit_there(played, human) if way == "edited" else []
        played.record()
        played.reset_counters()
        await apply(played, url, made.plan_id, **HOW)
        if way == "edited":
            state = played.state("highlevel")
            return [
                (entity, one)
                for entity, one, row in touched
                if next((now for now in state[entity] if now["id"] == one), None) != row
            ]
        assert received(played) == foreseen(url, made.plan_id)
        return shown(played)

    try:
        assert asyncio.run(play("planned")) == asyncio.run(play("sync"))
        assert asyncio.run(play("edited")) == []
    finally:
        shutil.rmtree(folder)
