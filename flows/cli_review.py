"""``voipsync review`` and ``voipsync link``: contacts whose identity is ambiguous, and how to settle them."""

from __future__ import annotations

import asyncio
import json

import click

from flows.cli_options import config, json_option
from flows.cli_run import wait_option
from tasks import settings as configuration


@click.command()
@click.argument("account")
@json_option
@config
def review(account: str, *, as_json: bool) -> None:
    """List the contacts of ACCOUNT that a person is to settle.

    Each with the contacts that it may be: ids only, and what matches.
    """
    settings = configuration.load()
    settings.account(account)
    from tasks.engine.review import to_review  # noqa: PLC0415 - SQLAlchemy, after the configuration is read
    from tasks.ledger.database import opened  # noqa: PLC0415
    from tasks.ledger.sealing import Sealer  # noqa: PLC0415

    with opened(settings.state.url, Sealer.of_ledger(settings.state)) as database:
        found = to_review(database, account)
    if as_json:
        click.echo(json.dumps({"account": account, "contacts": found}, ensure_ascii=False))
        return
    for one in found:
        click.echo(f"{one['source_id']}: {one['reason']}")
        for candidate in one["candidates"]:
            matched = f" (same {', '.join(candidate['matched'])})" if candidate["matched"] else ""
            click.echo(f"  {candidate['id']}{matched}")
        if one["decision"]:
            click.echo(f"  decided: {one['decision']}, by the next sync")
    if not found:
        click.echo(f"{account}: nothing to settle")


@click.command()
@click.argument("account")
@click.argument("source_id")
@click.argument("contact_id", required=False)
@click.option("--create", is_flag=True, help="It is none of the contacts that are there: create it.")
@wait_option
@json_option
@config
def link(
    account: str, source_id: str, contact_id: str | None, *, create: bool, wait: float, as_json: bool
) -> None:
    """Settle who a contact of ACCOUNT is in HighLevel.

    SOURCE_ID, its id in VoIPstudio, is CONTACT_ID there, or with --create nobody yet. Also one that is linked
    can be settled anew, once somebody has merged or deleted the other side of the link in HighLevel. The next
    sync carries it out.
    """
    if create == (contact_id is not None):
        raise click.UsageError("give either CONTACT_ID or --create")
    settings = configuration.load()
    settings.account(account)
    from tasks.engine.review import decide  # noqa: PLC0415 - SQLAlchemy, after the configuration is read
    from tasks.options import SyncOptions  # noqa: PLC0415

    asyncio.run(decide(account, source_id, contact_id, settings, SyncOptions(wait_seconds=wait)))
    if as_json:
        decision = contact_id or "create"
        click.echo(json.dumps({"account": account, "source_id": source_id, "decision": decision}))
    else:
        done = "is created" if create else f"is linked to {contact_id}"
        click.echo(f"contact {source_id} {done} by the next sync of {account}")
