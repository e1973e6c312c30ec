"""The doctor's checks of what the location has, and what becomes of checks that cannot be done."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from sandbox.client import Box
from tasks.engine import doctor
from tasks.engine.checks import subject
from tasks.engine.checks.finding import Finding, Verdict
from tasks.engine.doctor import CHECKS, examine
from tasks.ledger import migrate
from tasks.ledger.database import opened
from tasks.settings import Settings
from tests.support.accounts import settings_of


@pytest.fixture
def ledger(url: str) -> str:
    with opened(url) as database:
        database.now_do(migrate.upgrade)
    return url


async def findings(at: Settings, *names: str) -> list[Finding]:
    return await examine(at, names or ["acme"])


async def one(at: Settings, check: str) -> Finding:
    return next(found for found in await findings(at) if found.check == check)


CASES: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no such calendar": (
        "calendar", {"destination": {"calendar_id": "another"}}, "wrong",
        "accounts.acme.destination.calendar_id: the location has no calendar 'another'",
    ),
    "no calendar": (
        "calendar", {"destination": {"calendar_id": None}}, "warning",
        "appointments are not synced: there is no calendar to put them in",
    ),
    "appointments off": (
        "calendar", {"destination": {"calendar_id": None}, "source": {"streams": {"appointments": "off"}}},
        "ok", "appointments are off",
    ),
    "no such custom field": (
        "custom fields", {"mapping": {"custom_fields": {"shoe_size": {"source": "company"}}}}, "wrong",
        "accounts.acme.mapping.custom_fields.shoe_size: the location has no custom field 'shoe_size'",
    ),
    "no such user": (
        "mapping", {"mapping": {"users": {"10002": "nobody@voipsync.example.com"}}}, "wrong",
        "accounts.acme.mapping.users.10002: the location has no user '[e-mail]'",
    ),
    "a user": (
        "mapping", {"mapping": {"users": {"10002": "sam.seller@voipsync.example.com"}}}, "wrong",
        "the nearest of what there is: [e-mail]",
    ),
    "users by e-mail, and a workflow": (
        "mapping",
        {"mapping": {"users_by_email": True, "routes": [{"tag": "vip", "workflow": "Welcome"}]}},
        "ok", "1 workflows of the location, and all are there",
    ),
    "no such workflow": (
        "mapping", {"mapping": {"routes": [{"tag": "vip", "workflow": "Welcom"}]}}, "wrong",
        "accounts.acme.mapping.routes.0.workflow: the location has no workflow 'Welcom'",
    ),
}  # fmt: skip
"""By name: check, settings, result, what it says."""


@pytest.mark.parametrize("case", CASES)
async def test_what_the_location_lacks(box: Box, ledger: str, case: str) -> None:
    check, sections, result, says = CASES[case]
    found = await one(settings_of(box, ledger, **sections), check)
    assert (found.result, says in found.says) == (result, True), found
    assert "@" not in found.says
    assert bool(found.remedy) == (result != "ok")


async def test_a_calendar_without_a_team(box: Box, ledger: str) -> None:
    next(iter(box.highlevel.locations.values())).calendars[box.calendar_id]["teamMembers"] = []
    found = await one(settings_of(box, ledger), "calendar")
    assert (found.result, "nobody is in the calendar's team" in found.says) == ("warning", True)


async def test_a_location_that_lets_duplicates_in(box: Box, ledger: str) -> None:
    box.options(location={"allow_duplicates": True})
    found = await one(settings_of(box, ledger), "duplicates")
    assert (found.result, "lets two contacts have the same e-mail" in found.says) == ("warning", True)


@pytest.mark.parametrize(("setting", "result"), [("on", "wrong"), ("auto", "ok"), ("off", "ok")])
async def test_a_stream_that_the_source_does_not_have(
    box: Box, ledger: str, setting: str, result: str
) -> None:
    box.insert_source("contacts", first_name="Anne", email="anne@example.com")
    box.options(voipstudio={"streams": {"tasks": False}})
    found = await one(settings_of(box, ledger, source={"streams": {"tasks": setting}}), "voipstudio streams")
    assert found.result == result
    assert ("tasks" in found.says) == (setting != "off")
    if setting == "on":
        assert found.remedy == 'set accounts.acme.source.streams.tasks = "auto" or "off"'


async def test_a_user_who_may_not_read_contacts(box: Box, ledger: str) -> None:
    box.fault("status", service="voipstudio", path="/contacts", status=403)
    found = await one(settings_of(box, ledger), "voipstudio streams")
    assert (found.result, "denies access to contacts" in found.says) == ("wrong", True)


# what cannot be done


async def test_a_service_that_is_silent_spoils_no_other_check(
    box: Box, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "CHECK_SECONDS", 2.0)
    monkeypatch.setattr(subject, "FINISH_SECONDS", 1.0)
    box.fault("hang", service="highlevel")
    started = time.monotonic()
    found = {found.check: found for found in await findings(settings_of(box, ledger))}
    assert time.monotonic() - started < 8.0
    assert found["highlevel credential"].says == "no answer within 2 s"
    assert {name for name, said in found.items() if said.result == "ok"} >= {
        "database",
        "voipstudio credential",
        "voipstudio streams",
        "voipstudio clock",
    }
    assert not asyncio.all_tasks() - {asyncio.current_task()}


async def test_a_check_that_breaks_is_told_and_hides_no_other(
    box: Box, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(subject: object) -> Verdict:
        raise KeyError("anne@example.com")

    monkeypatch.setattr(doctor, "CHECKS", {**CHECKS, "calendar": (broken, "tell us")})
    found = await findings(settings_of(box, ledger))
    assert [(said.check, said.says) for said in found if said.result != "ok"] == [
        ("calendar", "the check itself failed (KeyError)")
    ]


async def test_two_accounts(box: Box, ledger: str) -> None:
    settings = settings_of(box, ledger)
    acme = settings.account("acme")
    other = acme.model_copy(
        update={"destination": acme.destination.model_copy(update={"location_id": "another"})}
    )
    both = settings.model_copy(update={"accounts": {"acme": acme, "other": other}})
    found = await findings(both, "acme", "other")
    assert [said.account for said in found] == [None, *["acme"] * len(CHECKS), *["other"] * len(CHECKS)]
    assert {said.account for said in found if said.result == "wrong"} == {"other"}
