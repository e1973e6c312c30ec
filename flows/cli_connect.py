"""``voipsync auth highlevel connect``: a person lets the product into a location."""

from __future__ import annotations

import asyncio
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import click

from flows.cli_options import config
from tasks import settings as configuration
from tasks.errors import ConfigurationError, Fatal
from tasks.settings import Settings


@click.command()
@click.argument("account")
@click.option(
    "--listen",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Take the answer on this port of 127.0.0.1, to which your https redirect_uri hands it on.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@config
def connect(account: str, listen: int | None, *, no_browser: bool) -> None:
    """Let voipsync into ACCOUNT's location.

    The tokens are stored in the ledger, encrypted. With an app in destination.oauth a person agrees in the
    browser, and then pastes the address that the browser was sent to. Without one this asks for a private
    integration token. Ten minutes are given.
    """
    settings = configuration.load()
    destination = settings.account(account).destination
    if destination.token is not None:
        raise ConfigurationError(
            f"accounts.{account}.destination.token: is configured and counts: remove it to use what is stored"
        )
    from tasks.engine import connect as connecting  # noqa: PLC0415
    from tasks.engine.vault import open_vault  # noqa: PLC0415

    with open_vault(account, settings) as vault:
        if destination.oauth is None:
            token = click.prompt("Private integration token", hide_input=True).strip()
            asyncio.run(connecting.keep_token(vault, token))
            click.echo(f"the token of location {destination.location_id} is stored")
            return
        vault.token_service()  # what is missing is told before a person does anything
        vault.keeper()
        grant = asyncio.run(
            connecting.connect(vault, _agreed(account, settings, listen, show=not no_browser))
        )
    click.echo(f"{account} is connected to location {grant.location_id}")
    from tasks.highlevel.scopes import needed_scopes  # noqa: PLC0415

    if lacking := sorted({*needed_scopes(settings.account(account))} - {*grant.scopes}):
        click.echo(f"the token lacks scopes that a sync needs: {', '.join(lacking)}", err=True)


def _agreed(account: str, settings: Settings, listen: int | None, *, show: bool) -> str:
    """Ask a person to let the app in; return the code of the agreement."""
    from tasks.highlevel import callback  # noqa: PLC0415
    from tasks.highlevel.oauth import authorize_url  # noqa: PLC0415

    state = secrets.token_urlsafe(32)
    address = authorize_url(account, settings.account(account), state)
    oauth = settings.account(account).destination.oauth
    redirect = (oauth and oauth.redirect_uri) or ""
    click.echo(f"Open this address, choose the location and agree:\n\n{address}\n")
    if show and sys.stdin.isatty():
        click.launch(address)
    if listen is not None:
        path = urlsplit(redirect).path or "/"
        click.echo(f"Waiting on 127.0.0.1:{listen} for what {redirect} hands on …")
        return asyncio.run(callback.Listener(listen, path, state).wait())
    click.echo(f"The browser is then sent to {redirect}, which need not show anything.")
    with _time_limit(callback.WAIT_SECONDS, callback.TOO_LATE):
        pasted = click.prompt("Paste the whole address that it shows")
    return callback.code_of_pasted(pasted, redirect, state)


@contextmanager
def _time_limit(seconds: float, message: str) -> Iterator[None]:
    """End whatever is waited for inside, a person's input too."""

    def end(_number: int, _frame: object) -> None:
        raise Fatal(message)

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
