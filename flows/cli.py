"""The ``voipsync`` command: thin over the flows, and the only module that imports them.

Configuration and arguments are checked before Prefect is imported: a slip costs a moment, not a server start.
Whatever takes long to import is imported where it is used, for the same reason.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import click

from flows.cli_auth import auth
from flows.cli_doctor import doctor
from flows.cli_options import config, json_option
from flows.cli_review import link, review
from tasks import settings as configuration
from tasks.errors import VoipsyncError
from tasks.outlets import guard, text_of
from tasks.redaction import redact_text
from tasks.settings import ENTITIES

if TYPE_CHECKING:
    from tasks.engine.report import Report

EXIT = {"ok": 0, "degraded": 3, "failed": 1}
PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",
}
"""What `[tool.prefect]` says, for those who run the command elsewhere than in the project's folder."""


class _Commands(click.Group):
    """Shows our errors as one line, with the exit code that the interface promises."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's signature
        try:
            return super().invoke(ctx)
        except VoipsyncError as error:
            _fail(str(error), error.exit_code)
        except KeyboardInterrupt:
            _fail("stopped", EXIT["failed"])


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"voipsync: {redact_text(message)}", err=True)
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
    guard()


def _check(name: str) -> None:
    """Check all that a run needs of an account and of the machine, before anything takes seconds."""
    settings = configuration.load()
    settings.account(name)
    from tasks.engine import vault  # noqa: PLC0415

    vault.check(name, settings)


def _entities(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in value.split(",") if part.strip()) if value else ()
    if wrong := [entity for entity in chosen if entity not in ENTITIES]:
        raise click.BadParameter(f"{', '.join(wrong)}: choose from {', '.join(ENTITIES)}")
    return chosen


@main.command()
@click.argument("account")
@click.option(
    "--mode",
    type=click.Choice(["incremental", "full"]),
    default="incremental",
    show_default=True,
    help="incremental: what changed at the source; full: everything is mapped and compared again.",
)
@click.option(
    "--only", callback=_entities, metavar="E,E", help=f"Entities to write, of: {', '.join(ENTITIES)}."
)
@click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=600.0,
    show_default=True,
    help="Seconds to wait for another run on the same location.",
)
@click.option("--no-wait", is_flag=True, help="Fail at once where another run is under way.")
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
    """Sync ACCOUNT once."""
    _check(account)
    if no_wait:
        from tasks.engine.status import refuse_if_held  # noqa: PLC0415

        settings = configuration.load()
        refuse_if_held(settings.state.url, settings.account(account))
    wait_seconds = 0.0 if no_wait else wait
    options = {"mode": mode, "only": only, "wait_seconds": wait_seconds, "accept_fewer": accept_fewer}
    report = _run_sync(account, options)
    _show(report, as_json=as_json)
    sys.exit(EXIT[report.status])


def _run_sync(account: str, options: dict[str, Any]) -> Report:
    """Run the flow in this process, with a progress bar on a terminal."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the run itself takes care of it
    if not os.environ.get("PREFECT_API_URL"):
        os.environ.pop("PREFECT_API_URL", None)  # Prefect takes an empty one for an address
    for name, value in PREFECT.items():
        os.environ.setdefault(name, value)
    with _put_off(signal.SIGTERM, signal.SIGINT):  # an import that is interrupted ends as any error
        from flows.sync import sync as flow  # noqa: PLC0415 - imports Prefect: seconds
        from flows.terminal import bar  # noqa: PLC0415
        from tasks.engine.report import Report  # noqa: PLC0415
        from tasks.options import SyncOptions  # noqa: PLC0415

    async def run() -> Any:  # noqa: ANN401 - a report, or what prevented it
        with bar(account):
            return await flow(account, SyncOptions(**options), return_state=True)

    try:
        _start_prefect()
        state = asyncio.run(run())
    except Exception as error:
        raise VoipsyncError(
            f"Prefect cannot run the flow ({_first_line(text_of(error))}): check PREFECT_API_URL, or unset "
            "it to use Prefect's temporary API"
        ) from error
    made = getattr(state.data, "result", state.data)
    if isinstance(made, Report):
        return made
    raise made if isinstance(made, VoipsyncError) else VoipsyncError(_first_line(str(state.message)))


def _start_prefect() -> None:
    """Start Prefect's temporary API where no other is set, out of reach of a Ctrl-C on the terminal.

    A child inherits the blocked signal. Otherwise the API would be gone before the run is recorded there,
    and Prefect's client would try for minutes. It also inherits that what it makes is for its owner alone.
    """
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    before = os.umask(0o077)
    try:
        with _put_off(signal.SIGINT):
            get_client(sync_client=True)
    finally:
        os.umask(before)


@contextmanager
def _put_off(*signals: signal.Signals) -> Iterator[None]:
    """Let these signals arrive at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), text)


def _show(report: Report, *, as_json: bool = False) -> None:
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False))
        return
    from flows.terminal import table  # noqa: PLC0415

    table(report)


@main.command()
@click.option(
    "--contacts", type=click.IntRange(1, 100_000), default=200, show_default=True, help="Contacts to sync."
)
@click.option("--keep", is_flag=True, help="Leave the sandbox and its ledger there until Ctrl-C.")
def demo(contacts: int, keep: bool) -> None:
    """Sync a sandbox twice: the second run writes nothing."""
    from flows.demo import demonstrate  # noqa: PLC0415

    sys.exit(demonstrate(contacts, keep=keep, sync=_run_sync, show=_show))


@main.command()
@click.argument("account", required=False)
@json_option
@config
def status(account: str | None, as_json: bool) -> None:
    """Show how ACCOUNT (or every account) stands: last runs, what is open and why, quota, freshness."""
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
    """List the operations of the Contacts API that `call` can run, with the scope that each needs."""
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
    """Run one OPERATION of the Contacts API by hand and print the answer, redacted.

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
@click.option("--contacts", type=click.IntRange(0, 1_000_000), default=200, show_default=True)
def serve(contacts: int) -> None:
    """Serve both sandbox services until Ctrl-C, and print how to use them."""
    from flows.demo import serve_sandbox  # noqa: PLC0415

    serve_sandbox(contacts)


@main.group()
def db() -> None:
    """The ledger's database."""


@db.command()
@config
def upgrade() -> None:
    """Bring the ledger's database to the current schema (also done on first use)."""
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

if __name__ == "__main__":
    main()
