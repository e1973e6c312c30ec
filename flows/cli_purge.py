"""``voipsync purge``: what the ledger has kept long enough goes."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from flows.cli_options import config, json_option
from flows.cli_run import run_flow
from tasks import settings as configuration
from tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from tasks.engine.purge import Purged


@click.command()
@click.argument("account", required=False)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@click.option(
    "--gone",
    metavar="NAME",
    default="",
    help="Instead: all that the ledger knows of an account that is configured no more.",
)
@click.option("--yes", is_flag=True, help="With --gone: do not ask.")
@click.option(
    "--compact",
    is_flag=True,
    help="Then rewrite an SQLite ledger's file, so that the room goes back to the disk.",
)
@json_option
@config
def purge(account: str | None, gone: str, *, dry_run: bool, yes: bool, compact: bool, as_json: bool) -> None:
    """Drop what the ledger has kept long enough.

    Of ACCOUNT, or of all that are configured: journal rows (`state.history_days`), runs and their reports
    (`state.runs_days`), old plans, finished backfills, and records of what was deleted at both sides. Links
    to what is at the destination stay for ever, and nothing there is touched. It goes on beside all runs, and
    whatever ends it, the next purge goes on.
    """
    if account and gone:
        raise click.UsageError("give either ACCOUNT or --gone")
    if yes and not gone:
        raise click.UsageError("--yes answers what --gone asks: give both")
    settings = configuration.load()
    if account:
        settings.account(account)
    if gone and not dry_run:
        _confirm(gone, settings, yes=yes)
    made: Purged = run_flow("purge", account or "", {"dry_run": dry_run, "gone": gone, "compact": compact})
    if as_json:
        click.echo(json.dumps(made.as_json()))
    else:
        show(made)


def _confirm(account: str, settings: configuration.Settings, *, yes: bool) -> None:
    """Say what goes, and ask; the flow checks again whether it may."""
    from flows.cli_plan import ledger  # noqa: PLC0415 - SQLAlchemy, after the checks
    from tasks.ledger import retention  # noqa: PLC0415

    if account in settings.accounts:
        raise ConfigurationError(
            f"account {account!r} is configured: take it out of the configuration before all of it goes"
        )
    with ledger() as database:
        counts = database.now_look(partial(retention.count_account, account=account))
    told = ", ".join(f"{number:,} {table}" for table, number in counts.items() if number)
    if not told:
        raise ConfigurationError(f"the ledger knows nothing of an account {account!r}")
    if not yes:
        click.echo(f"of {account} the ledger has {told}", err=True)
        click.confirm("Drop it all? Nothing of it comes back", abort=True, err=True)


def show(made: Purged) -> None:
    """Print what went, for people."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False, width=200)
    console.print(f"{made} ({made.seconds:.1f} s)")
    shown = {name: counts for name, counts in made.rows.items() if any(counts.values())}
    if shown:
        table = Table(box=None, pad_edge=False)
        columns = [kind for kind in next(iter(shown.values())) if any(one[kind] for one in shown.values())]
        table.add_column("")
        for kind in columns:
            table.add_column(kind, justify="right")
        for name, counts in shown.items():
            table.add_row(name, *(f"{counts[kind]:,}" for kind in columns))
        console.print(table)
    for note in made.notes():
        console.print(f"- {note}")
