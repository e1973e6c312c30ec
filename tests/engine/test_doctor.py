"""Each check of the doctor, wrong once, against the modelled services; and all of them well."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from sandbox.client import Box
from sandbox.scenario import ALL_SCOPES
from sandbox.voipstudio import PREFIX
from tasks.engine.checks.finding import Finding
from tasks.engine.doctor import CHECKS, examine
from tasks.ledger import credentials, migrate
from tasks.ledger.credentials import HIGHLEVEL_OAUTH, VOIPSTUDIO_KEY
from tasks.ledger.database import opened
from tasks.ledger.sealing import Sealer
from tasks.settings import Settings
from tests.support.accounts import KEY, TOKEN, settings_of

DAY = 86_400.0
SECRET = "VOIPSYNC_TEST_GATEWAY_SECRET"


@pytest.fixture
def ledger(url: str) -> str:
    with opened(url) as database:
        database.now_do(migrate.upgrade)
    return url


@pytest.fixture
def at(box: Box, ledger: str, tmp_path: Path) -> Settings:
    """An account with which all is well."""
    number = box.insert_source("contacts", first_name="Anne", email="anne@example.com")["id"]
    box.insert_source("notes", number, body="met her")
    settings = settings_of(box, ledger)
    return settings.model_copy(
        update={"state": settings.state.model_copy(update={"key_file": str(tmp_path / "key")})}
    )


def changed(box: Box, at: Settings, **sections: dict[str, Any]) -> Settings:
    """The same with other settings; the environment stays."""
    kept = {name: os.environ[name] for name in (KEY, TOKEN)}
    made = settings_of(box, at.state.url, **sections).model_copy(update={"state": at.state})
    os.environ.update(kept)
    return made


async def findings(at: Settings) -> dict[str, Finding]:
    found = await examine(at, ["acme"])
    assert [one.check for one in found] == ["database", *CHECKS]
    assert {one.account for one in found[1:]} == {"acme"}
    shown = " ".join(f"{one.says} {one.remedy}" for one in found)
    assert not re.search(r"pit-|\b[0-9a-f]{40}\b|@|\d{7}", shown.replace(at.state.url, "")), shown
    for one in found:
        assert one.result == "ok" or one.remedy, one
    return {one.check: one for one in found}


def not_ok(found: dict[str, Finding]) -> dict[str, str]:
    return {name: one.result for name, one in found.items() if one.result != "ok"}


def keep(at: Settings, which: str, secret: str, *, age: float = 0.0, **about: Any) -> None:
    """Store a credential that was made some days ago."""
    with opened(at.state.url) as database:
        database.now_do(
            lambda connection: credentials.put(
                connection,
                Sealer.of(at.state),
                "acme",
                which,
                secret,
                about=about,
                at=time.time() - age * DAY,
            )
        )


async def test_all_is_well_and_nothing_is_written(box: Box, at: Settings) -> None:
    found = await findings(at)
    assert not_ok(found) == {}
    assert "personal data in it is in clear" in found["database"].says
    counters = box.counters()
    assert (counters["highlevel"]["writes"], counters["voipstudio"]["writes"]) == ({}, {})
    assert found["voipstudio streams"].says == "1 contact can be read, and notes, tasks, appointments"
    assert "contacts.write" in found["highlevel scopes"].says
    assert "3 in its team" in found["calendar"].says
    assert "the first run makes VoIPstudio ID" in found["custom fields"].says
    assert "of the day's 200,000 requests are left, 5,000 in a window" in found["rate limit"].says


# credentials


async def test_a_wrong_key(box: Box, at: Settings) -> None:
    os.environ[KEY] = "0" * 40
    found = await findings(at)
    assert not_ok(found) == {"voipstudio credential": "wrong", "voipstudio streams": "warning"}
    assert "refuses the key of accounts.acme.source.api_key (HTTP 401)" in found["voipstudio credential"].says
    assert found["voipstudio streams"].remedy == "see to the check 'voipstudio credential' first"


@pytest.mark.parametrize("how", ["wrong", "expired", "an agency's"])
async def test_a_token_that_is_refused(box: Box, at: Settings, how: str) -> None:
    os.environ[TOKEN] = {
        "wrong": "pit-0000",
        "expired": box.new_token(expires_in=0.0),
        "an agency's": box.oauth["agency_pit"],
    }[how]
    found = await findings(at)
    assert found["highlevel credential"].result == "wrong"
    asked = ("highlevel location", "highlevel scopes", "duplicates", "custom fields", "calendar")
    assert {found[name].result for name in asked} == {"warning"}
    assert {found[name].remedy for name in asked} == {"see to the check 'highlevel credential' first"}
    assert {found[name].result for name in ("voipstudio streams", "highlevel clock", "rate limit")} == {"ok"}


async def test_a_credential_that_is_missing(box: Box, at: Settings) -> None:
    found = await findings(changed(box, at, source={"api_key": None}, destination={"token": None}))
    for service, command in (("voipstudio", "voipstudio login"), ("highlevel", "highlevel connect")):
        one = found[f"{service} credential"]
        assert one.result == "wrong"
        assert f"none is stored: name it there, or run `voipsync auth {command} acme`" in one.says


async def test_a_reference_that_leads_nowhere(box: Box, at: Settings) -> None:
    found = await findings(changed(box, at, source={"api_key": "${VOIPSYNC_TEST_NOTHING}"}))
    assert "VOIPSYNC_TEST_NOTHING is not set" in found["voipstudio credential"].says
    assert found["highlevel credential"].result == "ok"


async def test_a_stored_key_and_its_age(box: Box, at: Settings) -> None:
    settings = changed(box, at, source={"api_key": None})
    keep(settings, VOIPSTUDIO_KEY, box.api_key, age=3, idle_seconds=30 * DAY, name="voipsync acme")
    says = (await findings(settings))["voipstudio credential"].says
    assert says.endswith("it is 3 days old, and ends when no run uses it for 30 days")
    keep(settings, VOIPSTUDIO_KEY, box.api_key, age=91, name="voipsync acme")
    one = (await findings(settings))["voipstudio credential"]
    assert (one.result, "it is 91 days old, more than 90" in one.says) == ("warning", True)
    assert "`voipsync auth voipstudio login acme` makes a new one" in str(one.remedy)


async def test_a_key_that_no_run_uses(box: Box, at: Settings) -> None:
    settings = changed(box, at, source={"api_key": None})
    keep(settings, VOIPSTUDIO_KEY, box.api_key, age=25, idle_seconds=30 * DAY)
    one = (await findings(settings))["voipstudio credential"]
    assert one.result == "warning"
    assert "ends when it is not used for 30 days, and no run used it for 25" in one.says


async def test_client_credentials_of_a_gateway(box: Box, at: Settings, monkeypatch: Any) -> None:
    gateway = box.info["gateway"]
    monkeypatch.setenv(SECRET, gateway["client_secret"])
    oauth = {
        "client_id": gateway["client_id"],
        "client_secret": f"${{{SECRET}}}",
        "token_url": box.voipstudio_url.removesuffix(PREFIX) + gateway["path"],
    }
    settings = changed(box, at, source={"api_key": None, "oauth": oauth})
    assert not_ok(await findings(settings)) == {}
    monkeypatch.setenv(SECRET, "another-secret")
    one = (await findings(settings))["voipstudio credential"]
    assert (one.result, "HTTP 401 invalid_client" in one.says) == ("wrong", True)


# scopes and location


async def test_a_scope_is_missing(box: Box, at: Settings) -> None:
    os.environ[TOKEN] = box.new_token(scopes=sorted(ALL_SCOPES - {"calendars.readonly"}))
    found = await findings(at)
    assert not_ok(found) == {"highlevel scopes": "wrong", "calendar": "warning"}
    assert found["highlevel scopes"].says == "the credential lacks the scopes calendars.readonly"
    assert found["calendar"].remedy == "see to the check 'highlevel scopes' first"


async def test_a_token_without_the_scope_of_the_location_is_accepted_all_the_same(
    box: Box, at: Settings
) -> None:
    os.environ[TOKEN] = box.new_token(scopes=sorted(ALL_SCOPES - {"locations.readonly"}))
    found = await findings(at)
    assert found["highlevel credential"].result == "ok"
    assert found["highlevel scopes"].says == "the credential lacks the scopes locations.readonly"


@pytest.mark.parametrize("lacking", ["contacts.write", "calendars/events.write", None])
async def test_an_app_tells_its_scopes(box: Box, at: Settings, monkeypatch: Any, lacking: str) -> None:
    scopes = sorted(ALL_SCOPES - {lacking, "oauth.readonly", "oauth.write"})
    box.highlevel.refreshes[box.oauth["location"]["refresh_token"]].token.scopes = frozenset(scopes)
    monkeypatch.setenv(SECRET, box.oauth["client_secret"])
    monkeypatch.setenv("VOIPSYNC_TEST_REFRESH", box.oauth["location"]["refresh_token"])
    oauth = {
        "client_id": box.oauth["client_id"],
        "client_secret": f"${{{SECRET}}}",
        "refresh_token": "${VOIPSYNC_TEST_REFRESH}",
    }
    found = await findings(changed(box, at, destination={"token": None, "oauth": oauth}))
    assert not_ok(found) == ({"highlevel scopes": "wrong"} if lacking else {})
    assert "renewed by itself, the present token until" in found["highlevel credential"].says
    if lacking:
        assert found["highlevel scopes"].says == f"the credential lacks the scopes {lacking}"
        assert "`voipsync auth highlevel connect acme`" in str(found["highlevel scopes"].remedy)
    with opened(at.state.url) as database:
        kept = database.now_look(lambda connection: credentials.of_account(connection, "acme"))
    assert HIGHLEVEL_OAUTH in kept


async def test_a_wrong_location(box: Box, at: Settings) -> None:
    found = await findings(changed(box, at, destination={"location_id": "another"}))
    assert found["highlevel location"].result == "wrong"
    assert "the token belongs to another location" in found["highlevel location"].says
    assert found["highlevel credential"].result == "ok"
    assert found["duplicates"].remedy == "see to the check 'highlevel location' first"


# clocks and limits


@pytest.mark.parametrize(("ahead", "result"), [(60, "warning"), (-60, "warning"), (400, "wrong")])
async def test_clocks_that_differ(box: Box, at: Settings, ahead: int, result: str) -> None:
    box.advance(ahead)
    found = await findings(at)
    assert not_ok(found) == {"voipstudio clock": result, "highlevel clock": result}
    assert ("ahead of" if ahead > 0 else "behind") in found["highlevel clock"].says


@pytest.mark.parametrize(("spent", "result"), [(185_000, "warning"), (199_500, "wrong"), (200_000, "wrong")])
async def test_a_day_that_is_spent(box: Box, at: Settings, spent: int, result: str) -> None:
    box.spend(spent, today_only=True)
    found = await findings(at)
    assert found["rate limit"].result == result
    assert "of the day's 200,000 requests are left" in found["rate limit"].says
    if spent < 200_000:
        assert not_ok(found) == {"rate limit": result}


# the database


@pytest.mark.parametrize(("revision", "result"), [("0000", "warning"), ("9999", "wrong")])
async def test_a_ledger_of_another_revision(box: Box, at: Settings, revision: str, result: str) -> None:
    with opened(at.state.url) as database:
        database.now_do(
            lambda connection: connection.execute(
                text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision}
            )
        )
    found = await findings(at)
    assert not_ok(found) == {"database": result}
    assert f"revision {revision}" in found["database"].says


@pytest.mark.parametrize(
    ("ledger_at", "result", "says"),
    [("{}/new.db", "warning", "is empty"), ("{}/no/such/ledger.db", "wrong", "cannot open")],
)
async def test_a_ledger_that_is_not_there(
    box: Box, at: Settings, tmp_path: Path, ledger_at: str, result: str, says: str
) -> None:
    state = at.state.model_copy(update={"url": f"sqlite:///{ledger_at.format(tmp_path)}"})
    found = await findings(at.model_copy(update={"state": state}))
    assert not_ok(found) == {"database": result}
    assert says in found["database"].says
    stored = changed(box, at, source={"api_key": None}).model_copy(update={"state": state})
    assert "see to the check 'database' first" in (await findings(stored))["voipstudio credential"].says


async def test_a_ledger_whose_key_is_missing(box: Box, at: Settings, monkeypatch: Any) -> None:
    monkeypatch.setenv("VOIPSYNC_TEST_STATE_KEY", "a key of the ledger, long enough")
    with_key = at.state.model_copy(update={"encryption_keys": ["${VOIPSYNC_TEST_STATE_KEY}"]})
    with opened(at.state.url, Sealer.of_ledger(with_key)) as database:
        database.now_do(migrate.upgrade)
    found = await findings(at.model_copy(update={"state": with_key}))
    assert not_ok(found) == {}
    assert found["database"].says.endswith("personal data in it is encrypted")
    found = await findings(at)
    assert not_ok(found) == {"database": "wrong"}
    assert "is not in state.encryption_keys" in found["database"].says
