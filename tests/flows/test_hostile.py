"""Every byte that a sync writes at debug level: no secret anywhere, nobody outside of the ledger."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
import yaml
from prefect.logging.configuration import DEFAULT_LOGGING_SETTINGS_PATH

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.command import Command, Ran
from tests.support.receiver import Receiver, receiving

pytestmark = pytest.mark.timeout(400)

DEGRADED = 3
WEBHOOK_SECRET, ENCRYPTION_KEY = "wh-s3cr+t/of=the?hook", "correct horse/battery+staple"
PERSON = {
    "first_name": "Zebedee",
    "last_name": "Quagmireson",
    "email": "zebedee.quagmire+x@hostile.example",
    "company": "Xylophonics Limited",
    "tel": "+44 7700 900123",
    "mobile": "(020) 7946-0958",
    "notes": "Password: wombatwordone; token=wombatwordtwo",
}
WORDS = ("zebedee", "quagmire", "xylophonic", "wombatword", "refusedperson", "hostile.example", "platypus")
NUMBERS = ("7700900123", "7700 900123", "2079460958", "7946-0958", "7946 0958")
ROUTE = """
[[accounts.{account}.mapping.routes]]
tag = "vip"
webhook = "{url}"
webhook_secret = "${{WEBHOOK_SECRET}}"

[[accounts.{account}.mapping.routes]]
tag = "vip"
event = "crm.vip"
"""
OAUTH = """
[accounts.{account}.destination.oauth]
client_id = "{client_id}"
client_secret = "${{CLIENT_SECRET}}"
refresh_token = "${{REFRESH_TOKEN}}"
"""
LOUD = """
import logging, os
logging.getLogger("sqlalchemy.engine").setLevel(logging.DEBUG)

def bundles(batch, rules):
    try:
        raise KeyError("Zebedee Quagmireson")
    except KeyError as error:
        raise ValueError("cannot map Zebedee Quagmireson, zebedee.quagmire+x@hostile.example") from error

if os.environ.get("CRASH"):
    from tasks.engine import steps
    steps.bundles = bundles
"""
"""What comes before the command: SQL at debug level; on demand a mapping that breaks and names somebody."""
QUIET = ("aiosqlite", "docket", "graphviz", "alembic")
"""Loggers of Prefect's server that are loud and know nothing of us."""


@dataclass
class Story:
    """What was run, and where it all is."""

    command: Command
    box: Box
    ran: dict[str, Ran] = field(default_factory=dict)
    secrets: set[str] = field(default_factory=set)

    def sync(self, name: str, **env: str) -> Ran:
        """Run a sync; all is logged to the terminal, files and Prefect."""
        running = self.command.start("sync", "acme", "--json", before=LOUD, **env)
        self.ran[name] = running.end(within=150)
        for path in (running.out, running.err):
            path.rename(path.with_stem(name))
        return self.ran[name]

    def files(self) -> Iterator[Path]:
        """Everything that syncs wrote."""
        asked = self.command.folder.glob("[0-9].*")  # what `call` was to show
        yield from {path for path in self.command.folder.rglob("*") if path.is_file()}.difference(asked)


def logs_everything(folder: Path) -> Path:
    """A logging configuration of Prefect's that adds files, one of them with whole records as JSON."""
    made = yaml.safe_load(DEFAULT_LOGGING_SETTINGS_PATH.read_text(encoding="utf-8"))
    for name, formatter in (("text", "debug"), ("json", "json")):
        made["handlers"][name] = {
            "class": "logging.FileHandler",
            "filename": str(folder / f"log.{name}"),
            "formatter": formatter,
        }
    made["root"] = {"level": "DEBUG", "handlers": ["console", "text", "json"]}
    made["loggers"] |= {name: {"level": "WARNING"} for name in QUIET}
    path = folder / "logging.yml"
    path.write_text(yaml.safe_dump(made), encoding="utf-8")
    return path


