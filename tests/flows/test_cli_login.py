"""``voipsync auth voipstudio login`` on a terminal, as a person types."""

from __future__ import annotations

import os
import pty
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.command import Command, Ran

Make = Callable[..., Command]
PASSWORD_ONLY = 'api_key = "${VOIPSYNC_CHECK_API_KEY}"\n'
PATIENCE = 30.0


@pytest.fixture(scope="module")
def served() -> Iterator[Box]:
    with Sandbox.threaded(contacts=3, burst=5000) as running:
        yield running


@pytest.fixture
def box(served: Box) -> Box:
    served.reset(contacts=3, source={}, record=True)
    served.clear_faults()
    served.reset_counters()
    return served


@pytest.fixture
def acme(command: Make, box: Box) -> Command:
    """An account whose key is not in the configuration."""
    made = command().configure(box)
    text = made.path.read_text(encoding="utf-8")
    made.path.write_text(text.replace(PASSWORD_ONLY, ""), encoding="utf-8")
    return made


def typed(acme: Command, *answers: tuple[str, str], arguments: tuple[str, ...] = ()) -> Ran:
    """Run the login on a terminal, and answer each question once it is asked."""
    ours, theirs = pty.openpty()
    command = ("auth", "voipstudio", "login", acme.account, *arguments)
    running = acme.start(*command, terminal=os.ttyname(theirs))
    shown, waiting, heard = "", list(answers), time.monotonic()
    while True:
        if waiting and waiting[0][0] in shown.rpartition("\n")[2]:
            os.write(ours, waiting.pop(0)[1].encode() + b"\n")
            shown += "\n"
        if select.select([ours], [], [], 0.05)[0]:
            shown, heard = shown + os.read(ours, 4096).decode(), time.monotonic()
        elif (code := running.child.poll()) is not None:
            break
        elif time.monotonic() > heard + PATIENCE:
            running.child.kill()
            pytest.fail(f"it waits for something: {shown}")
    os.close(ours)
    os.close(theirs)
    out, seconds = running.out.read_text(encoding="utf-8"), time.monotonic() - running.started
    return Ran(code, out, shown.replace("\r\n", "\n"), seconds)


def login(acme: Command, box: Box, *more: tuple[str, str], arguments: tuple[str, ...] = ()) -> Ran:
    email, password = box.info["login"]["email"], box.info["login"]["password"]
    return typed(acme, ("e-mail: ", email), ("Password: ", password), *more, arguments=arguments)


def keys(box: Box) -> dict[str, float]:
    every = box.voipstudio.access.keys.values()
    return {key.name: key.idle for key in every if key.name.startswith(("voipsync", "login"))}


def token_of(box: Box, name: str) -> str:
    return next(key.token for key in box.voipstudio.access.keys.values() if key.name == name)


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_a_login_keeps_a_key_that_syncs_use(acme: Command, box: Box, prefect_api: str) -> None:
    ran = login(acme, box)
    assert ran.code == 0, ran.err
    (name,) = keys(box)
    assert name.startswith("voipsync acme 20")
    assert keys(box) == {name: 30 * 86_400}
    assert ran.out == (f"acme: the API key {name!r} is kept; it ends when no run uses it for 30 days\n")
    synced = acme.run("sync", "acme", "--json", PREFECT_API_URL=prefect_api)
    assert (synced.code, synced.json["status"]) == (0, "ok")
    assert [row["path"].rpartition("/")[2] for row in box.requests("voipstudio")[:4]] == [
        "login",
        "apitokens",
        "ping",
        "logout",
    ]


def test_what_is_typed_is_nowhere_afterwards(acme: Command, box: Box) -> None:
    ran = login(acme, box)
    (name,) = keys(box)
    left = everything(acme.folder)
    for secret in (box.info["login"]["password"], box.info["login"]["email"], token_of(box, name)):
        assert secret.encode() not in left
        assert secret not in ran.out
    assert box.info["login"]["password"] not in ran.err


def test_a_second_login_replaces_the_first_key(acme: Command, box: Box) -> None:
    login(acme, box)
    (first,) = keys(box)
    ran = login(acme, box, arguments=("--idle-days", "7"))
    assert ran.code == 0, ran.err
    (second,) = keys(box)
    assert second != first
    assert keys(box) == {second: 7 * 86_400}


def test_a_code_is_asked_for_where_one_is_wanted(acme: Command, box: Box) -> None:
    box.options(voipstudio={"two_factor": True})
    ran = login(acme, box, ("code: ", "123456"))
    assert ran.code == 0, ran.err
    assert len(keys(box)) == 1


def test_a_key_that_cannot_be_revoked_is_a_warning_with_its_name(acme: Command, box: Box) -> None:
    login(acme, box)
    (first,) = keys(box)
    box.fault("status", service="voipstudio", method="DELETE", path="/apitokens/", status=403)
    ran = login(acme, box)
    assert ran.code == 0
    assert f"warning: the key {first!r}, which this one replaces, could not be revoked" in ran.err
    assert token_of(box, first) not in ran.err


def test_a_stored_key_that_does_not_open_is_replaced_and_named(acme: Command, box: Box) -> None:
    login(acme, box)
    (first,) = keys(box)
    (made,) = (acme.folder / ".voipsync").glob("*key")
    made.unlink()
    ran = login(acme, box)
    assert ran.code == 0, ran.err
    assert f"The key {first!r} is replaced without it and not revoked" in ran.err
    assert len(keys(box)) == 2


def test_a_wrong_password_is_one_clear_line(acme: Command, box: Box) -> None:
    email = box.info["login"]["email"]
    ran = typed(acme, ("e-mail: ", email), ("Password: ", "wrong-password"))
    assert (ran.code, ran.out) == (1, "")
    assert "VoIPstudio refuses e-mail or password (HTTP 401): Invalid email or password" in ran.line
    assert "wrong-password" not in ran.err


def test_a_configured_key_is_said_to_count_first(command: Make, box: Box) -> None:
    ran = login(command().configure(box), box)
    assert ran.code == 0
    assert "accounts.acme.source.api_key counts before the key that is kept here" in ran.err


def test_nobody_signs_in_without_a_terminal(acme: Command, box: Box) -> None:
    ran = acme.run("auth", "voipstudio", "login", "acme")
    assert (ran.code, ran.out) == (2, "")
    assert ran.line == "voipsync: run this command on a terminal: it asks for a password"
    assert box.requests() == []


def test_an_expired_key_ends_a_run_with_the_command_that_mends_it(
    acme: Command, box: Box, prefect_api: str
) -> None:
    login(acme, box)
    box.advance(31 * 86_400)
    ran = acme.run("sync", "acme", "--json", PREFECT_API_URL=prefect_api)
    assert (ran.code, ran.json["status"]) == (1, "failed")
    assert ran.json["warnings"][0] == (
        "VoIPstudio refuses the key stored for acme (HTTP 401): it is wrong, revoked, or was not used for "
        "longer than its expiry allows; `voipsync auth voipstudio login acme` makes a new one"
    )
    assert "login" not in [row["operation"] for row in box.requests("voipstudio")[5:]]
