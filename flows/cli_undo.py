"""``voipsync undo``: what takes a run back, as a plan."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from flows.cli_options import config, json_option, out_option
from flows.cli_plan import ledger, show_plan
from flows.cli_run import EXIT, check, no_wait_option, run_flow, wait_option, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from tasks.engine.plan import PlanReport


@click.command()
@click.argument("account")
@click.argument("run_id")
@out_option
@wait_option
@no_wait_option
@json_option
@config
def undo(account: str, run_id: str, out: Path | None, wait: float, no_wait: bool, as_json: bool) -> None:
    """Plan what takes a run of ACCOUNT back; nothing is written.

    RUN_ID stands in the run's report and in `voipsync status`. Every field still as the run left it goes back
    to what it was; what a person or a later run changed since stays, and is named. `voipsync apply` executes
    the plan.
    """
    check(account)
    from tasks.engine.undo import chosen_run  # noqa: PLC0415 - SQLAlchemy, after the checks

    with ledger() as database:
        chosen = database.now_look(partial(chosen_run, account=account, which=run_id))
    wait_seconds = waiting(account, wait, no_wait=no_wait)
    made: PlanReport = run_flow("undo", account, {"run_id": chosen, "wait_seconds": wait_seconds})
    show_plan(made, out=out, as_json=as_json)
    sys.exit(EXIT[made.status])
