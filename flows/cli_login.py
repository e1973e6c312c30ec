"""``voipsync auth voipstudio login``: a person signs in once, and an API key is kept."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from flows.cli_options import config
from tasks import settings as configuration
from tasks.errors import ConfigurationError

if TYPE_CHECKING:
    from tasks.ledger.database import Database
    from tasks.ledger.sealing import Sealer
    from tasks.voipstudio.login import Key, Session

DAY = 86_400


@click.command()
@click.argument("account")
@click.option(
    "--idle-days",
    type=click.IntRange(1, 3650),
    metavar="DAYS",
    default=30,
    show_default=True,
    help="The key ends when it is not used for so long; each run uses it.",
)
@config
def login(account: str, idle_days: int) -> None:
    """Sign in at VoIPstudio once and keep an API key for ACCOUNT.

    E-mail and password, and the code where the account wants one, are asked for here and not kept. The key
    belongs to that user and can read what the user can. It replaces the one that was kept before, which is
    revoked as soon as the new one is stored.
    """
    settings = configuration.load()
    source = settings.account(account).source
    if not sys.stdin.isatty():
        raise ConfigurationError("run this command on a terminal: it asks for a password")
    from tasks.ledger import credentials, migrate  # noqa: PLC0415 - after the configuration is checked
    from tasks.ledger.credentials import VOIPSTUDIO_KEY  # noqa: PLC0415
    from tasks.ledger.database import opened  # noqa: PLC0415
    from tasks.ledger.sealing import Sealer  # noqa: PLC0415
    from tasks.voipstudio.login import renew_key  # noqa: PLC0415

    with opened(settings.state.url, Sealer.of_ledger(settings.state)) as database:
        database.now_do(migrate.upgrade)
        sealer = Sealer.of(settings.state)
        sealer.newest()
        if source.api_key or source.oauth:
            named = f"accounts.{account}.source.{'api_key' if source.api_key else 'oauth'}"
            click.echo(f"{named} counts before the key that is kept here: remove it afterwards", err=True)
        before = _kept(database, sealer, account)
        session = _signed_in(source.base_url)

        def store(key: Key) -> None:
            about = {"name": key.name, "idle_seconds": key.idle_seconds}
            database.now_do(
                lambda connection: credentials.put(
                    connection, sealer, account, VOIPSTUDIO_KEY, key.token, about=about
                )
            )

        key, warnings = asyncio.run(
            renew_key(
                source.base_url,
                session,
                account=account,
                idle_seconds=idle_days * DAY,
                replaces=before,
                store=store,
                now=datetime.now(UTC).astimezone(),
            )
        )
    click.echo(
        f"{account}: the API key {key.name!r} is kept; it ends when no run uses it for {idle_days} days"
    )
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _kept(database: Database, sealer: Sealer, account: str) -> Key | None:
    """The key that is to be replaced; one that cannot be opened is left to its owner."""
    from tasks.ledger import credentials  # noqa: PLC0415
    from tasks.voipstudio.login import Key  # noqa: PLC0415

    which = credentials.VOIPSTUDIO_KEY
    stored = database.now_look(lambda connection: credentials.of_account(connection, account)).get(which)
    if stored is None:
        return None
    name = str(stored.about.get("name"))
    try:
        found = database.now_look(lambda connection: credentials.get(connection, sealer, account, which))
    except ConfigurationError as error:
        click.echo(
            f"warning: {error}. The key {name!r} is replaced without it and not revoked: delete it at "
            "VoIPstudio, under the user's API keys",
            err=True,
        )
        return None
    return Key(found.secret, name, None) if found and found.secret else None


def _signed_in(base_url: str) -> Session:
    from tasks.voipstudio.login import confirm, sign_in  # noqa: PLC0415

    email = click.prompt("VoIPstudio e-mail", err=True).strip()
    password = click.prompt("Password", hide_input=True, err=True)
    session = asyncio.run(sign_in(base_url, email, password))
    if session.nonce is not None:
        code = click.prompt("Two-factor code", err=True).strip()
        session = asyncio.run(confirm(base_url, session, code))
    return session
