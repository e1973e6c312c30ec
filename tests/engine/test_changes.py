"""What is told of a run: a change, once, and again only where nobody took it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.serve import Sandbox
from tasks.engine import changes
from tasks.engine.changes import CREDENTIAL, QUOTA, REJECTS, STATE, SYNCED, Change, Standing, Told, compare
from tasks.engine.steps import open_steps, turn
from tasks.ledger import credentials
from tasks.ledger.sealing import Sealer
from tasks.ledger.tables import runs
from tasks.options import SyncOptions
from tests.support.accounts import settings_of

WELL = Standing("ok", "run 1", 0, None, {}, silent=False)
BAD = replace(WELL, status="degraded", why="2 rejected", rejected=2)


def told_of(*standings: Standing, every: float = 60.0) -> list[Change]:
    found, told = list[Change](), Told()
    for number, one in enumerate(standings):
        more, told = compare(told, one, 1_000_000 + number * every)
        found += more
    return found


def test_a_change_of_state_is_told_once_and_so_is_the_recovery() -> None:
    assert told_of(WELL, BAD, BAD, BAD, WELL, WELL) == [
        (STATE, {"from": "ok", "to": "degraded", "message": "2 rejected"}),
        (STATE, {"from": "degraded", "to": "ok", "message": "run 1"}),
    ]


def test_runs_that_say_nothing_of_the_state_change_nothing() -> None:
    assert told_of(WELL, replace(WELL, status=None), WELL) == []


def test_an_account_that_was_silent_recovers_where_a_sync_ends_well() -> None:
    silent = replace(WELL, silent=True)
    assert [one[1]["from"] for one in told_of(silent, WELL)] == ["silent"]
    assert [one[1]["to"] for one in told_of(replace(silent, status="failed"), WELL)] == ["failed", "ok"]


def test_an_account_whose_sync_failed_unrecorded_recovers_where_one_ends_well() -> None:
    broke = replace(WELL, broke=True)
    assert [(one[1]["from"], one[1]["to"]) for one in told_of(broke, WELL)] == [("failed", "ok")]
    assert told_of(replace(broke, status="failed"), replace(WELL, status="failed")) == []


def test_more_rejects_are_told_but_not_every_minute() -> None:
    growing = [replace(BAD, rejected=number) for number in range(2, 100)]
    state, *grew = told_of(*growing)
    assert state[0] == STATE
    assert [one[1] for one in grew] == [{"from": "2", "to": "3"}, {"from": "3", "to": "63"}]
    fewer = [replace(BAD, rejected=number) for number in (5, 3, 4)]
    assert [name for name, _ in told_of(*fewer, every=4_000)] == [STATE, REJECTS]


def test_the_quota_is_told_when_it_gets_low_and_again_on_another_day() -> None:
    left = [replace(WELL, quota=(1000, number)) for number in (500, 99, 50, 1000, 99)]
    assert [one[1]["left"] for one in told_of(*left)] == ["99", "99"]
    assert {name for name, _ in told_of(*left)} == {QUOTA}


def test_a_credentials_age_is_told_once_a_day() -> None:
    old = replace(WELL, aged={"highlevel": "it is 91 days old"})
    found = told_of(*[old] * 50, every=3_600.0)
    assert found == [(CREDENTIAL, {"service": "highlevel", "message": "it is 91 days old"})] * 3


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_what_prefect_did_not_take_is_told_again_under_the_same_id(ledger_url: str) -> None:
    with Sandbox.threaded(contacts=3, activities=False, poison=1, burst=5000) as box:
        settings = settings_of(box, ledger_url)

        async def events_of_a_run(*, taken: bool) -> list[tuple[str, str]]:
            async with open_steps("acme", SyncOptions(), settings) as steps:
                await turn(steps)
                made = await steps.conclude()
                noted = await changes.note(steps.run, made)
                assert {one.payload["account"] for one in noted} == {"acme"}
                if taken:
                    await changes.taken(steps.run)
            return [(one.name, one.id) for one in noted]

        first = await events_of_a_run(taken=False)
        assert [name for name, _ in first] == [STATE, SYNCED]
        second = await events_of_a_run(taken=True)
        assert second[0] == first[0]
        assert [name for name, _ in await events_of_a_run(taken=True)] == [SYNCED]


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_a_run_warns_of_an_old_credential_and_is_well(ledger_url: str, tmp_path: Path) -> None:
    with Sandbox.threaded(contacts=1, activities=False, burst=5000) as box:
        own = {"key_file": str(tmp_path / "key")}
        settings = settings_of(box, ledger_url, state=own, destination={"token": None})
        async with open_steps("acme", SyncOptions(), settings_of(box, ledger_url)) as steps:
            sealer = Sealer.of(settings.state)

            def keep(connection: object) -> None:
                credentials.put(connection, sealer, "acme", credentials.HIGHLEVEL_TOKEN, box.token, about={})
                table = credentials.credentials
                connection.execute(table.update().values(created_at=time.time() - 91 * 86_400))

            await steps.run.database.do(keep)
            await steps.conclude()
        async with open_steps("acme", SyncOptions(), settings) as steps:
            await turn(steps)
            made = await steps.conclude()
            noted = await changes.note(steps.run, made)
    assert made.status == "ok"
    assert [one for one in made.warnings if one.startswith("highlevel credential: it is 91 days old")]
    assert [one.name for one in noted] == [CREDENTIAL, SYNCED]


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
async def test_how_long_an_account_may_be_silent_is_configured(ledger_url: str) -> None:
    with Sandbox.threaded(contacts=1, activities=False, burst=5000) as box:

        async def told_twenty_minutes_later(allowed: float) -> list[str]:
            settings = settings_of(box, ledger_url, state={"silence_minutes": allowed})
            async with open_steps("acme", SyncOptions(), settings) as steps:
                earlier = runs.update().values(finished_at=runs.c.finished_at - 1_200)
                await steps.run.database.do(lambda connection: connection.execute(earlier))
                noted = await changes.note(steps.run, await steps.conclude())
                await changes.taken(steps.run)
            return [one.name for one in noted]

        assert await told_twenty_minutes_later(15) == [SYNCED]  # the first
        assert await told_twenty_minutes_later(15) == [STATE, SYNCED]
        assert await told_twenty_minutes_later(30) == [SYNCED]
