"""What a sync costs that finds nothing to do: it is the one that runs every minute."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tasks.settings import load
from tests.support.accounts import sync
from tests.support.workers import job_of

PROJECT = Path(__file__).parents[2]
PROGRAM = """
import json, sys
import flows.sync
from tests.engine.engine_process import perform
code, report = perform(json.loads(sys.argv[1]))
heavy = {"pandas", "alembic.config", "plotly"}
print(json.dumps({"report": report, "imported": sorted(heavy & {*sys.modules})}))
"""


def test_a_sync_with_nothing_to_do_asks_the_destination_nothing_and_imports_no_more_than_it_needs(box, url):
    box.reset(contacts=5, burst=5000)
    asyncio.run(sync(box, url))
    box.reset_counters()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps(job_of(box, url, {}))],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    told = json.loads(done.stdout)
    assert told["report"]["status"] == "ok"
    assert box.counters()["highlevel"]["requests"] == 0
    assert told["imported"] == []


def test_a_configuration_is_checked_once_as_long_as_it_says_the_same(tmp_path, monkeypatch):
    path = tmp_path / "voipsync.toml"
    path.write_text('[accounts.acme.destination]\nlocation_id = "a"\n', encoding="utf-8")
    first = load(path)
    assert load(path) is first
    monkeypatch.setenv("VOIPSYNC_ACCOUNTS__ACME__DESTINATION__LOCATION_ID", "b")
    assert load(path).account("acme").destination.location_id == "b"
    monkeypatch.undo()
    path.write_text('[accounts.acme.destination]\nlocation_id = "c"\n', encoding="utf-8")
    assert load(path).account("acme").destination.location_id == "c"
