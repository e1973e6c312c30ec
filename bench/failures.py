"""What goes wrong on the way: a sudden death, lost answers, a record that is refused."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bench.scene import UNLIMITED, Measured, Scene, Sizes, Tell, duplicates, scene
from bench.table import Row

PER_CONTACT = 10
PATIENCE = 300.0
CREATED_MORE_THAN_ONCE = "0 duplicates"


def kill(sizes: Sizes, tell: Tell) -> list[Row]:
    """SIGKILL in the middle, and a plain run after it."""
    with _noted(sizes, tell) as made:
        tell("a sync that is killed")
        there = _kill_at(made, made.start("engine"), sizes.notes // 2)
        tell("a plain run after it")
        report = made.sync()["report"]
        delivered = made.notes_delivered()
    return [
        Row(
            f"SIGKILL at about half of {sizes.notes:,} notes, then rerun",
            CREATED_MORE_THAN_ONCE,
            f"killed at {there:,}: {_told(delivered, sizes.notes)}, {report['status']}",
            "0 duplicates, 0 lost",
            there < sizes.notes and _exact(delivered, sizes.notes) and report["status"] == "ok",
            "1 to 1,011 duplicates",
        )
    ]


def lost_answers(sizes: Sizes, tell: Tell) -> list[Row]:
    """One in a hundred creations succeeds and is answered 502."""
    with _noted(sizes, tell) as made:
        made.box.fault("commit_then_status", method="POST", path="/notes$", probability=0.01, status=502)
        tell("a sync whose answers get lost")
        report = made.sync()["report"]
        lost, delivered = made.box.faults()[0]["fired"], made.notes_delivered()
    return [
        Row(
            f"1 % of POSTs committed but answered 502, {sizes.notes:,} notes",
            f"0 duplicates, {sizes.notes:,} delivered",
            f"{lost} answers lost: {_told(delivered, sizes.notes)}, {report['status']}",
            "0 duplicates, 0 lost",
            _exact(delivered, sizes.notes) and report["status"] == "ok",
            "20 duplicates, or abort",
        )
    ]


def poison(sizes: Sizes, tell: Tell) -> list[Row]:
    """One record is refused until the cause is gone."""
    with _noted(sizes, tell) as made:
        made.box.fault("status", method="POST", path="/notes$", containing="Said 1.", status=422)
        tell("a sync with a record that is refused")
        first, before = made.sync()["report"], made.notes_delivered()
        made.box.clear_faults()
        tell("a plain run after the cause is gone")
        second, after = made.sync()["report"], made.notes_delivered()
    kept = first["entities"]["notes"]["rejected"]
    return [
        Row(
            f"one poison record among {sizes.notes:,}",
            f"{sizes.notes - 1:,} delivered, 1 kept; delivered by the next plain run",
            f"{len(before):,} delivered, {kept} kept, {first['status']}; then "
            f"{_told(after, sizes.notes)}, {second['status']}",
            "the same",
            (kept, first["status"], second["status"]) == (1, "degraded", "ok")
            and len(before) == sizes.notes - 1
            and _exact(after, sizes.notes),
            "",
        )
    ]


@contextmanager
def _noted(sizes: Sizes, tell: Tell) -> Iterator[Scene]:
    """A scene whose contacts have so many notes together."""
    notes = sizes.notes
    people = max(1, notes // PER_CONTACT)
    with scene(contacts=0, **UNLIMITED) as made:
        made.settle = sizes.settle
        made.fresh()
        tell(f"{notes} notes")
        for number in range(people):
            row = made.box.insert_source(
                "contacts", first_name="Ann", last_name=f"No {number}", email=f"ann.{number}@example.com"
            )
            for one in range(number, notes, people):
                made.box.insert_source("notes", row["id"], body=f"Said {one}.")
        yield made


def _kill_at(made: Scene, process: Measured, notes: int) -> int:
    """Kill when so many notes are there; return how many there were in the end."""
    until = time.monotonic() + PATIENCE
    while made.box.writes().get("create-note", 0) < notes and time.monotonic() < until:
        time.sleep(0.005)
    if not process.kill():
        raise RuntimeError("the sync ended before it was killed")
    return len(made.box.notes())


def _exact(delivered: Counter[str], notes: int) -> bool:
    return len(delivered) == notes and not duplicates(delivered)


def _told(delivered: Counter[str], notes: int) -> str:
    return f"{duplicates(delivered)} duplicates, {len(delivered):,} delivered, {notes - len(delivered)} lost"
