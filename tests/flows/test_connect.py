"""`voipsync auth highlevel connect`: a person's way from the printed address to stored tokens."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest
from click.testing import CliRunner

from flows.cli import main
from sandbox.serve import Sandbox
from tasks.highlevel import callback
from tests.support.command import Command

REDIRECT = "https://sync.example.com/callback"
APP = """
[accounts.acme.destination.oauth]
client_id = "{client_id}"
client_secret = "${{VOIPSYNC_CHECK_SECRET}}"
redirect_uri = "https://sync.example.com/callback"
"""


@pytest.fixture(scope="module")
def running():
    with Sandbox.threaded(contacts=3, burst=5000) as box:
        yield box


@pytest.fixture
def box(running):
    running.reset(contacts=3, burst=5000)
    return running


@pytest.fixture
def connect(box, tmp_path, monkeypatch):
    """Runs the command in this process; ``app`` says whether the account has one."""
    command = Command(tmp_path).configure(box)
    for name, value in {**command.env, "VOIPSYNC_CHECK_SECRET": box.oauth["client_secret"]}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("VOIPSYNC_CONFIG", str(command.path))
    monkeypatch.chdir(tmp_path)
    plain = command.path.read_text(encoding="utf-8").replace('token = "${VOIPSYNC_CHECK_TOKEN}"\n', "")

    def run(*arguments, text="", app=True, configuration=plain):
        table = APP.format(client_id=box.oauth["client_id"]) if app else ""
        command.path.write_text(configuration + table, encoding="utf-8")
        return CliRunner().invoke(main, ["auth", "highlevel", "connect", "acme", *arguments], input=text)

    run.command = command
    return run


@pytest.fixture
def known_state(monkeypatch):
    """The state that the next attempt sends out."""
    monkeypatch.setattr("flows.cli_connect.secrets.token_urlsafe", lambda _: "known-state")
    return "known-state"


def address(code, state):
    return f"{REDIRECT}?{urlencode({'code': code, 'state': state})}\n"


def syncs(command):
    """Whether a credential is found and taken, as a person would look."""
    ran = CliRunner().invoke(main, ["call", "acme", "get-location"])
    return ran.exit_code, ran.output


@pytest.mark.parametrize("kind", ["location", "company"])
def test_the_pasted_address_connects_the_account(connect, box, known_state, kind):
    ran = connect(text=address(box.oauth["codes"][kind], known_state))
    assert (ran.exit_code, ran.stderr) == (0, "")
    printed = re.search(r"https://marketplace\S+", ran.stdout)
    query = parse_qs(urlsplit(printed[0]).query)
    assert query["state"] == [known_state]
    assert "users.readonly" not in query["scope"][0].split()
    assert "calendars/events.write" in query["scope"][0].split()
    assert ran.stdout.endswith(f"acme is connected to location {box.location_id}\n")
    code, out = syncs(connect.command)
    assert (code, box.location_id in out) == (0, True)
    (key,) = (connect.command.folder / ".voipsync").glob("*.key")
    assert key.stat().st_mode & 0o777 == 0o600
    status = CliRunner().invoke(main, ["auth", "status", "--json"])
    assert '"credential": "highlevel.oauth", "origin": "stored"' in status.output


def test_the_state_is_new_each_time(connect):
    states = {
        parse_qs(urlsplit(re.search(r"https://m\S+", connect().stdout)[0]).query)["state"][0] for _ in "ab"
    }
    assert len(states) == 2
    assert min(map(len, states)) >= 43


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("sandbox-location-code\n", 2, "that is no address: paste the whole address"),
        (address("sandbox-location-code", "another"), 2, "its state is not that of this attempt"),
        (address("wrong", "known-state"), 1, "HighLevel refuses the code (HTTP 401)"),
        (f"{REDIRECT}?error=access_denied&state=known-state\n", 1, "did not let the app into the location"),
    ],
)
def test_anything_else_stores_nothing_and_says_why(connect, box, known_state, text, code, line):
    ran = connect(text=text)
    assert (ran.exit_code, ran.stderr.count("\n")) == (code, 1)
    assert line in ran.stderr
    found, out = syncs(connect.command)
    assert (found, "run `voipsync auth highlevel connect acme`" in out) == (2, True)


def test_another_location_is_refused(connect, box, known_state):
    box.reset(locations=2, contacts=3, burst=5000)
    other = connect.command.path.read_text().replace('token = "${VOIPSYNC_CHECK_TOKEN}"\n', "")
    other = other.replace(box.location_id, box.locations[1]["location_id"])
    ran = connect(text=address(box.oauth["codes"]["location"], known_state), configuration=other)
    assert ran.exit_code == 1
    assert f"are for location {box.location_id}" in ran.stderr


def test_scopes_that_a_sync_lacks_are_named(connect, box, known_state):
    box.highlevel.codes["narrow"] = box.highlevel.codes["sandbox-location-code"].__class__(
        "location", box.company_id, box.location_id, frozenset({"contacts.readonly"})
    )
    ran = connect(text=address("narrow", known_state))
    assert ran.exit_code == 0
    assert "lacks scopes that a sync needs: calendars.readonly" in ran.stderr


def test_without_an_app_a_private_integration_token_is_asked_for(connect, box):
    refused = connect(text="pit-wrong\n", app=False)
    assert (refused.exit_code, "pit-wrong" in refused.output) == (1, False)
    taken = connect(text=f"{box.token}\n", app=False)
    assert (taken.exit_code, box.token in taken.output) == (0, False)
    assert syncs(connect.command)[0] == 0


def test_a_configured_token_is_not_shadowed(connect, box):
    configuration = connect.command.path.read_text()
    ran = connect(configuration=configuration, app=False)
    assert (ran.exit_code, "destination.token: is configured and counts" in ran.stderr) == (2, True)


def test_the_listener_takes_the_code(connect, box, known_state):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    answers = []

    def browser():
        until = time.monotonic() + 20
        while time.monotonic() < until:
            try:
                url = f"http://127.0.0.1:{port}/callback?"
                answers.append(httpx.get(f"{url}state=x&code=y").status_code)
                good = {"code": box.oauth["codes"]["location"], "state": known_state}
                answers.append(httpx.get(url + urlencode(good)).status_code)
            except httpx.ConnectError:
                time.sleep(0.05)
            else:
                return

    person = threading.Thread(target=browser)
    person.start()
    ran = connect("--listen", str(port))
    person.join()
    assert (ran.exit_code, answers) == (0, [400, 200])
    assert syncs(connect.command)[0] == 0


def test_a_person_has_ten_minutes(connect):
    assert callback.WAIT_SECONDS == 600
    reading, writing = os.pipe()
    connect()  # writes the configuration
    with os.fdopen(reading) as stdin, os.fdopen(writing, "w"):
        child = subprocess.run(
            [sys.executable, "-c", _SHORT],
            stdin=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=Path(__file__).parents[2],
        )
    assert child.returncode == 1
    assert child.stderr.strip().endswith("nobody agreed within 10 minutes: run the command again")


_SHORT = """
from tasks.highlevel import callback
callback.WAIT_SECONDS = 0.3
from flows.cli import main
main(["auth", "highlevel", "connect", "acme"])
"""
