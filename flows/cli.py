"""The ``voipsync`` command: thin over the flows, which only it (`flows.cli_run`) imports.

Configuration and arguments are checked before Prefect is imported: a slip costs a moment, not a server start.
Whatever takes long to import is imported where it is used, for the same reason.
"""

from __future__ import annotations

import asyncio
import codecs
import io
import json
import sys
from functools import partial
from typing import Any, NoReturn

import click

from flows.cli_auth import auth
from flows.cli_backfill import backfill, retry
from flows.cli_doctor import doctor
from flows.cli_explain import explain
from flows.cli_init import init
from flows.cli_options import config, json_option
from flows.cli_plan import apply, plan
from flows.cli_purge import purge
from flows.cli_report import report
from flows.cli_review import link, review
from flows.cli_run import EXIT, check, no_wait_option, only_option, run_flow, show, wait_option, waiting
from flows.cli_undo import undo
from flows.cli_verify import verify
from tasks import logs
from tasks import settings as configuration
from tasks.errors import VoipsyncError
from tasks.outlets import guard
from tasks.redaction import redact_text


class _Commands(click.Group):
    """Shows our errors as one line, with the exit code that the interface promises."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        try:
            return super().invoke(ctx)
        except VoipsyncError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail("stopped", EXIT["failed"])


def _legible() -> None:
    """What the encoding of stdout does not have is escaped as in JSON, so that a document stays one."""

    def escaped(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)  # noqa: S101 - narrows the type
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error("voipsync", escaped)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="voipsync")


def _fail(message: str, code: int) -> NoReturn:
    click.echo(logs.line(redact_text(message)), err=True)
    sys.exit(code)


@click.group(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@config
@click.version_option(package_name="voipsync")
def main() -> None:
    """Keep the contacts, notes, tasks and appointments of VoIPstudio in step with a HighLevel location.

    Exit codes: 0 all well; 3 finished, but some records are rejected or unresolved; 1 failed; 2 usage or
    configuration.
    """
    _legible()
    guard()
    logs.arrange()


@main.command()
@click.argument("account")
@click.option(
    "--mode",
    type=click.Choice(["incremental", "full"]),
    default="incremental",
    show_default=True,
    help="incremental: what changed at the source; full: everything is mapped and compared again.",
)
@only_option
@wait_option
@no_wait_option
@click.option(
    "--accept-fewer",
    is_flag=True,
    help="Take the source as it is, although it lists less than half of the contacts of last time.",
)
@json_option
@config
def sync(
    account: str,
    mode: str,
    only: tuple[str, ...],
    wait: float,
    no_wait: bool,
    accept_fewer: bool,
    as_json: bool,
) -> None:
    """Sync ACCOUNT once.

    The report goes to stdout, logs and progress to stderr. A second run changes nothing.
    """
    check(account)
    wait_seconds = waiting(account, wait, no_wait=no_wait)
    options = {"mode": mode, "only": only, "wait_seconds": wait_seconds, "accept_fewer": accept_fewer}
    made = run_flow("sync", account, options)
    show(made, as_json=as_json)
    sys.exit(EXIT[made.status])


@main.command()
@click.option(
    "--contacts",
    type=click.IntRange(1, 100_000),
    metavar="N",
    default=200,
    show_default=True,
    help="Contacts to sync.",
)
@click.option("--keep", is_flag=True, help="Leave the sandbox and its ledger there until Ctrl-C.")
def demo(contacts: int, keep: bool) -> None:
    """Sync a sandbox twice: the second run writes nothing."""
    from flows.demo import demonstrate  # noqa: PLC0415

    sys.exit(demonstrate(contacts, keep=keep, sync=partial(run_flow, "sync"), show=show))


@main.command()
@click.argument("account", required=False)
@json_option
@config
def status(account: str | None, as_json: bool) -> None:
    """Show how ACCOUNT (or every account) stands.

    Last runs, what is open and why, quota, freshness: from the ledger alone, without Prefect or any request.
    """
    settings = configuration.load()
    names = [account] if account else sorted(settings.accounts)
    chosen = {name: settings.account(name) for name in names}
    from flows.terminal import standing  # noqa: PLC0415
    from tasks.engine.status import standings  # noqa: PLC0415

    found = standings(settings.state, chosen)
    if as_json:
        click.echo(json.dumps({"accounts": found}, ensure_ascii=False))
    else:
        for one in found:
            standing(one)


@main.command()
@json_option
def operations(as_json: bool) -> None:
    """List the operations that `voipsync call` can run.

    They are HighLevel's Contacts API; each is shown with the scope that it needs.
    """
    from flows.terminal import listing  # noqa: PLC0415
    from tasks.highlevel.operations import OPERATIONS  # noqa: PLC0415

    columns = ("name", "method", "path", "scope", "summary")
    rows = [{column: getattr(one, column) for column in columns} for one in OPERATIONS.values()]
    if as_json:
        click.echo(json.dumps(rows))
    else:
        listing(rows, columns[:4])


@main.command()
@click.argument("account")
@click.argument("operation")
@click.argument("values", nargs=-1, metavar="key=value ...")
@click.option("--clear", is_flag=True, help="Show personal data in the answer.")
@config
def call(account: str, operation: str, values: tuple[str, ...], clear: bool) -> None:
    """Run one OPERATION of the Contacts API by hand.

    The answer is printed with personal data masked.

    A value that is JSON is sent as such (pinned=true, tags='["vip"]'), anything else as text. `voipsync
    operations` lists what there is.
    """
    settings = configuration.load()
    chosen = settings.account(account)
    from tasks.engine.vault import open_vault  # noqa: PLC0415
    from tasks.highlevel.by_hand import call_by_hand  # noqa: PLC0415

    with open_vault(account, settings) as vault:
        access = vault.destination()
        answer = asyncio.run(call_by_hand(account, chosen, access, operation, values, clear=clear))
    click.echo(json.dumps(answer, ensure_ascii=False, indent=2))


@main.group()
def sandbox() -> None:
    """The two services, modelled for development."""


@sandbox.command()
@click.option(
    "--contacts",
    type=click.IntRange(0, 1_000_000),
    metavar="N",
    default=200,
    show_default=True,
    help="Contacts that VoIPstudio has.",
)
def serve(contacts: int) -> None:
    """Serve both sandbox services until Ctrl-C.

    It prints the addresses, and the configuration with which to use them.
    """
    from flows.demo import serve_sandbox  # noqa: PLC0415

    serve_sandbox(contacts)


@main.group()
def db() -> None:
    """The ledger's database."""


@db.command()
@config
def upgrade() -> None:
    """Bring the ledger's database to the current schema.

    Every run does so by itself, too.
    """
    from tasks.ledger import migrate  # noqa: PLC0415
    from tasks.ledger.database import opened  # noqa: PLC0415
    from tasks.ledger.sealing import Sealer  # noqa: PLC0415

    state = configuration.load().state
    with opened(state.url, Sealer.of_ledger(state)) as database:
        changed = database.now_do(migrate.upgrade)
    click.echo(f"the ledger is at revision {migrate.HEAD}" + ("" if changed else " already"))


main.add_command(auth)
main.add_command(doctor)
main.add_command(review)
main.add_command(link)
main.add_command(plan)
main.add_command(apply)
main.add_command(explain)
main.add_command(undo)
main.add_command(verify)
main.add_command(retry)
main.add_command(backfill)
main.add_command(report)
main.add_command(purge)
main.add_command(init)

if __name__ == "__main__":
    main()
