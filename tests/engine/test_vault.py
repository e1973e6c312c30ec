"""Where a run's credentials come from; tokens that several processes use, and crashes."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tasks.engine.connect import connect, keep_token
from tasks.engine.steps import sync_once
from tasks.engine.vault import RENEWAL_SECONDS, check, open_vault
from tasks.errors import Busy, ConfigurationError, Unauthorized
from tasks.highlevel.access import BearerToken, OAuthAccess
from tasks.highlevel.oauth import Grant
from tasks.highlevel.scopes import needed_scopes
from tasks.ledger import credentials, migrate
from tasks.ledger.sealing import Sealer
from tasks.options import SyncOptions
from tasks.voipstudio.client import StoredKey
from tasks.voipstudio.gateway import ClientCredentials
from tests.support.accounts import settings_of
from tests.support.renewing import STEPS, age, begin, kept, oauth_settings, put, rotations, start, two_at_once
from tests.support.truth import check as differences

CONNECT = "run `voipsync auth highlevel connect acme`"
ROUNDS = 5
"""On each database; `make chaos` has a hundred."""


@pytest.fixture
def settings(box, url, tmp_path):
    """An account with an app."""
    return oauth_settings(box, url, tmp_path)


def without(settings, **more):
    """The settings without credentials of the destination, or of the source."""
    account = settings.account("acme")
    parts = {part: getattr(account, part).model_copy(update=changes) for part, changes in more.items()}
    return settings.model_copy(update={"accounts": {"acme": account.model_copy(update=parts)}})


def store(settings, name, secret):
    with open_vault("acme", settings) as vault:
        sealer = Sealer.of(settings.state)
        vault.database.now_do(migrate.upgrade)
        vault.database.now_do(lambda at: credentials.put(at, sealer, "acme", name, secret, about={}))


def header(access, name):
    import httpx  # noqa: PLC0415

    return next(access.auth_flow(httpx.Request("GET", "http://localhost"))).headers[name]


# Configuration first, else what is stored, else exit 2


def test_what_the_configuration_names_counts(box, url, settings):
    plain = settings_of(box, url).model_copy(update={"state": settings.state})
    store(plain, credentials.VOIPSTUDIO_KEY, "stored-key")
    store(plain, credentials.HIGHLEVEL_TOKEN, "stored-token")
    with open_vault("acme", plain) as vault:
        assert header(vault.source(), "X-Auth-Token") == box.api_key
        assert header(vault.destination(), "Authorization") == f"Bearer {box.token}"
    bare = without(plain, source={"api_key": None}, destination={"token": None})
    check("acme", bare)
    with open_vault("acme", bare) as vault:
        source, destination = vault.source(), vault.destination()
    assert (type(source), type(destination)) == (StoredKey, BearerToken)
    assert header(source, "X-Auth-Token") == "stored-key"
    assert header(destination, "Authorization") == "Bearer stored-token"


def test_a_gateways_client_is_configured(box, settings, monkeypatch):
    monkeypatch.setenv("GATEWAY", "s")
    gateway = {"client_id": "c", "client_secret": "${GATEWAY}", "token_url": "https://gate.example.com/token"}
    account = settings.account("acme").model_dump(mode="json")
    account["source"] |= {"api_key": None, "oauth": gateway}
    made = settings.model_copy(
        update={"accounts": {"acme": type(settings.account("acme")).model_validate(account)}}
    )
    with open_vault("acme", made) as vault:
        assert isinstance(vault.source(), ClientCredentials)


@pytest.mark.parametrize(
    ("part", "key", "line"),
    [
        ("source", "api_key", "source.api_key: is missing, .* `voipsync auth voipstudio login acme`"),
        ("destination", "token", f"destination.token: is missing, .* {CONNECT}"),
    ],
)
def test_what_is_neither_configured_nor_stored_is_named_with_the_command(box, url, settings, part, key, line):
    plain = settings_of(box, url).model_copy(update={"state": settings.state})
    with pytest.raises(ConfigurationError, match=rf"^accounts\.acme\.{line}") as raised:
        check("acme", without(plain, **{part: {key: None}}))
    assert raised.value.exit_code == 2


def test_an_app_without_tokens_is_not_connected(settings):
    with pytest.raises(ConfigurationError, match=rf"destination\.oauth: no tokens .*: {CONNECT}"):
        check("acme", settings)


async def test_a_run_without_credentials_ends_before_it_asks_anybody(box, settings):
    with pytest.raises(ConfigurationError, match=CONNECT):
        await sync_once("acme", SyncOptions(), settings)
    assert box.counters()["highlevel"]["requests"] == 0


# Tokens to begin with, and those that are stored


async def test_configured_tokens_begin_and_the_stored_ones_count_from_then_on(
    box, url, tmp_path, monkeypatch
):
    monkeypatch.setenv("FIRST", box.oauth["location"]["refresh_token"])
    settings = oauth_settings(box, url, tmp_path, refresh_token="${FIRST}")
    for _ in range(3):
        with open_vault("acme", settings) as vault:
            await vault.destination().ready()
    assert rotations(box) == 1
    monkeypatch.setenv("FIRST", box.oauth["company"]["refresh_token"])
    other = oauth_settings(box, url, tmp_path, refresh_token="${FIRST}", company_id=box.company_id)
    for _ in range(2):
        with open_vault("acme", other) as vault:
            await vault.destination().ready()
    assert (rotations(box), kept(other).company_id) == (2, box.company_id)


async def test_a_configured_access_token_is_used_until_it_is_refused(box, url, tmp_path, monkeypatch):
    monkeypatch.setenv("FIRST", box.oauth["location"]["refresh_token"])
    monkeypatch.setenv("ACCESS", box.oauth["location"]["access_token"])
    tokens = {"refresh_token": "${FIRST}", "access_token": "${ACCESS}"}
    settings = oauth_settings(box, url, tmp_path, **tokens)
    box.insert_source("contacts", first_name="Ann", email="ann@example.com")
    assert (await sync_once("acme", SyncOptions(), settings)).status == "ok"
    assert rotations(box) == 0
    box.revoke(box.oauth["location"]["access_token"])
    assert (await sync_once("acme", SyncOptions(mode="full"), settings)).status == "ok"
    assert rotations(box) == 1


@pytest.mark.parametrize("kind", ["location", "company"])
async def test_connecting_stores_a_grant_sealed_that_a_sync_uses(box, settings, tmp_path, kind):
    with open_vault("acme", settings) as vault:
        grant = await connect(vault, box.oauth["codes"][kind])
        assert isinstance(vault.destination(), OAuthAccess)
    assert kept(settings) == grant
    box.insert_source("contacts", first_name="Ann", email="ann@example.com")
    report = await sync_once("acme", SyncOptions(), settings)
    assert (report.status, report.entities["contacts"]["created"]) == ("ok", 1)
    on_disk = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*"))
    for secret in (grant.token, grant.refresh_token, box.oauth["client_secret"]):
        assert secret.encode() not in on_disk
    with open_vault("acme", settings) as vault:
        told = vault.database.now_look(lambda at: credentials.of_account(at, "acme"))["highlevel.oauth"]
    assert told.about["location_id"] == box.location_id
    assert "contacts.write" in told.about["scopes"]
    assert not {"token", "refresh_token"} & set(told.about)


async def test_the_wrong_location_is_refused_and_what_was_stored_stays(box, url, tmp_path):
    settings = oauth_settings(box, url, tmp_path)
    begin(box, settings)
    before = kept(settings)
    elsewhere = without(settings, destination={"location_id": "elsewhere"})
    for kind, why in (
        ("location", f"are for location {box.location_id}"),
        ("company", "no token for location"),
    ):
        with open_vault("acme", elsewhere) as vault, pytest.raises(Unauthorized, match=why):
            await connect(vault, box.oauth["codes"][kind])
    assert kept(settings) == before


async def test_a_private_integration_token_is_stored_once_it_opens_the_location(box, url, settings):
    plain = without(
        settings_of(box, url).model_copy(update={"state": settings.state}), destination={"token": None}
    )
    with open_vault("acme", plain) as vault:
        for wrong in ("pit-wrong", box.oauth["agency_pit"], box.new_token(scopes=[])):
            with pytest.raises(Unauthorized):
                await keep_token(vault, wrong)
        await keep_token(vault, box.token)
        assert header(vault.destination(), "Authorization") == f"Bearer {box.token}"


# Several processes, and crashes


async def test_a_newer_grant_is_never_overwritten(settings, box):
    begin(box, settings)
    old = kept(settings)
    newer = replace(old, refresh_token="rt-newer", token="t")
    with open_vault("acme", settings) as vault:
        keeper = vault.keeper()
        assert await keeper.save(newer, instead_of=old) == newer
        assert await keeper.save(replace(old, token="late"), instead_of=old) == replace(newer, begun="")
    assert kept(settings).token == "t"


async def test_another_that_renews_for_too_long_is_named(settings, box, monkeypatch):
    monkeypatch.setattr("tasks.engine.vault.RENEWAL_SECONDS", 0.3)
    begin(box, settings)
    with open_vault("acme", settings) as first, open_vault("acme", settings) as second:
        async with first.keeper().alone():
            with pytest.raises(Busy, match="another process that renews the tokens of acme, for longer than"):
                await second.destination().ready()
    assert RENEWAL_SECONDS > 30


@pytest.mark.timeout(180)
def test_two_processes_at_once_end_with_one_rotation(box, ledger_url, tmp_path):
    settings = oauth_settings(box, ledger_url, tmp_path)
    begin(box, settings)
    for number in range(ROUNDS):
        two_at_once(box, settings, tmp_path, number)


@pytest.mark.parametrize("kind", ["location", "company"])
@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
@pytest.mark.parametrize("dies", STEPS)
def test_a_renewal_that_is_killed_is_finished_by_the_next_process(box, url, tmp_path, version, kind, dies):
    settings = oauth_settings(box, url, tmp_path, version=version)
    begin(box, settings, kind)
    assert start(box, settings, tmp_path / "first.json", dies=dies).end() == -9
    next_one = start(box, settings, tmp_path / "next.json")
    assert (next_one.end(), set(next_one.report)) == (0, {"token"})
    assert kept(settings).spent_at is None


def test_an_answer_that_was_never_saved_is_named_after_the_grace(box, settings, tmp_path):
    begin(box, settings)
    assert start(box, settings, tmp_path / "first.json", dies="answered").end() == -9
    box.advance(31)
    late = start(box, settings, tmp_path / "next.json")
    assert late.end() == 0
    assert "the answer was lost or could not be saved" in late.report["error"]
    assert late.report["error"].endswith(CONNECT)
    asyncio.run(_connect(settings, box.oauth["codes"]["location"]))
    again = start(box, settings, tmp_path / "again.json")
    assert (again.end(), set(again.report)) == (0, {"token"})


async def _connect(settings, code):
    with open_vault("acme", settings) as vault:
        await connect(vault, code)


@pytest.mark.parametrize("kind", ["location", "company"])
async def test_a_sync_outlives_its_token(box, url, tmp_path, kind):
    box.reset(contacts=20, latency=0.1, burst=5000, destination={"access_token_seconds": 3600.0})
    settings = oauth_settings(box, url, tmp_path)
    begin(box, settings, kind)
    syncing = asyncio.create_task(sync_once("acme", SyncOptions(), settings))
    while not box.notes():
        assert not syncing.done()
        await asyncio.sleep(0.02)
    box.advance(3601)
    report = await syncing
    assert (report.status, rotations(box)) == ("ok", 2), report.warnings
    age(settings)
    put(settings, replace(kept(settings), token="revoked meanwhile", expires_at=None))
    assert (await sync_once("acme", SyncOptions(), settings)).status == "ok"
    assert differences(box, url) == []


async def test_the_least_scopes_suffice_for_a_sync(box, url, tmp_path):
    box.reset(contacts=5, burst=5000)
    settings = oauth_settings(box, url, tmp_path)
    narrow = box.new_token(scopes=list(needed_scopes(settings.account("acme"))))
    put(settings, Grant(token=narrow))
    report = await sync_once("acme", SyncOptions(), settings)
    assert (report.status, report.entities["contacts"]["created"]) == ("ok", 5)
    assert report.entities["appointments"]["created"] > 0


def test_a_grant_shows_no_secret():
    assert "secret" not in repr(Grant(token="secret-1", refresh_token="secret-2"))
