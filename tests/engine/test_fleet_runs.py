"""Which of a fleet's flow runs died, and whose accounts are not to be started meanwhile."""

from __future__ import annotations

from uuid import UUID, uuid4

from tasks.engine.fleet import Standing
from tasks.engine.fleet_runs import OpenRun, under_way

NOW, LOST = 10_000.0, 90.0


def tried(account: str, ago: float, status: str = "ok") -> Standing:
    return Standing(account, tried_at=NOW - ago, synced_at=NOW - ago, status=status, as_of=NOW)


def run(*accounts: str, lasts: float = 300.0) -> OpenRun:
    return OpenRun(uuid4(), frozenset(accounts), lasts)


def dead(runs: list[OpenRun], found: list[Standing], *at_work: str) -> list[UUID]:
    return under_way(runs, found, at_work, lost=LOST).dead


def test_whose_accounts_nobody_works_for_is_dead():
    one = run("a", "b")
    assert dead([one], [tried("a", 400.0), tried("b", 200.0, "running")]) == [one.id]
    assert dead([one], [tried("a", 400.0), tried("b", 200.0, "running")], "b") == []
    assert dead([one], [tried("a", 400.0), tried("b", 60.0, "running")]) == []


def test_what_nobody_took_for_long_is_not_dead():
    assert dead([run("a", lasts=0.0)], [tried("a", 400.0)]) == []
    assert dead([run("a", lasts=60.0)], [tried("a", 400.0)]) == []


def test_of_another_fleets_accounts_nothing_is_known():
    one = run("a", "elsewhere")
    told = under_way([one], [tried("a", 400.0)], (), lost=LOST)
    assert (told.dead, told.busy, told.accounts) == ([], {"a", "elsewhere"}, [one.accounts])


def test_who_had_its_turn_is_started_again_while_another_is_at_work():
    told = under_way([run("a", "b")], [tried("a", 200.0), tried("b", 100.0, "running")], {"b"}, lost=LOST)
    assert told.busy == {"b"}


def test_all_wait_until_it_is_certain_that_it_died():
    told = under_way([run("a", "b")], [tried("a", 50.0), tried("b", 100.0, "running")], (), lost=LOST)
    assert (told.dead, told.busy) == ([], {"a", "b"})


def test_what_a_younger_one_does_for_an_account_tells_nothing_of_an_older_one():
    older, younger = run("a", "b"), run("a", lasts=20.0)
    found = [tried("a", 10.0, "running"), tried("b", 200.0, "running")]
    told = under_way([older, younger], found, {"a"}, lost=LOST)
    assert (told.dead, told.busy, told.accounts) == ([older.id], {"a"}, [younger.accounts])