def people(box: Box) -> None:
    """Contacts, notes, tasks and appointments with something in every field that must not be seen."""
    for number in range(3):
        more = (
            {"email": f"zebedee{number}@hostile.example", "tel": f"+44 7700 90012{number}"} if number else {}
        )
        row = box.insert_source("contacts", **{**PERSON, **more}, labels=["vip", "old"])
        about = {"contact_id": row["id"]}
        box.insert_source("notes", row["id"], **about, body="platypus +447700900123, pit-platypus-0001")
        box.insert_source("tasks", row["id"], **about, title="Call platypus", body="a.b@hostile.example",
                          due_at="2026-12-24 10:00:00", completed=False)  # fmt: skip
        box.insert_source("appointments", row["id"], **about, title="Meet platypus", location="Xylophonic",
                          notes="wombatword", starts_at="2026-12-24 10:00:00", ends_at="2026-12-24 11:00:00",
                          status="confirmed")  # fmt: skip
    refused = {"first_name": "Refusedperson", "email": "refusedperson@hostile.example", "mobile": None}
    box.insert_source("contacts", **{**PERSON, **refused, "tel": "+44 7700 900555"})


def faults(box: Box, *secrets: str) -> None:
    """Answers that echo what was sent, and more than that."""
    said = f"Refusedperson Quagmireson, +447700900555, token {' or '.join(secrets)} is refused"
    box.fault("status", status=422, method="POST", path="/contacts", containing="refusedperson",
              body={"statusCode": 422, "message": [said], "error": said})  # fmt: skip
    page = f"<html><title>{said}</title><body>Bearer {secrets[0]} wombatword</body></html>"
    box.fault("status", status=502, method="GET", count=2, body={"message": page, "token": secrets[0]},
              headers={"Set-Cookie": f"session={secrets[0]}", "X-Echo": f"Basic {secrets[0]}"})  # fmt: skip
    box.fault("html", service="voipstudio", method="GET", count=1, after=3)


