"""A sync whose ledger is encrypted: it does what any does, and its file shows nobody."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tasks.errors import ConfigurationError
from tasks.ledger import rotation
from tasks.ledger.database import opened
from tasks.ledger.sealing import Key, Sealer
from tests.support.accounts import settings_of, sync
from tests.support.truth import check

KEYS = {"OLD": "correct horse battery staple", "NEW": "g1aBU6vYX_zwyKpdS0rUVdqWZ5dUKE22hJM1rRfqGCk="}
NAMES = ("email", "phone", "first_name", "last_name")


@pytest.fixture(autouse=True)
def keys(monkeypatch):
    for name, value in KEYS.items():
        monkeypatch.setenv(f"VOIPSYNC_TEST_{name}", value)


def by(*names):
    return {"encryption_keys": [f"${{VOIPSYNC_TEST_{name}}}" for name in names]}


def rotate(box, url, state):
    configured = settings_of(box, url, state=state).state
    with opened(url, Sealer.of_ledger(configured)) as database:
        return rotation.rotate(database, configured)


def shown(box, folder):
    """What any file of the ledger shows of the people at the source."""
    words = {str(row.get(name) or "") for row in box.source("contacts") for name in NAMES}
    words |= {str(row.get("body") or "") for row in box.source("notes")}
    words |= {row.get("email") or "" for row in box.contacts()} | {
        row.get("phone") or "" for row in box.contacts()
    }
    files = b"".join(path.read_bytes() for path in Path(folder).glob("ledger.db*"))
    return {word for word in words if len(word) > 4 and word.encode() in files}


@pytest.mark.parametrize("state", [by("OLD"), by("NEW")], ids=["stretched", "fernet"])
async def test_an_encrypted_ledger_does_what_any_does_and_shows_nobody(box, url, tmp_path, state):
    box.reset(contacts=12, burst=5000)
    first = await sync(box, url, state=state)
    assert first.status == "ok"
    renamed = box.source("contacts")[3]
    box.edit_source("contacts", renamed["id"], last_name="Renamedperson")
    assert (await sync(box, url, state=state)).entities["contacts"]["updated"] == 1
    box.reset_counters()
    second = await sync(box, url, state=state)
    assert (second.status, box.counters()["highlevel"]["requests"]) == ("ok", 0)
    assert check(box, url, state=state) == []
    assert shown(box, tmp_path) == set()
    assert not {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in tmp_path.glob("ledger.db*")} - {0}

    again = await sync(box, f"sqlite:///{tmp_path}/ledger.db.after", state=state)
    assert again.entities["contacts"]["adopted"] == first.entities["contacts"]["created"]
    assert box.writes() == {}


async def test_a_run_over_what_did_not_change_opens_nothing_of_it(box, ledger_url, monkeypatch):
    box.reset(contacts=12, burst=5000)
    assert (await sync(box, ledger_url, state=by("NEW"))).status == "ok"
    opened_texts, before = [], Key.open
    monkeypatch.setattr(Key, "open", lambda key, token: opened_texts.append(token) or before(key, token))
    assert (await sync(box, ledger_url, state=by("NEW"))).status == "ok"
    assert 0 < len(opened_texts) < 10


async def test_encryption_is_turned_on_over_a_plain_ledger_and_keys_are_rotated(box, url, tmp_path):
    box.reset(contacts=20, burst=5000)
    await sync(box, url)
    assert len(shown(box, tmp_path)) > 40
    newcomer = {"first_name": "Late", "last_name": "Comer", "email": box.contacts()[0]["email"]}
    box.reset_counters()
    for state, rows in ((by("OLD"), True), (by("NEW", "OLD"), True), (by("NEW"), False)):
        # whoever was there before, under whichever key, is known
        box.insert_source("contacts", **newcomer)
        report = await sync(box, url, state=state)
        assert "create-contact" not in box.writes()
        assert report.entities["contacts"]["created"] == 0
        done = rotate(box, url, state)
        assert bool(done.rows) is rows
        assert rotate(box, url, state).rows == 0
        assert shown(box, tmp_path) == set()
    box.reset_counters()
    await sync(box, url, mode="full", state=by("NEW"))
    assert box.writes() == {}


@pytest.mark.parametrize("state", [{}, by("NEW")], ids=["none", "another"])
async def test_without_its_key_an_encrypted_ledger_starts_nothing(box, url, state):
    box.reset(contacts=5, burst=5000)
    await sync(box, url, state=by("OLD"))
    box.reset_counters()
    with pytest.raises(ConfigurationError, match=r"state\.encryption_keys: put it back") as caught:
        await sync(box, url, state=state)
    assert box.counters()["highlevel"]["requests"] == 0
    assert os.environ["VOIPSYNC_TEST_OLD"] not in str(caught.value)
