"""``voipsync plan`` and ``voipsync apply``: what a sync would write, and writing exactly that."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from flows.cli_options import config, json_option, out_option
from flows.cli_run import EXIT, check, no_wait_option, only_option, run_flow, show, wait_option, waiting
from tasks import settings as configuration
from tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from tasks.engine.plan import PlanReport
    from tasks.ledger.database import Database


@click.command()
@click.argument("account")
@click.option(
    "--mode",
    type=click.Choice(["incremental", "full"]),
    default="incremental",
    show_default=True,
    help="incremental: what changed at the source; full: everything is mapped and compared again.",
)
@only_option
@out_option
@wait_option
@no_wait_option
@json_option
@config
def plan(
    account: str,
    mode: str,
    only: tuple[str, ...],
    out: Path | None,
    wait: float,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Show what a sync of ACCOUNT would write, and write nothing.

    The plan is kept, and `voipsync apply` executes it. It is shown in full, with what is personal.
    """
    check(account)
    wait_seconds = waiting(account, wait, no_wait=no_wait)
    made: PlanReport = run_flow("plan", account, {"mode": mode, "only": only, "wait_seconds": wait_seconds})
    show_plan(made, out=out, as_json=as_json)
    sys.exit(EXIT[made.status])


@click.command()
@click.argument("account")
@click.argument("plan")
@wait_option
@no_wait_option
@json_option
@config
def apply(account: str, plan: str, wait: float, no_wait: bool, as_json: bool) -> None:
    """Execute a plan of ACCOUNT, and only it.

    PLAN is its id, the beginning of it, `latest`, or a file that `plan --out` wrote.

    What was changed at the destination since the plan was made is left as it is, and named. A plan whose
    execution was interrupted is continued.
    """
    check(account)
    from tasks.engine.choose import choose, imported  # noqa: PLC0415 - SQLAlchemy, after the checks

    with ledger() as database:
        if Path(plan).is_file():
            plan = imported(database, account, Path(plan))
        chosen = choose(database, account, configuration.load().account(account), plan)
    wait_seconds = waiting(account, wait, no_wait=no_wait)
    report = run_flow("apply", account, {"plan": chosen.id, "wait_seconds": wait_seconds})
    show(report, as_json=as_json)
    sys.exit(EXIT[report.status])


def show_plan(made: PlanReport, *, out: Path | None = None, as_json: bool = False) -> None:
    """Print a plan in full, as text or as one JSON document, and write it to a file where one is named."""
    from tasks.engine.choose import exported  # noqa: PLC0415
    from tasks.engine.outline import headline, lines_of, remarks  # noqa: PLC0415
    from tasks.ledger import plans  # noqa: PLC0415

    with ledger() as database:
        stored = database.now_look(partial(plans.get, plan_id=made.plan_id))
        if stored is None:
            raise ConfigurationError(f"plan {made.plan_id} is not in this ledger: check state.url")
        if out is not None:
            _write(out, exported(database, stored))
        if as_json:
            for piece in exported(database, stored, status=made.status):
                click.echo(piece.replace("\n", ""), nl=False)
            click.echo()
            return
        click.echo(headline(made))
        after = -1
        while block := database.now_look(partial(plans.items, plan_id=made.plan_id, after=after)):
            for line in (line for row in block for line in lines_of(row.item)):
                click.echo("\n".join(line.told()))
            after = block[-1].number
    for remark in remarks(made):
        click.echo(f"- {remark}")
    executing = f"to execute it: voipsync apply {made.account} {made.plan_id}"
    click.echo(executing if made.about["operations"] else "there is nothing to write")


@contextmanager
def ledger() -> Iterator[Database]:
    """Open the ledger, at its current schema."""
    from tasks.ledger import migrate  # noqa: PLC0415
    from tasks.ledger.database import opened  # noqa: PLC0415
    from tasks.ledger.sealing import Sealer  # noqa: PLC0415

    state = configuration.load().state
    with opened(state.url, Sealer.of_ledger(state)) as database:
        database.now_do(migrate.upgrade)
        yield database


def _write(out: Path, pieces: Iterable[str]) -> None:
    """Write a file that is for its owner alone from the first byte on."""
    try:
        out.unlink(missing_ok=True)
        file: IO[str]
        with os.fdopen(
            os.open(out, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8"
        ) as file:
            file.writelines(pieces)
    except OSError as error:
        raise ConfigurationError(f"cannot write {out}: {error.strerror}") from None
