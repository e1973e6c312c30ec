"""Signing in at VoIPstudio to make an API key, against the modelled service."""

import re
from datetime import UTC, datetime

import pytest

from sandbox.serve import Sandbox
from tasks.errors import ApiError, OutcomeUnknown, ServiceUnavailable, Unauthorized
from tasks.voipstudio.login import Key, Session, confirm, renew_key, sign_in
from tests.support.reading import reading

NOW = datetime(2026, 11, 23, 14, 5, tzinfo=UTC)
NAME = "voipsync acme 2026-11-23 14:05"
OLD = "the one before"
IDLE = 30 * 86_400


@pytest.fixture(scope="module")
def served():
    with Sandbox.threaded(contacts=2) as box:
        yield box


@pytest.fixture
def box(served):
    served.reset(contacts=2, source={})
    served.clear_faults()
    served.reset_counters()
    return served


def kept(box):
    """API keys at the service by name: idle seconds. Sessions are none."""
    keys = box.voipstudio.access.keys.values()
    return {key.name: key.idle for key in keys if not key.name.startswith(("login-", "sandbox"))}


def sessions(box):
    return [key for key in box.voipstudio.access.keys.values() if key.name.startswith("login-")]


def add_key(box, name, user_id=None):
    user = box.voipstudio.access.passwords[box.info["login"]["email"]][1]
    return Key(box.voipstudio.access.new_key(user_id or user, name, 60.0).token, name, 60)


async def login(box):
    return await sign_in(box.voipstudio_url, **box.info["login"])


async def renew(box, *, replaces=None, store=lambda key: None, session=None):
    return await renew_key(
        box.voipstudio_url,
        session or await login(box),
        account="acme",
        idle_seconds=IDLE,
        replaces=replaces,
        store=store,
        now=NOW,
    )


async def works(box, key):
    async with reading(box.voipstudio_url, key.token) as client:
        await client.ping()


async def test_a_key_with_a_dated_name_and_an_expiry_and_no_session_left(box):
    stored = []
    key, warnings = await renew(box, store=stored.append)
    assert (stored, warnings, kept(box)) == ([key], [], {NAME: IDLE})
    assert (key.name, key.idle_seconds) == (NAME, IDLE)
    await works(box, key)
    assert sessions(box) == []
    assert "me" not in box.counters()["voipstudio"]["operations"]


async def test_no_repr_shows_a_secret(box):
    session = await login(box)
    key, _ = await renew(box, session=session)
    shown = repr((session, key, Session(nonce="nonce-secret")))
    assert not re.search(f"{session.token}|{key.token}|nonce-secret", shown)


async def test_the_one_before_is_revoked_once_the_new_one_is_stored_and_works(box):
    old, order = add_key(box, OLD), []
    await renew(box, replaces=old, store=lambda key: order.append((key.name, sorted(kept(box)))))
    assert order == [(NAME, [OLD, NAME])]
    assert kept(box) == {NAME: IDLE}


async def test_names_that_are_taken_get_a_number(box):
    add_key(box, NAME)
    add_key(box, f"{NAME} (2)")
    key, _ = await renew(box)
    assert key.name == f"{NAME} (3)"


async def test_no_free_name(box):
    for number in range(1, 6):
        add_key(box, NAME if number == 1 else f"{NAME} ({number})")
    with pytest.raises(ApiError, match=r"makes no API key \(HTTP 400\): This value is already used"):
        await renew(box)
    assert sessions(box) == []


@pytest.mark.parametrize("status", [202, 200])
async def test_a_second_factor(box, status):
    box.options(voipstudio={"two_factor": True, "nonce_status": status})
    begun = await login(box)
    assert (begun.token, bool(begun.nonce)) == (None, True)
    with pytest.raises(Unauthorized, match=r"refuses the code \(HTTP 401\): Invalid code"):
        await confirm(box.voipstudio_url, begun, "000000")
    session = await confirm(box.voipstudio_url, begun, "123456")
    await renew(box, session=session)
    assert kept(box) == {NAME: IDLE}


async def test_a_wrong_password(box):
    with pytest.raises(Unauthorized, match=r"refuses e-mail or password \(HTTP 401\)") as caught:
        await sign_in(box.voipstudio_url, "a-person@example.com", "a-wrong-password")
    assert "a-person" not in str(caught.value)
    assert "a-wrong-password" not in str(caught.value)


@pytest.mark.parametrize("path", ["/login$", "/apitokens$"])
async def test_what_the_service_may_have_heard_is_not_sent_again(box, path):
    box.fault("commit_then_status", service="voipstudio", method="POST", path=path, status=502)
    with pytest.raises((OutcomeUnknown, ServiceUnavailable)) as caught:
        await renew(box)
    assert box.faults()[0]["fired"] == 1
    if path == "/apitokens$":
        assert f"did not say whether it made the key '{NAME}': delete it there" in str(caught.value)


async def test_a_key_that_cannot_be_stored_is_revoked_and_the_one_before_stays(box):
    old = add_key(box, OLD)

    def full(key):
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        await renew(box, replaces=old, store=full)
    assert kept(box) == {OLD: 60}
    assert sessions(box) == []


async def test_a_key_that_does_not_work_is_not_stored(box):
    stored = []
    box.fault("status", service="voipstudio", path="/ping$", status=401)
    with pytest.raises(Unauthorized):
        await renew(box, replaces=add_key(box, OLD), store=stored.append)
    assert (stored, kept(box)) == ([], {OLD: 60})


async def test_a_key_that_cannot_be_revoked_is_named(box):
    old = add_key(box, OLD)
    box.fault("status", service="voipstudio", method="DELETE", path="/apitokens/", status=403)
    key, warnings = await renew(box, replaces=old)
    assert len(warnings) == 1
    assert f"the key '{OLD}', which this one replaces, could not be revoked: delete it" in warnings[0]
    assert old.token not in warnings[0]
    assert sorted(kept(box)) == [OLD, NAME]
    await works(box, key)


async def test_a_key_that_is_gone_already_needs_no_revocation(box):
    _, warnings = await renew(box, replaces=Key("0" * 40, OLD, None))
    assert warnings == []


async def test_a_session_that_does_not_end_is_told(box):
    box.fault("status", service="voipstudio", path="/logout$", status=403)
    _, warnings = await renew(box)
    assert warnings == ["signing out failed: the session ends by itself after half an hour"]
