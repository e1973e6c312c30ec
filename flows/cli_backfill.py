"""``voipsync retry`` and ``voipsync backfill``: what was refused is tried again, and history is brought."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any

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
    """Try the rejected records of ACCOUNT now.

    Each is tried once, whatever its turn: read afresh at the source, with the activities that wait for a
    rejected contact.
    """
    check(account)
    wait_seconds = waiting(account, wait, no_wait=no_wait)
    report = run_flow("retry", account, {"only": only, "wait_seconds": wait_seconds})
    show(report, as_json=as_json)
    sys.exit(EXIT[report.status])


_DAY = click.DateTime(formats=["%Y-%m-%d"])


def _ids(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    if value is None:
        return ()
    given = [part.strip() for part in value.split(",") if part.strip()] or ["nothing"]
    if wrong := [one for one in given if not (one.isascii() and one.isdigit() and int(one))]:
        raise click.BadParameter(f"{', '.join(wrong)}: ids of contacts at VoIPstudio are whole numbers")
    return tuple(map(int, given))


@click.command()
@click.argument("account")
@click.option(
    "--since",
    type=_DAY,
    metavar="YYYY-MM-DD",
    help="The first day: what was created on it or later; appointments that start then. Without it also "
    "what has no date.",
)
@click.option("--until", type=_DAY, metavar="YYYY-MM-DD", help="The last day, itself included.")
@click.option("--ids", callback=_ids, metavar="1,2", help="Instead of days: these contacts, whole.")
@only_option
@click.option(
    "--window",
    type=click.IntRange(1, 3660),
    metavar="DAYS",
    default=30,
    show_default=True,
    help="Days done at a time.",
)
@click.option("--routes", is_flag=True, help="Let routes fire for contacts that are met for the first time.")
@click.option("--estimate", is_flag=True, help="Only say what it would cost; nothing is written.")
@click.option("--restart", is_flag=True, help="Begin anew, although the same backfill was begun or is done.")
@wait_option
@no_wait_option
@json_option
@config
def backfill(
    account: str,
    since: datetime | None,
    until: datetime | None,
    ids: tuple[int, ...],
    wait: float,
    *,
    no_wait: bool,
    as_json: bool,
    **how: Any,  # noqa: ANN401 - options that are the flow's by the same names
) -> None:
    """Bring the history of ACCOUNT, window by window, oldest first.

    What it will cost is told before anything is written. The live sync goes first at any time.

    A contact or an activity counts by the day on which it was created, an appointment by its start; what has
    no date counts as the oldest. A window takes the contacts created in it with their activities; contacts
    from before --since come for their activities since then, those from after --until not at all.

    What ended early, in whatever way, goes on with the same command.
    """
    if ids and (since or until):
        raise click.UsageError("give either --ids or days (--since, --until)")
    if since and until and since > until:
        raise click.UsageError("--since is after --until")
    check(account)
    days = {name: day.date().isoformat() for name, day in (("since", since), ("until", until)) if day}
    wait_seconds = waiting(account, wait, no_wait=no_wait)
    made = run_flow("backfill", account, {**days, "ids": ids, **how, "wait_seconds": wait_seconds})
    if made.mode == "estimate" and not as_json:
        click.echo(str(made))
    else:
        show(made, as_json=as_json)
    sys.exit(EXIT[made.status])
