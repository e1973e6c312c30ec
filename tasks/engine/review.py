"""Contacts whose identity a person is to settle: which they are, and how what was decided is kept.

A decision is a note in the record; the next sync carries it out, and whatever happens to that run, the
note stays until the contact is linked.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import Any

from tasks.engine import outcome
from tasks.engine.conclude import conclude
from tasks.engine.deeds import deed
from tasks.engine.gone import release
from tasks.engine.opening import open_run
from tasks.engine.run import Run
from tasks.engine.seek import Seeker
from tasks.errors import ConfigurationError, NotFound
from tasks.identity.resolve import CREATING, linked_by, linking
from tasks.ledger import migrate, records
from tasks.ledger.database import Database
from tasks.ledger.records import Record
from tasks.options import SyncOptions
from tasks.settings import Settings

SHOWN = 10
"""Source ids that an error names."""


def to_review(database: Database, account: str) -> list[dict[str, Any]]:
    """Return what ``voipsync review --json`` shows: ids, and which key of a candidate matches."""
    if database.now_look(migrate.level) != migrate.HEAD:
        database.now_do(migrate.upgrade)
    return [_shown(record) for record in database.now_look(partial(records.ambiguous, account=account))]


async def decide(
    account: str, source_id: str, contact_id: str | None, settings: Settings, options: SyncOptions
) -> None:
    """Keep a person's decision: a source contact is this contact, or (None) is to be created.

    It may be linked already, where the contact that it is linked to was merged or deleted at the destination.

    Raises:
        ConfigurationError: there is nothing to decide about it, or no such contact in the location.
    """
    async with open_run(account, settings, options, kind="link") as run:
        try:
            await _decide(run, source_id, contact_id)
        except BaseException as error:
            await asyncio.shield(conclude(run, error))
            raise
        await conclude(run)


async def _decide(run: Run, source_id: str, contact_id: str | None) -> None:
    find = partial(records.load, account=run.name, entity="contacts", ids=[source_id])
    record = (await run.database.look(find)).get(source_id)
    if record is None:
        raise ConfigurationError(f"contact {source_id} is not known: {await _known(run)}")
    if record.destination_id is not None and record.state != "left":
        await _check_gone(run, record)
    elif record.state not in ("ambiguous", "left") and record.decision is None:
        raise ConfigurationError(
            f"contact {source_id} is {record.state}, there is nothing to decide: {await _known(run)}"
        )
    if contact_id is not None:
        await _check_there(run, contact_id)
    decision = CREATING if contact_id is None else linking(contact_id)
    if record.destination_id is not None:
        await Seeker(run).book(await run.learn()).remove(record.destination_id)
        await release(run, record, {}, decision=decision, why=f"a person decided: {decision}")
        return
    decided = replace(record, decision=decision, fingerprint=None, next_attempt_at=None, activities_at=None)
    await run.journal.save(decided, deeds=[deed(decided, "decided", why=f"a person decided: {decision}")])


async def _check_gone(run: Run, record: Record) -> None:
    """A contact that is at the destination keeps its link; one that was merged or deleted there does not."""
    linked = f"contact {record.source_id} is linked already, to {record.destination_id}"
    if record.intent is not None:
        raise ConfigurationError(
            f"{linked}, and what it was sent last is open: run `voipsync sync {run.name}` first"
        )
    if await Seeker(run).fresh(record.destination_id or "") is not None:
        raise ConfigurationError(f"{linked}, which is there: merge it in HighLevel into the other one first")


async def _check_there(run: Run, contact_id: str) -> None:
    nowhere = f"there is no contact {contact_id} in the location"
    try:
        contact = await run.api.get_contact(contact_id)
    except NotFound:
        raise ConfigurationError(nowhere) from None
    if contact.location_id not in (None, run.account.destination.location_id):
        raise ConfigurationError(nowhere)


async def _known(run: Run) -> str:
    """Who could have been meant."""
    known = await run.database.look(partial(records.ambiguous, account=run.name, most=SHOWN + 1))
    named = ", ".join(record.source_id for record in known[:SHOWN])
    more = ", …" if len(known) > SHOWN else ""
    return f"`voipsync review {run.name}` lists " + (f"{named}{more}" if named else "none")


def _shown(record: Record) -> dict[str, Any]:
    payload = record.payload or {}
    matched: dict[str, list[str]] = payload.get("matched", {})
    decided = linked_by(record.decision) or CREATING if record.decision else None
    return {
        "source_id": record.source_id,
        "reason": "deleted at the destination" if record.reason == outcome.DELETED else record.error,
        "candidates": [{"id": one, "matched": matched.get(one, [])} for one in payload.get("candidates", [])],
        "decision": decided,
    }
