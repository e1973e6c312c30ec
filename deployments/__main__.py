"""``python -m deployments``: prepare Prefect for voipsync, and deploy what prefect.yaml says.

Needs PREFECT_API_URL. Can be repeated: what is there is brought up to date, nothing is made twice.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.bootstrap import POOL_TYPES, Wanted, bootstrap
from tasks.errors import VoipsyncError
from tasks.outlets import text_of
from tasks.settings import load, of_tables

ALERTS = "VOIPSYNC_ALERTS_URL"
"""Where alerts are posted, if nothing else is said."""
PROJECT = Path(__file__).parents[1]


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="python -m deployments", description=__doc__, allow_abbrev=False)
    made.add_argument("--pool-type", choices=POOL_TYPES, default="process", help="(default: process)")
    made.add_argument(
        "--limit",
        metavar="N",
        type=_number,
        help="flow runs of the work pool that may be under way at a time, all workers together (default: as "
        "it is; in a new one any number)",
    )
    alerts = made.add_mutually_exclusive_group()
    alerts.add_argument(
        "--notify",
        metavar="REFERENCE",
        help='where alerts are posted as JSON {"text": ...}, as Slack, Teams and others take it: ${NAME}, '
        "file:PATH or block:secret/NAME that holds the address (default: ${VOIPSYNC_ALERTS_URL}, where set)",
    )
    alerts.add_argument(
        "--notify-block",
        metavar="TYPE/NAME",
        help="a notification block of Prefect that alerts go to, such as slack-webhook/team",
    )
    made.add_argument(
        "--directory",
        metavar="PATH",
        default=str(PROJECT),
        help="where the project lies for those who run it, such as /app in the image (default: here)",
    )
    made.add_argument("--no-deploy", action="store_true", help="do not deploy prefect.yaml")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    chosen = parser().parse_args(arguments)
    if not (chosen.notify or chosen.notify_block) and os.environ.get(ALERTS):
        chosen.notify = f"${{{ALERTS}}}"
    if not os.environ.get("PREFECT_API_URL"):
        parser().error("PREFECT_API_URL is not set: deployments need a Prefect server (prefect server start)")
    try:
        wanted = Wanted(
            chosen.pool_type, chosen.notify, chosen.notify_block, _silence_minutes(), chosen.limit
        )
        for line in asyncio.run(bootstrap(wanted)):
            sys.stdout.write(f"{line}\n")
    except VoipsyncError as error:
        sys.stderr.write(f"deployments: {error}\n")
        return error.exit_code
    except Exception as error:  # noqa: BLE001 - whatever Prefect's client met is one line
        sys.stderr.write(f"deployments: Prefect at {os.environ['PREFECT_API_URL']}: {text_of(error)}\n")
        return 1
    sys.stdout.flush()
    if chosen.no_deploy:
        return 0
    prefect = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    there = {**os.environ, "PWD": chosen.directory}  # prefect.yaml asks for it
    return subprocess.run(prefect, cwd=PROJECT, env=there, check=False).returncode  # noqa: S603 - ourselves


def _number(value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise argparse.ArgumentTypeError(f"{value!r} is no number from 1 up")
    return int(value)


def _silence_minutes() -> float:
    """As the configuration says, where there is one: it may be with the workers alone."""
    there = Path(os.environ.get("VOIPSYNC_CONFIG") or PROJECT / "voipsync.toml")
    settings = load(there) if there.exists() else of_tables({}, "the environment")
    return settings.state.silence_minutes


if __name__ == "__main__":
    sys.exit(main())
