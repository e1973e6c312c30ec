"""What the commands that run a flow share: their checks, their options, and running it in this process.

Configuration and arguments are checked before Prefect is imported: a slip costs a moment, not a server start.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import math
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tasks import logs, telemetry
from tasks import settings as configuration
from tasks.errors import VoipsyncError
from tasks.outlets import text_of
from tasks.settings import ENTITIES

if TYPE_CHECKING:
    from tasks.engine.report import Report

FC = TypeVar("FC", bound=Callable[..., Any])
EXIT = {"ok": 0, "degraded": 3, "failed": 1}
PREFECT = {
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "90",
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks,flows",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
}
"""What `[tool.prefect]` says, for those who run the command elsewhere than in the project's folder."""


def check(name: str) -> None:
    """Check all that a run needs of an account and of the machine, before anything takes seconds."""
    settings = configuration.load()
    settings.account(name)
    for what in ("traces", "metrics"):
        telemetry.exporter(what)
    from tasks.engine import vault  # noqa: PLC0415

    vault.check(name, settings)


def _entities(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    if value is None:
        return ()
    chosen = tuple(part.strip() for part in value.split(",") if part.strip()) or ("nothing",)
    if wrong := [entity for entity in chosen if entity not in ENTITIES]:
        raise click.BadParameter(f"{', '.join(wrong)}: choose from {', '.join(ENTITIES)}")
    return chosen


def _number(_context: click.Context, _parameter: click.Parameter, value: float) -> float:
    if math.isnan(value):  # neither less than the least nor anything else
        raise click.BadParameter("nan is no number of seconds")
    return value


def entities_option(what: str) -> Callable[[FC], FC]:
    """``--only``, with what becomes of the entities that are named."""
    says = f"Entities to {what}, of: {', '.join(ENTITIES)}."
    return click.option("--only", callback=_entities, metavar="E,E", help=says)


only_option = entities_option("write")
wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    callback=_number,
    metavar="SECONDS",
    default=600.0,
    show_default=True,
    help="How long to wait for another run on the same location.",
)
no_wait_option = click.option("--no-wait", is_flag=True, help="Fail at once where another run is under way.")


def waiting(account: str, wait: float, *, no_wait: bool) -> float:
    """Seconds to wait for another run on the location, as the two options say.

    Raises:
        Busy: there is one, and nobody wants to wait.
    """
    if not no_wait:
        return wait
    from tasks.engine.status import refuse_if_held  # noqa: PLC0415

    settings = configuration.load()
    refuse_if_held(settings.state.url, settings.account(account))
    return 0.0


def run_flow(name: str, account: str, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what the flow makes
    """Run a flow of ours in this process, with a progress bar on a terminal, and return what it made.

    Args:
        name: of the flow, which is also its module's.
        account: its first parameter.
        options: its second, unchecked.

    Raises:
        VoipsyncError: it made nothing, and this is why.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # until the run itself takes care of it
    if not os.environ.get("PREFECT_API_URL"):
        os.environ.pop("PREFECT_API_URL", None)  # Prefect takes an empty one for an address
    for key, value in PREFECT.items():
        os.environ.setdefault(key, value)
    with _put_off(signal.SIGTERM, signal.SIGINT):  # an import that is interrupted ends as any error
        flow = getattr(importlib.import_module(f"flows.{name}"), name)  # imports Prefect: seconds
        logs.arrange()
        from prefect.exceptions import PrefectSignal  # noqa: PLC0415

        from flows.terminal import bar  # noqa: PLC0415

    async def run() -> Any:  # noqa: ANN401 - a state
        with bar(account):
            return await flow(account, dict(options), return_state=True)

    try:
        _start_prefect()
        state = asyncio.run(run())
    except PrefectSignal:
        raise VoipsyncError(
            "somebody suspended this run in Prefect: what was done is recorded, and the same command goes on"
        ) from None
    except Exception as error:
        raise VoipsyncError(
            f"Prefect cannot run the flow ({_first_line(text_of(error))}): check PREFECT_API_URL, or unset "
            "it to use Prefect's temporary API"
        ) from error
    made = getattr(state.data, "result", state.data)
    if isinstance(made, VoipsyncError):
        raise made
    if made is None or isinstance(made, BaseException):
        raise VoipsyncError(_first_line(str(state.message)))
    return made


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


def show(report: Report, *, as_json: bool = False) -> None:
    """Print a report: a table, or one JSON document."""
    if as_json:
        click.echo(json.dumps(report.as_json(), ensure_ascii=False))
        return
    from flows.terminal import table  # noqa: PLC0415

    table(report)
