"""Establishes the truth about writes whose outcome was never recorded: of this run, or of one that died.

What the destination shows is confirmed at once. That it does not show something is believed only some
time after the sending: the request may still be on its way. Then the record is sent again, by the same
path as any other. What cannot be established stays `unresolved` and is asked for again by the next run.
A change of what is there is sent again without more ado: what of it has arrived is seen by comparing.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from tasks.engine import outcome
from tasks.engine.children import ChildWriter
from tasks.engine.deeds import ARRIVED, deed, whole
from tasks.engine.intents import opened
from tasks.engine.routes import crossed
from tasks.engine.run import Run
from tasks.engine.seek import Seeker
from tasks.engine.shape import Bundle
from tasks.engine.write import CHILDREN, Writer
from tasks.errors import ApiError, NotFound
from tasks.ledger import records
from tasks.ledger.records import Record
from tasks.mapping.desired import Desired
from tasks.together import together

SENDINGS = 3
"""Sendings without an answer and without effect after which a record counts as refused."""


async def settle(run: Run, writer: Writer) -> int:
    """Settle all open intents; return how many there were."""
    found = [record for record in await opened(run) if not outcome.is_parting(record)]
    if not found:
        return 0
    changes = [record for record in found if record.destination_id is not None]
    asked = run.now()
    absent = await _absent(run, [record for record in found if record.destination_id is None])
    if await _wait(run, [*absent, *changes], asked):
        asked = run.now()
        absent = await _absent(run, absent)
    again = [record for record in [*absent, *changes] if await _due(run, record) <= asked]
    for record in again:
        if record.attempts >= SENDINGS:
            refused = _refused(record, run.now())
            await run.journal.save(refused, deeds=[deed(refused, "rejected", None, refused.payload)])
        elif record.destination_id is None:
            await run.journal.save(outcome.not_sent(record))
    await writer.load(_bundles([record for record in again if record.attempts < SENDINGS]))
    return len(found)


async def _absent(run: Run, asked: list[Record]) -> list[Record]:
    """Look for records at the destination; record those that are there, return those that are not.

    Contacts first: their children are looked for under them.
    """
    places = asyncio.Semaphore(run.account.destination.concurrency)

    async def look(record: Record) -> bool:
        async with places:
            return await _is_absent(run, record)

    absent: list[Record] = []
    for contacts in (True, False):
        some = [record for record in asked if (record.entity == "contacts") == contacts]
        missing = await together(map(look, some))
        absent += [record for record, gone in zip(some, missing, strict=True) if gone]
    run.check()
    return absent


async def _is_absent(run: Run, record: Record) -> bool:
    """Whether a record is certainly not there; one that could not be looked for stays unresolved."""
    if run.stop_reason:
        return False
    assert record.intent is not None  # noqa: S101 - selected for having one
    ours = record.intent["content"]
    try:
        found = await _find(run, record, ours)
    except ApiError:
        return False
    if found is None:
        return True
    done = outcome.synced(record, found, ours, record.fingerprint, run.now())
    if record.entity == "contacts":
        started = crossed(run, record, done, ours.get("tags", []))
        done = replace(done, origin="created")
    else:
        started = []
    deeds = [deed(done, "recovered", None, whole(ours), why=ARRIVED)]
    await run.journal.save(done, effects=started, deeds=deeds)
    run.findings.count(record.entity, "recovered")
    return False


async def _find(run: Run, record: Record, ours: dict[str, object]) -> str | None:
    if record.entity == "contacts":
        return await Seeker(run).probe(ours)
    parents = await run.database.look(
        lambda connection: records.load(connection, run.name, "contacts", [record.parent_id or ""])
    )
    parent = parents.get(record.parent_id or "")
    if parent is None or parent.destination_id is None:
        return None
    try:
        found = await ChildWriter(run, CHILDREN[record.entity], parent, {}).find(record.source_id, ours)
    except NotFound:
        if await Seeker(run).fresh(parent.destination_id) is not None:
            raise
        return None  # with its contact; the writer finds out what became of that
    return None if found is None else found[0]


def _refused(record: Record, at: float) -> Record:
    """A record that the service never answers, and certainly never takes."""
    why = record.error or "no answer came, and nothing arrived"
    error = ApiError(why, status=record.status or 0, reason="" if record.status else "no_answer")
    payload = record.intent["content"] if record.intent else None
    return outcome.rejected(record, error, payload, record.fingerprint, at)


async def _wait(run: Run, absent: list[Record], asked: float) -> bool:
    """Wait until absence means something, but not for the search index; tell whether it is to be asked again.

    What was ``asked`` before that moment, however shortly, told nothing.
    """
    latest = run.now() + run.account.destination.settle_seconds
    due = [instant for record in absent if asked < (instant := await _due(run, record)) <= latest]
    if not due or run.rehearsal:
        return False  # what may still be on its way stays unknown
    while (pause := max(due) - run.now()) > 0:
        run.check()
        await run.destination_wire.sleep(min(pause, 1.0))
    return True


async def _due(run: Run, record: Record) -> float:
    """When it may be believed that what the destination does not show is not there, by the ledger's clock."""
    assert record.intent is not None  # noqa: S101 - selected for having one
    settings, sent = run.account.destination, float(record.intent["at"])
    if record.entity != "contacts" or record.destination_id is not None:
        return sent + settings.settle_seconds
    if (await run.location()).allows_duplicates:
        return sent + max(settings.settle_seconds, settings.search_lag_seconds)
    return sent  # the location itself keeps a second one out


def _bundles(again: list[Record]) -> list[Bundle]:
    """What certainly was not done, as work for the writer."""
    found: dict[str, Bundle] = {}
    for record in again:
        assert record.intent is not None  # noqa: S101
        contact_id = record.source_id if record.entity == "contacts" else record.parent_id or ""
        bundle = found.setdefault(contact_id, Bundle(contact_id))
        desired = Desired(record.entity, record.source_id, record.parent_id, record.intent["content"])
        bundle.fingerprints[record.key] = record.fingerprint or ""
        if record.entity == "contacts":
            bundle.contact = desired
        else:
            bundle.children.setdefault(record.entity, []).append(desired)
    return list(found.values())
