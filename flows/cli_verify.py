"""``voipsync verify``: whether the destination holds what was written there, and a plan of what mends it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from flows.cli_options import config, json_option
from flows.cli_plan import show_plan
from flows.cli_run import EXIT, check, entities_option, no_wait_option, run_flow, wait_option, waiting
from tasks.options import A_SAMPLE

if TYPE_CHECKING:
    from tasks.engine.verify_report import VerifyReport


@click.command()
@click.argument("account")
@click.option(
    "--sample",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="Compare N contacts, drawn at random, with their activities, and say what that says of all.  "
    "[default: 200]",
)
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Compare every contact, and each contact's activities where --only names them; goes on where an "
    "earlier one was stopped.",
)
@entities_option("compare")
@click.option("--repair", is_flag=True, help="Plan what mends it; `voipsync apply` carries the plan out.")
@click.option(
    "--recreate", is_flag=True, help="With --repair: plan contacts anew that somebody deleted in HighLevel."
)
@click.option(
    "--questions",
    type=click.IntRange(min=0),
    metavar="N",
    default=A_SAMPLE.questions,
    show_default=True,
    help="With --all: contacts that look wrong in the search, which lags, and are asked for by their ids; "
    "those beyond are only counted.",
)
@wait_option
@no_wait_option
@json_option
@config
def verify(
    account: str,
    sample: int | None,
    only: tuple[str, ...],
    questions: int,
    wait: float,
    *,
    every: bool,
    repair: bool,
    recreate: bool,
    no_wait: bool,
    as_json: bool,
) -> None:
    """Compare HighLevel with what ACCOUNT's runs wrote there.

    Nothing is written; what it will cost is told before it begins. Exit codes: 0 no deviation; 3 deviations,
    or not all could be compared; 1 failed; 2 usage or configuration.
    """
    if recreate and not repair:
        raise click.UsageError("--recreate says what --repair plans: give both")
    if every and sample:
        raise click.UsageError("give either --sample or --all")
    check(account)
    options = {
        "scope": "all" if every else "sample",
        "sample": sample or A_SAMPLE.sample,
        "only": only,
        "repair": repair,
        "recreate": recreate,
        "questions": questions,
        "wait_seconds": waiting(account, wait, no_wait=no_wait),
    }
    report = run_flow("verify", account, options)
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        show(report)
        if report.plan:
            show_plan(report.plan)
        elif repair:
            click.echo("nothing to plan")
    sys.exit(EXIT[report.status])


def show(report: VerifyReport) -> None:
    """Print what a verification found, for people."""
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from tasks.engine.verify_report import COUNTS, sentences  # noqa: PLC0415

    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, markup=False, width=200)
    console.print(
        f"{report.account}: {report.status} "
        f"(verify {report.scope}, {report.seconds:.1f} s, run {report.run_id})"
    )
    made = Table(box=None, pad_edge=False)
    made.add_column("")
    for name in COUNTS:
        made.add_column(name, justify="right")
    for entity, counts in report.entities.items():
        made.add_row(entity, *(str(counts[name]) for name in COUNTS))
    console.print(made)
    if report.confidence:
        console.print(report.confidence)
    for sentence in sentences(report.deviations):
        console.print(f"- {sentence}")
    if report.found > len(report.deviations):
        console.print(f"- … {report.found - len(report.deviations)} more")
    for warning in report.warnings:
        console.print(f"- {warning}")
    for sentence in () if report.plan else report.left:  # a plan says it itself
        console.print(f"- not planned: {sentence}")
    console.print("requests: " + ", ".join(f"{number} {name}" for name, number in report.requests.items()))
