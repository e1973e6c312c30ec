"""``voipsync auth``: credentials that the product obtains and keeps, encrypted, in the ledger's database."""

from __future__ import annotations

import json
from functools import partial

import click

from flows.cli_connect import connect
from flows.cli_login import login
from flows.cli_options import config, json_option
from tasks import settings as configuration


@click.group()
def auth() -> None:
    """Obtain credentials, see how they stand, re-encrypt them."""


@auth.group()
def voipstudio() -> None:
    """The credential for VoIPstudio."""


voipstudio.add_command(login)


@auth.group()
def highlevel() -> None:
    """The credential for HighLevel."""


highlevel.add_command(connect)


@auth.command()
@click.argument("account", required=False)
@json_option
@config
def status(account: str | None, *, as_json: bool) -> None:
    """Show which credentials ACCOUNT (or every account) uses.

    It tells where each comes from, how old it is and when it ends; never a value.
    """
    settings = configuration.load()
    chosen = {name: settings.account(name) for name in ([account] if account else sorted(settings.accounts))}
    from tasks.engine.keyring import standings  # noqa: PLC0415 - SQLAlchemy, after the configuration is read
    from tasks.ledger import migrate  # noqa: PLC0415
    from tasks.ledger.database import opened  # noqa: PLC0415
    from tasks.ledger.sealing import Sealer  # noqa: PLC0415

    with opened(settings.state.url, Sealer.of_ledger(settings.state)) as database:
        if database.now_look(migrate.level) != migrate.HEAD:
            database.now_do(migrate.upgrade)
        found = [
            one
            for name, configured in chosen.items()
            for one in database.now_look(partial(standings, name=name, account=configured))
        ]
        shown = [one.as_json(database.now()) for one in found]
    if as_json:
        click.echo(json.dumps({"credentials": shown}, ensure_ascii=False))
        return
    from flows.terminal import credential  # noqa: PLC0415

    for one in shown:
        credential(one)


@auth.command()
@config
def rotate() -> None:
    """Encrypt all that is stored encrypted with the newest key.

    That is the first of state.encryption_keys; where none are configured, a new one in the key file.
    """
    state = configuration.load().state
    from tasks.ledger import migrate, rotation  # noqa: PLC0415
    from tasks.ledger.database import opened  # noqa: PLC0415
    from tasks.ledger.sealing import Sealer  # noqa: PLC0415

    with opened(state.url, Sealer.of_ledger(state)) as database:
        database.now_do(migrate.upgrade)
        done = rotation.rotate(database, state)
    click.echo(
        f"encrypted with the newest key: {done.credentials} credentials, {done.rows} rows of the ledger"
    )
    if state.encryption_keys[1:]:
        click.echo("only backups need the other keys of state.encryption_keys now")
