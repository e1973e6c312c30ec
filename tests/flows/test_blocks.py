"""An account that lives in a Prefect block: no file, secrets in the block's secret fields."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings
from pydantic import SecretStr

from sandbox.serve import Sandbox
from tasks.blocks import SyncAccount, account_secret, account_tables
from tests.support.command import Command


@pytest.fixture
def nothing(prefect_api: str, tmp_path: Path) -> Command:
    """A folder without a configuration, where the environment says what there must be."""
    return Command(
        tmp_path, PREFECT_API_URL=prefect_api, VOIPSYNC_STATE__URL=f"sqlite:///{tmp_path}/ledger.db"
    )


def save(prefect_api: str, name: str, **fields: Any) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        SyncAccount(**fields).save(name, overwrite=True, _sync=True)  # type: ignore[call-arg]


def test_an_account_in_a_block_syncs_without_a_file(prefect_api: str, nothing: Command) -> None:
    with Sandbox.threaded(contacts=8, burst=5000) as box:
        save(
            prefect_api,
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
        done = nothing.run("sync", "north", "--only", "contacts", "--json")
        assert done.code == 0, done.err[-2000:]
        report = done.json
        assert report["entities"]["contacts"]["created"] == len(box.contacts()) > 0
        tags = {tag for contact in box.contacts() for tag in contact["tags"]}
        assert tags
        assert all(tag.startswith("north: ") for tag in tags)
        for secret in (box.api_key, box.token):
            assert secret not in done.out + done.err


def test_a_wrong_value_in_a_block_is_one_line(prefect_api: str, nothing: Command) -> None:
    save(prefect_api, "wrong", location_id="abc", timezone="Europe/Londn")
    done = nothing.run("sync", "wrong")
    assert (done.code, done.out) == (2, "")
    told = "voipsync: Prefect block sync-account/wrong: source.timezone: is no IANA time zone; did you mean"
    assert told in done.err


def test_an_account_that_is_nowhere_is_one_line(prefect_api: str, nothing: Command) -> None:
    done = nothing.run("sync", "nowhere")
    assert (done.code, done.out) == (2, "")
    assert "account nowhere: cannot read Prefect block sync-account/nowhere" in done.err
    assert done.err.rstrip().endswith("; the configuration has none")


def test_a_block_is_read_once_for_all_its_fields(prefect_api: str) -> None:
    with temporary_settings({PREFECT_API_URL: prefect_api}):
        SyncAccount(location_id="there", highlevel_token=SecretStr("t")).save("once", _sync=True)  # type: ignore[call-arg]
        assert account_tables("once")["destination"]["location_id"] == "there"
        SyncAccount.delete("once", _sync=True)  # type: ignore[call-arg]
        assert account_secret("once", "highlevel_token", where="here") == "t"