@contextmanager
def prefect_server(made: Command, database: Path) -> Iterator[None]:
    """A Prefect server of the command's own, as loud as it."""
    home = Path(made.env["PREFECT_HOME"])
    home.mkdir()
    shutil.copy(database, home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    made.env["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
    start = [
        str(Path(sys.executable).with_name("prefect")),
        "server",
        "start",
        "--port",
        str(port),
        "--no-ui",
    ]
    with (
        (made.folder / "server.out").open("wb") as out,
        subprocess.Popen(
            start, cwd=made.folder, env={"PATH": os.environ["PATH"], **made.env}, stdout=out, stderr=out
        ) as server,
    ):
        try:
            until = time.monotonic() + 90
            while not answers(f"http://127.0.0.1:{port}/api/health"):
                assert server.poll() is None
                assert time.monotonic() < until
                time.sleep(0.2)
            yield
        finally:
            server.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def tell(story: Story, receiver: Receiver) -> None:
    """Sync again and again, each time with something else that goes wrong."""
    made, box = story.command, story.box
    made.configure(box)
    routes = ROUTE.format(account="acme", url=f"{receiver.url}/0123456789abcdef")
    plain = made.path.read_text(encoding="utf-8") + routes
    made.path.write_text(plain, encoding="utf-8")
    assert story.sync("plain").code == DEGRADED

    # an app's tokens, an encrypted ledger, a contact that routes care for
    app = OAUTH.format(account="acme", client_id=box.oauth["client_id"])
    sealed = plain.replace('token = "${VOIPSYNC_CHECK_TOKEN}"\n', "") + app
    sealed = sealed.replace("/ledger.db", "/sealed.db").replace(
        "[state]\n", '[state]\nencryption_keys = ["${ENCRYPTION_KEY}"]\n'
    )
    made.path.write_text(sealed, encoding="utf-8")
    box.advance(3600)
    assert story.sync("sealed").code == DEGRADED
    box.insert_source("contacts", first_name="Zebedee", email="zebedee9@hostile.example", labels=["vip"])
    assert story.sync("routes").code == DEGRADED
    assert len(receiver.came) > 0
    story.secrets |= set(box.highlevel.tokens)
    assert story.sync("crash", CRASH="1").code == 1
    address = f"https://zebedee:{box.api_key}@elsewhere.example/?token={box.api_key}"
    box.fault("status", service="voipstudio", status=302, headers={"Location": address}, body=None)
    assert story.sync("redirect").code == 1


@pytest.fixture(scope="module")
def story(command: Callable[..., Command], prefect_database: Path) -> Iterator[Story]:
    with Sandbox.threaded(contacts=10, burst=5000) as box, receiving() as receiver:
        made = command("acme")
        debug = "DEBUG"
        made.env |= {
            "PREFECT_LOGGING_LEVEL": debug,
            "PREFECT_LOGGING_ROOT_LEVEL": debug,
            "PREFECT_SERVER_LOGGING_LEVEL": debug,
            "PREFECT_INTERNAL_LOGGING_LEVEL": debug,
            "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",
            "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
            "PREFECT_LOGGING_SETTINGS_PATH": str(logs_everything(made.folder)),
            "WEBHOOK_SECRET": WEBHOOK_SECRET,
            "ENCRYPTION_KEY": ENCRYPTION_KEY,
            "CLIENT_SECRET": box.oauth["client_secret"],
            "REFRESH_TOKEN": box.oauth["location"]["refresh_token"],
        }
        story = Story(made, box)
        story.secrets |= {box.api_key, box.token, WEBHOOK_SECRET, ENCRYPTION_KEY}
        story.secrets |= {box.oauth["client_secret"], box.oauth["location"]["refresh_token"]}
        people(box)
        faults(box, box.token, box.api_key)

        with prefect_server(made, prefect_database):
            tell(story, receiver)
        yield story


def encoded(secret: str) -> set[bytes]:
    """A secret in the forms in which it may be written."""
    found = {secret, quote(secret, safe=""), quote(secret)}
    for before in (b"", b"x", b"xy"):
        inner = base64.b64encode(before + secret.encode()).decode()[4:-4]
        found |= {inner, inner.replace("+", "-").replace("/", "_")}
    return {form.encode().lower() for form in found}


def found(story: Story, words: set[bytes], *, ledgers: bool) -> set[tuple[str, bytes]]:
    """Which files hold which of these, the ledgers' files only or all the others."""
    return {
        (path.name, word)
        for path in story.files()
        if path.name.startswith(("ledger.db", "sealed.db")) is ledgers
        for text in [path.read_bytes().lower()]
        for word in words
        if word in text
    }


def personal(box: Box) -> set[bytes]:
    """What is somebody's: distinctive words and numbers, and what the sandbox's own people are called."""
    rows = box.source("contacts")
    emails = {row["email"] for row in rows if row["email"]}
    bodies = {row["body"] for row in box.source("notes") if row["body"] and len(row["body"]) > 12}
    return {text.lower().encode() for text in {*WORDS, *NUMBERS, *emails, *bodies}}


def test_everything_was_written_that_could_be(story: Story) -> None:
    names = {path.name for path in story.files()}
    assert {"ledger.db", "sealed.db", "prefect.db", "log.json", "plain.out", "crash.err"} <= names
    logged = (story.command.folder / "log.text").read_text(encoding="utf-8").lower()
    for text in ("send_request_headers", "http request: post", "/contacts/", "insert into", "set-cookie"):
        assert text in logged, text
    database = b"".join(path.read_bytes() for path in story.files() if path.name.startswith("prefect.db"))
    for text in (b"crm.vip", b"of acme: degraded", b"summary-acme", b"redirects (HTTP 302)", b"ValueError"):
        assert text in database, text
    assert "ValueError: [personal]" in story.ran["crash"].err
    assert "KeyError: [personal]" in story.ran["crash"].err
    assert "in bundles" in story.ran["crash"].err


def test_no_secret_is_anywhere(story: Story) -> None:
    words = {form for secret in story.secrets for form in encoded(secret)}
    assert len(words) > 40
    assert found(story, words, ledgers=False) == set()
    assert found(story, words, ledgers=True) == set()


def test_nobody_is_anywhere_but_in_the_ledger_and_not_there_with_a_key(story: Story) -> None:
    words = personal(story.box)
    assert len(words) > 20
    assert found(story, words, ledgers=False) == set()
    kept = found(story, words, ledgers=True)
    assert {name.partition(".")[0] for name, _ in kept} == {"ledger"}
    assert {b"zebedee", b"refusedperson", b"platypus", b"wombatword"} <= {word for _, word in kept}


def test_what_was_written_is_for_its_owner_alone(story: Story) -> None:
    ours = ("ledger.db", "sealed.db")
    for path in story.files():
        if path.name.startswith(ours):
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_call_by_hand_shows_no_secret_and_nobody_unless_asked(story: Story) -> None:
    story.box.clear_faults()
    known = next(row for row in story.box.contacts() if row.get("firstName") == "Zebedee")
    asked = ("call", "acme", "get-contact", f"contactId={known['id']}")
    shown, clear = story.command.run(*asked), story.command.run(*asked, "--clear")
    assert known["id"] in shown.out
    assert "zebedee" not in (shown.out + shown.err + clear.err).lower()
    assert "zebedee" in clear.out.lower()
    assert not [secret for secret in story.secrets if secret in shown.out + shown.err + clear.out + clear.err]
