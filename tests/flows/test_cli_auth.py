"""``voipsync auth status`` and ``rotate``, as a user meets them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.cli import main
from tasks.ledger import credentials, migrate
from tasks.ledger.credentials import HIGHLEVEL_OAUTH, VOIPSTUDIO_KEY
from tasks.ledger.database import opened
from tasks.ledger.sealing import Sealer
from tasks.ledger.tables import runs
from tasks.settings import load

STATE = """\
[state]
url = "sqlite:///{folder}/ledger.db"
key_file = "{folder}/key"
encryption_keys = [{keys}]

[accounts.acme.destination]
location_id = "loc"
"""
OAUTH = """\
[accounts.acme.destination.oauth]
client_id = "app-1"
client_secret = "${VOIPSYNC_CHECK_SECRET}"
"""
SECRET = "sk-0123456789-never-shown"
DAY = 86_400


@pytest.fixture
def write(tmp_path, monkeypatch) -> Callable[..., None]:
    """Writes the configuration; keys are names of environment variables."""
    monkeypatch.setenv("VOIPSYNC_CONFIG", str(tmp_path / "voipsync.toml"))

    def configured(*keys: str, more: str = "") -> None:
        for key in keys:
            monkeypatch.setenv(key, f"{key} and more of it")
        listed = ", ".join(f'"${{{key}}}"' for key in keys)
        (tmp_path / "voipsync.toml").write_text(STATE.format(folder=tmp_path, keys=listed) + more)

    return configured


def ran(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["auth", *arguments])


def stored(name: str, **values: Any) -> None:
    state = load().state
    with opened(state.url, Sealer.of_ledger(state)) as database:
        database.now_do(migrate.upgrade)
        sealer = Sealer.of(state)
        database.now_do(lambda c: credentials.put(c, sealer, "acme", name, SECRET, **values))


def standing(*arguments: str) -> list[dict[str, Any]]:
    found = ran("status", "--json", *arguments)
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)["credentials"]


def test_what_is_missing_is_shown_with_the_command_that_obtains_it(write, tmp_path):
    write()
    assert [(one["service"], one["origin"], one["mend"]) for one in standing()] == [
        ("voipstudio", "missing", "voipsync auth voipstudio login acme"),
        ("highlevel", "missing", "voipsync auth highlevel connect acme"),
    ]
    shown = ran("status", "acme")
    assert "acme: voipstudio.api_key missing; run: voipsync auth voipstudio login acme" in shown.output
    assert not (tmp_path / "key").exists()


def test_what_the_configuration_names_counts_and_is_shown_as_its_reference(write, monkeypatch):
    more = 'token = "${VOIPSYNC_CHECK_TOKEN}"\n[accounts.acme.source]\napi_key = "file:/run/key"\n'
    write(more=more)
    stored(VOIPSTUDIO_KEY, about={})
    assert [(one["origin"], one["reference"], one["age_days"]) for one in standing()] == [
        ("configured", "file:/run/key", None),
        ("configured", "${VOIPSYNC_CHECK_TOKEN}", None),
    ]


@pytest.mark.parametrize("keys", [(), ("CHECK_KEY",)])
def test_what_is_stored_is_shown_with_its_age_and_never_its_value(write, tmp_path, keys):
    write(*keys, more=OAUTH)
    now = time.time()
    idle = {"name": "voipsync 2026-01-01", "idle_seconds": 30 * DAY}
    stored(VOIPSTUDIO_KEY, about=idle, at=now - 100 * DAY)
    stored(HIGHLEVEL_OAUTH, about={"expires_at": now + DAY}, at=now)
    source, destination = standing("acme")
    assert (source["origin"], source["name"], source["age_days"]) == ("stored", idle["name"], 100.0)
    assert source["idle_at"] == pytest.approx(now - 70 * DAY)
    assert destination["expires_at"] == pytest.approx(now + DAY)
    run = {"id": "r", "account": "acme", "kind": "sync", "mode": "full", "status": "ok", "owner": "o"}
    with opened(load().state.url) as database:
        database.now_do(lambda c: c.execute(runs.insert().values(**run, started_at=now - DAY)))
    assert standing()[0]["idle_at"] == pytest.approx(now + 29 * DAY)
    shown = ran("status").output
    assert "stored; since " in shown
    assert ", 100 days; idle, if unused, " in shown
    assert SECRET not in shown + json.dumps(standing())


def test_an_oauth_connection_begins_with_the_configured_token_until_one_is_stored(write):
    write(more=OAUTH + 'refresh_token = "${VOIPSYNC_CHECK_REFRESH}"\n')
    assert standing()[1]["reference"] == "${VOIPSYNC_CHECK_REFRESH}"
    stored(HIGHLEVEL_OAUTH, about={})
    assert (standing()[1]["origin"], standing()[1]["reference"]) == ("stored", None)


def test_rotate_with_a_key_file_makes_a_new_key(write, tmp_path):
    write()
    stored(VOIPSTUDIO_KEY, about={})
    before = (tmp_path / "key").read_text()
    done = ran("rotate")
    assert (done.exit_code, done.output) == (
        0,
        "encrypted with the newest key: 1 credentials, 0 rows of the ledger\n",
    )
    assert before.strip() not in (tmp_path / "key").read_text()


def test_rotate_moves_from_the_key_file_to_configured_keys_and_on_to_newer_ones(write, tmp_path):
    write()
    stored(VOIPSTUDIO_KEY, about={})
    for keys, last in (
        (("FIRST_KEY",), "ledger"),
        (("NEXT_KEY", "FIRST_KEY"), "encryption_keys now"),
        (("NEXT_KEY",), "ledger"),
    ):
        write(*keys)
        done = ran("rotate")
        assert done.exit_code == 0, done.output
        assert done.output.strip().endswith(last)
        (tmp_path / "key").unlink(missing_ok=True)
        with opened(load().state.url) as database:
            sealer = Sealer.of(load().state)
            found = database.now_look(lambda c, s=sealer: credentials.get(c, s, "acme", VOIPSTUDIO_KEY))
        assert found.secret == SECRET


def test_a_key_that_is_missing_ends_rotate_with_one_line(write):
    write("FIRST_KEY")
    stored(VOIPSTUDIO_KEY, about={})
    write("NEXT_KEY")
    done = ran("rotate")
    assert done.exit_code == 2
    assert done.stderr.startswith("voipsync: the key that the ledger was encrypted with is not in state.enc")
    assert done.stderr.count("\n") == 1
