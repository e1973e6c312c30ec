"""``voipsync retry`` and ``voipsync backfill``: what was refused is tried again, and history is brought."""

from __future__ import annotations

import sys

import click

from flows.cli_options import config, json_option
from flows.cli_run import EXIT, check, no_wait_option, only_option, run_flow, show, wait_option, waiting


@click.command()
@click.argument("account")
@only_option
@wait_option
@no_wait_option
@json_option
@config
def retry(account: str, only: tuple[str, ...], wait: float, *, no_wait: bool, as_json: bool) -> None:
    """Try the rejected records of ACCOUNT now, each once, whatever their turn.

    They are read afresh at the source, with the activities that wait for a rejected contact.
    """
    check(account)
    wait_seconds = waiting(account, wait, no_wait=no_wait)
    report = run_flow("retry", account, {"only": only, "wait_seconds": wait_seconds})
    show(report, as_json=as_json)
    sys.exit(EXIT[report.status])
