"""An account that lives in a Prefect block: no file, secrets in the block's secret fields."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from sandbox.serve import Sandbox
from tasks.blocks import SyncAccount, account_secret, account_tables

SAVE = """
import json, sys
from tasks.blocks import SyncAccount
SyncAccount(**json.loads(sys.stdin.read())).save(sys.argv[1], overwrite=True, _sync=True)
"""


@pytest.fixture
def env(prefect_api: str, tmp_path: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "VOIPSYNC_"))}
    home = {"HOME": str(tmp_path), "PREFECT_HOME": str(tmp_path / "prefect")}
    return kept | home | {"PREFECT_API_URL": prefect_api, "VOIPSYNC_STATE__URL": f"sqlite:///{tmp_path}/l.db"}


def save(env: dict[str, str], name: str, **fields: Any) -> None:
    subprocess.run(
        [sys.executable, "-c", SAVE, name], env=env, input=json.dumps(fields), text=True, check=True
    )


def voipsync(env: dict[str, str], tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("voipsync")), *arguments]
    return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)


def test_an_account_in_a_block_syncs_without_a_file(env: dict[str, str], tmp_path: Path) -> None:
    with Sandbox.threaded(contacts=8, burst=5000) as box:
        save(
            env,
            "north",
            location_id=box.location_id,
            voipstudio_api_key=box.api_key,
            highlevel_token=box.token,
            timezone="Europe/London",
            default_country="GB",
            source={"base_url": box.voipstudio_url},
            destination={"base_url": box.highlevel_url, "settle_seconds": 1},
            mapping={"tag_prefix": "north: "},
        )
        done = voipsync(env, tmp_path, "sync", "north", "--only", "contacts", "--json")
        assert done.returncode == 0, done.stderr[-2000:]
        report = json.loads(done.stdout)
        assert report["entities"]["contacts"]["created"] == len(box.contacts()) > 0
        tags = {tag for contact in box.contacts() for tag in contact["tags"]}
        assert tags
        assert all(tag.startswith("north: ") for tag in tags)
        for secret in (box.api_key, box.token):
            assert secret not in done.stdout + done.stderr


def test_a_wrong_value_in_a_block_is_one_line(env: dict[str, str], tmp_path: Path) -> None:
    save(env, "wrong", location_id="abc", timezone="Europe/Londn")
    done = voipsync(env, tmp_path, "sync", "wrong")
    assert (done.returncode, done.stdout) == (2, "")
    told = "voipsync: Prefect block sync-account/wrong: source.timezone: is no IANA time zone; did you mean"
    assert told in done.stderr


def test_an_account_that_is_nowhere_is_one_line(env: dict[str, str], tmp_path: Path) -> None:
    done = voipsync(env, tmp_path, "sync", "nowhere")
    assert (done.returncode, done.stdout) == (2, "")
    assert "account nowhere: cannot read Prefect block sync-account/nowhere" in done.stderr
    assert done.stderr.rstrip().endswith("; the configuration has none")


def test_a_block_is_read_once_for_all_its_fields(prefect_api: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        SyncAccount(location_id="there", highlevel_token=SecretStr("t")).save("once", _sync=True)  # type: ignore[call-arg]
        assert account_tables("once")["destination"]["location_id"] == "there"
        SyncAccount.delete("once", _sync=True)  # type: ignore[call-arg]
        assert account_secret("once", "highlevel_token", where="here") == "t"
