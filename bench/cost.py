"""What a written record costs: processor time, against bare httpx that sends the same requests."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.scene import UNLIMITED, Sizes, Tell, scene
from bench.table import Row
from sandbox.client import Box
from tasks.settings import Destination

LIMIT = 1.5
"""Milliseconds of user CPU a record above bare httpx."""
RECORDED = ("authorization", "version", "content-type", "accept", "user-agent")


def first_sync(sizes: Sizes, tell: Tell) -> list[Row]:
    """The same for a large account, once."""
    return user_cpu(replace(sizes, written=sizes.first, rounds=1), tell)


def user_cpu(sizes: Sizes, tell: Tell) -> list[Row]:
    """A first sync, and its writes sent again by bare httpx into an empty location, in turns."""
    scenario: dict[str, Any] = {"contacts": sizes.written, "activities": False, **UNLIMITED}
    ours, bare, written = [], [], 0
    with scene(**scenario) as made:
        made.box.record()
        for number in range(1, sizes.rounds + 1):
            tell(f"round {number} of {sizes.rounds}: {sizes.written:,} contacts, ours and bare")
            ours.append(made.sync(only=["contacts"])["user"])
            if number == 1:
                path, alone, written = recorded(made.box, made.folder)
            made.box.reset(**scenario)
            told = made.run("requests", path=str(path), alone=alone, concurrency=_concurrency())
            bare.append(told["user"])
            if made.box.writes().get("create-contact") != written:
                raise RuntimeError("bare httpx did not write what the sync wrote")
            made.box.reset(**scenario)
            made.fresh()
    above = 1000 * (min(ours) - min(bare)) / written
    return [
        Row(
            f"user CPU per written record ({written:,} contacts), without Prefect",
            f"≤ {LIMIT} ms above bare httpx",
            f"{above:.2f} ms above ({1000 * min(ours) / written:.2f} ms; best of {len(ours)})",
            f"bare httpx {1000 * min(bare) / written:.2f} ms",
            above <= LIMIT,
        )
    ]


def _concurrency() -> int:
    return int(Destination.model_fields["concurrency"].default)


def recorded(box: Box, folder: Path) -> tuple[Path, int, int]:
    """Keep the recorded writes; return the file, how many come before the contacts, and the contacts."""
    rows = [row for row in box.requests("highlevel") if row["method"] != "GET"]
    writes = [row for row in rows if row["operation"] in ("create-custom-field", "create-contact")]
    headers = {name: value for name, value in writes[0]["headers"].items() if name in RECORDED}
    listed = {
        "headers": {**headers, "authorization": f"Bearer {box.token}"},
        "requests": [
            {"method": row["method"], "url": box.highlevel_url + row["path"], "body": row["body"]}
            for row in writes
        ],
    }
    path = folder / "writes.json"
    path.write_text(json.dumps(listed), encoding="utf-8")
    contacts = sum(row["operation"] == "create-contact" for row in writes)
    return path, len(writes) - contacts, contacts
