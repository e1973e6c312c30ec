"""``voipsync purge`` as a user meets it."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import insert, update

from sandbox.serve import Sandbox
from tasks.ledger.database import opened
from tasks.ledger.tables import history, runs


@pytest.fixture(scope="module")
def synced(prefect_api, command):
    """An account with a journal and seven runs of last year."""
    with Sandbox.threaded(contacts=3, burst=5000) as box:
        made = command("acme", PREFECT_API_URL=prefect_api).configure(box)
        assert made.run("sync", "acme").code == 0
    row = {"account": "acme", "kind": "sync", "mode": "incremental", "status": "ok", "owner": "me:1"}
    with opened(made.ledger) as ledger:
        ledger.now_do(lambda c: c.execute(update(history).values(at=1_700_000_000.0)))
        several = [{**row, "id": f"r{one}", "started_at": 1_700_000_000.0 + one} for one in range(7)]
        ledger.now_do(lambda c: c.execute(insert(runs), several))
    return made


def test_what_would_go_is_told_and_then_goes(synced):
    told = synced.run("purge", "--dry-run")
    assert told.code == 0, told.err
    number = int(told.out.split()[0])
    assert told.out.startswith(f"{number} rows would go (1 account)")
    first = json.loads(synced.run("purge", "acme", "--json").out)
    went = {kind: rows for kind, rows in first["rows"]["acme"].items() if rows}
    assert went == {"writes": number - 3, "runs": 3}
    assert synced.run("status", "acme").code == 0
    again = json.loads(synced.run("purge", "--json").out)
    assert not any(again["rows"]["acme"].values())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("amce",), "account amce"),
        (("acme", "--gone", "acme"), "either ACCOUNT or --gone"),
        (("--yes",), "--yes answers what --gone asks"),
        (("--gone", "acme", "--yes"), "'acme' is configured"),
        (("--gone", "amce", "--yes"), "knows nothing of an account 'amce'"),
    ],
)
def test_what_it_will_not_do(synced, arguments, said):
    ran = synced.run("purge", *arguments)
    assert ran.code == 2
    assert said in ran.err


def test_an_account_that_is_gone_is_forgotten_once_somebody_says_so(synced):
    path = synced.path
    path.write_text(path.read_text().replace("accounts.acme", "accounts.other"))
    asked = synced.run("purge", "--gone", "acme")
    assert asked.code == 1
    assert "of acme the ledger has" in asked.err
    assert "records" in asked.err
    kept = json.loads(synced.run("purge", "--gone", "acme", "--dry-run", "--json").out)
    assert kept["strangers"] == ["acme"]
    went = json.loads(synced.run("purge", "--gone", "acme", "--yes", "--json").out)
    assert went["rows"] == kept["rows"]
    assert went["rows"]["acme"]["records"] >= 3
    assert went["strangers"] == []
    assert synced.run("purge", "--gone", "acme", "--yes").code == 2
