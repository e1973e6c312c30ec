"""The demonstration: a sandbox of both services, synced into twice over real HTTP."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sandbox.client import Box
from sandbox.serve import Sandbox

if TYPE_CHECKING:
    from tasks.engine.report import Report

BURST = 5_000
CONFIGURATION = """\
[state]
url = "sqlite:///{folder}/ledger.db"

[accounts.demo.source]
base_url = "{source}"
api_key = "${{VOIPSYNC_DEMO_API_KEY}}"

[accounts.demo.destination]
base_url = "{destination}"
location_id = "{location}"
token = "${{VOIPSYNC_DEMO_TOKEN}}"
calendar_id = "{calendar}"

[accounts.demo.mapping]
default_country = "GB"
"""


def demonstrate(
    contacts: int,
    *,
    keep: bool,
    sync: Callable[[str, dict[str, Any]], Report],
    show: Callable[[Report], None],
) -> int:
    """Sync the sandbox twice and print both reports; return 0 where the second run wrote nothing."""
    with (
        tempfile.TemporaryDirectory(prefix="voipsync-demo-") as folder,
        Sandbox.process(contacts=contacts, burst=BURST) as box,
    ):
        configure(box, Path(folder))
        click.echo(
            f"A sandbox of both services: {contacts} contacts with notes, tasks and appointments.\n"
            f"Its Contacts API advertises {BURST:,} requests per 10 s, so that nobody has to wait; "
            "the real one allows 100.\n\nFirst sync:"
        )
        first = sync("demo", {"mode": "incremental"})
        show(first)
        click.echo("\nSecond sync: nothing has changed, so nothing is written.")
        second = sync("demo", {"mode": "incremental"})
        show(second)
        writes = second.requests["destination_writes"]
        click.echo(f"\nThe second run made {writes} destination writes.")
        if keep:
            wait(box, Path(folder))
        return 0 if first.status == second.status == "ok" and writes == 0 else 1


def serve_sandbox(contacts: int) -> None:
    """Serve both services until Ctrl-C, with a configuration that points to them."""
    with (
        tempfile.TemporaryDirectory(prefix="voipsync-sandbox-") as folder,
        Sandbox.process(contacts=contacts) as box,
    ):
        configure(box, Path(folder))
        wait(box, Path(folder))


def configure(box: Box, folder: Path) -> None:
    """Write a configuration for the sandbox, and make it this process's."""
    path = folder / "voipsync.toml"
    path.write_text(
        CONFIGURATION.format(
            folder=folder,
            source=box.voipstudio_url,
            destination=box.highlevel_url,
            location=box.location_id,
            calendar=box.calendar_id,
        ),
        encoding="utf-8",
    )
    os.environ |= {
        "VOIPSYNC_CONFIG": str(path),
        "VOIPSYNC_DEMO_API_KEY": box.api_key,
        "VOIPSYNC_DEMO_TOKEN": box.token,
    }


def wait(box: Box, folder: Path) -> None:
    """Print how to use the sandbox from another terminal, until Ctrl-C."""
    click.echo(
        f"\nVoIPstudio: {box.voipstudio_url}\nHighLevel:  {box.highlevel_url}\n\n"
        "In another terminal:\n"
        f"  export VOIPSYNC_CONFIG={folder / 'voipsync.toml'} "
        f"VOIPSYNC_DEMO_API_KEY={box.api_key} VOIPSYNC_DEMO_TOKEN={box.token}\n"
        "  voipsync sync demo\n\nCtrl-C ends the sandbox."
    )
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        click.echo()
