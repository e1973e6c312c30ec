"""Whose turn it is in a fleet, and which accounts share a flow run."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy import insert

from tasks.engine.fleet import (
    AT_ONCE,
    MOST_TOGETHER,
    START_SECONDS,
    START_SHARE,
    UNKNOWN_SECONDS,
    Standing,
    chosen,
    due,
    fitting,
    last_reports,
    neediest,
    shards,
    standings,
    table,
)
from tasks.ledger.tables import runs

NOW = time.time()


def entered(
    account: str, ago: float, status: str, seconds: float = 2.0, kind: str = "sync"
) -> dict[str, object]:
    return {
        "id": f"{account}-{ago}",
        "account": account,
        "kind": kind,
        "mode": "incremental",
        "status": status,
        "started_at": NOW - ago,
        "finished_at": None if status == "running" else NOW - ago + seconds,
        "owner": "here:1",
    }


def test_how_accounts_stand_is_what_their_last_syncs_say(database):
    rows = [
        entered("good", 500, "ok", 5.0),
        entered("good", 100, "ok", 3.0),
        entered("ill", 300, "degraded", 4.0),
        entered("ill", 50, "failed", 1.0),
        entered("ill", 40, "ok", 9.0, kind="backfill"),
        entered("busy", 10, "running"),
        entered("not asked for", 10, "ok"),
        entered("never", 200, "failed", 7.0),
        entered("never", 30, "failed", 0.5),
        entered("never", 5, "running"),
    ]
    database.now_do(lambda connection: connection.execute(insert(runs), rows))
    found = database.now_look(
        lambda connection: standings(connection, ["good", "ill", "busy", "never", "new"])
    )
    told = {one.account: (one.tried_at, one.synced_at, round(one.seconds, 3), one.status) for one in found}
    assert told == {
        "good": (NOW - 100, NOW - 97, 3.0, "ok"),
        "ill": (NOW - 50, NOW - 296, 4.0, "failed"),
        "busy": (NOW - 10, None, UNKNOWN_SECONDS, "running"),
        "never": (NOW - 5, None, 0.5, "running"),
        "new": (None, None, UNKNOWN_SECONDS, ""),
    }


def test_more_accounts_than_one_statement_takes(database):
    names = [f"a{number}" for number in range(1200)]
    assert [one.account for one in database.now_look(lambda c: standings(c, names))] == names


@pytest.mark.parametrize(
    ("patterns", "tags", "names"),
    [
        ((), (), ["north", "south", "nova"]),
        (("no*",), (), ["north", "nova"]),
        (("s?uth", "nova"), (), ["south", "nova"]),
        ((), ("uk",), ["north", "south"]),
        (("no*",), ("uk", "us"), ["north"]),
        (("x",), (), []),
    ],
)
def test_accounts_are_chosen_by_pattern_and_tag(patterns, tags, names):
    accounts = {"north": ["uk"], "south": ["uk", "vip"], "nova": []}
    assert chosen(accounts, patterns, tags) == names


def test_the_longest_unsynced_goes_first_and_nobody_twice():
    now = time.time()
    every = [
        Standing("recent", now - 90, now - 88),
        Standing("just now", now - 10, now - 8),
        Standing("failing", now - 70, now - 9000, status="failed"),
        Standing("waiting", now - 600, now - 598),
        Standing("new"),
        Standing("old", now - 700, now - 698),
    ]
    ordered = due([replace(one, as_of=now) for one in every], busy={"waiting"}, every=60)
    assert [one.account for one in ordered] == ["new", "old", "recent", "failing"]


def test_who_began_late_does_not_miss_the_next_turn():
    every = [Standing(str(ago), NOW - ago, NOW - ago + 2, as_of=NOW) for ago in (10, 20, 59)]
    assert [one.account for one in due(every, busy=(), every=60, late=45)] == ["59", "20"]
    assert due(every, busy=(), every=60) == []


def test_a_start_is_a_small_part_of_every_flow_run_but_the_last():
    found = [Standing(f"a{number}", seconds=1.0 + number % 7) for number in range(100)]
    made = list(shards([*found, Standing("large", seconds=500.0), Standing("last", seconds=1.0)]))
    assert [name for shard in made for name in shard if name != "large"] == [
        *(one.account for one in found),
        "last",
    ]
    assert ("large",) in made
    seconds = {one.account: one.seconds for one in found}
    made.remove(("large",))
    for shard in made[:-1]:
        takes = sum(seconds[name] for name in shard) / AT_ONCE
        assert START_SECONDS / (START_SECONDS + takes) <= START_SHARE


def test_the_more_are_synced_at_once_the_more_share_a_flow_run():
    lasts = START_SECONDS / START_SHARE - START_SECONDS
    found = [Standing(f"a{number}", seconds=lasts / 7.9) for number in range(100)]
    assert [len(shards(found, at_once)[0]) for at_once in (1, 2, 8)] == [8, 16, 64]


def test_a_flow_run_has_no_more_task_runs_than_are_kept_track_of():
    assert (
        max(map(len, shards(Standing(str(number), seconds=0.01) for number in range(500)))) == MOST_TOGETHER
    )


def test_long_ones_hold_up_no_short_one_that_has_waited_longer():
    long = [Standing(f"long{number}", seconds=500.0) for number in range(30)]
    found = [Standing("first", seconds=1.0), *long, Standing("last", seconds=1.0)]
    assert shards(found)[:2] == [("first", "last"), ("long0",)]


def test_no_other_waits_for_one_of_whom_nothing_is_known():
    known = [Standing(f"k{number}", seconds=1.0) for number in range(20)]
    made = shards([*(Standing(f"n{number}") for number in range(10)), *known], 3)
    assert [len(shard) for shard in made] == [3, 3, 3, 1, 20]


def test_those_that_take_long_never_have_all_places():
    long = [Standing(f"long{number}", seconds=500.0) for number in range(9)] + [Standing("new")]
    short = [Standing(f"short{number}", seconds=1.0) for number in range(3)]
    made, every = shards([*long, *short]), [*long, *short]
    busy = [("long0", "gone"), ("long1",)]
    chosen = fitting(made[2:], every, under_way=busy, most=8)
    assert chosen == [("long2",), ("long3",), ("long4",), ("long5",), ("short0", "short1", "short2")]
    assert len(fitting(shards(long), long, under_way=(), most=8)) == 8
    assert len(fitting(shards(long), every, under_way=(), most=3)) == 3
    assert fitting(made, every, under_way=[("short0",)] * 8, most=8) == []


@pytest.mark.parametrize(
    ("status", "tried", "had"),
    [
        ("ok", 50, True),
        ("failed", 50, True),
        ("running", 50, False),
        ("ok", 70, False),
        ("", None, False),
    ],
)
def test_who_had_its_turn_in_a_flow_run_that_is_under_way(status, tried, had):
    one = Standing("one", None if tried is None else NOW - tried, status=status, as_of=NOW)
    assert one.had_turn(60.0) is had


def test_those_in_need_are_shown_first():
    found = [Standing("good", NOW, NOW, 2.0, "ok"), Standing("new"), Standing("ill", NOW, NOW, 2.0, "failed")]
    assert [one.account for one in neediest(found, 2)] == ["ill", "new"]


def test_the_table_tells_what_the_last_finished_sync_did(database):
    counts = {"created": 3, "updated": 2, "deleted": 1, "rejected": 4, "waiting": 5, "unchanged": 60}
    report = {
        "entities": {"contacts": counts, "notes": {"created": 10}},
        "requests": {"source": 9, "destination_reads": 7, "destination_writes": 16},
    }
    rows = [
        entered("good", 100, "ok") | {"report": report},
        entered("good", 10, "running") | {"report": None},
    ]
    database.now_do(lambda connection: connection.execute(insert(runs), rows))
    names = ["good", "new"]
    found = database.now_look(lambda connection: standings(connection, names))
    good, new = table(found, database.now_look(lambda connection: last_reports(connection, names)))
    told = {"created": 13, "updated": 2, "deleted": 1, "open": 9, "requests": 23}
    assert (good["last sync"], {name: good[name] for name in told}) == ("running", told)
    assert (new["last sync"], {name: new[name] for name in told}) == ("never", dict.fromkeys(told))
