"""The open intents that a run finds, each with the latest moment at which it may have left."""

from __future__ import annotations

from functools import partial

from tasks.engine import outcome
from tasks.engine.run import Run
from tasks.ledger import records
from tasks.ledger.records import Record
from tasks.together import together


async def opened(run: Run) -> list[Record]:
    """Return the records with an open intent, contacts first.

    An intent is written down before its request waits for the quota. Of a run that ended before it had an
    answer, that may have left as late as the run had the location.
    """
    known = await run.database.look(partial(records.with_intent, account=run.name))
    found = [outcome.cut_off(record, run.handed_over, run.now()) for record in known]
    later = [after for before, after in zip(known, found, strict=True) if after != before]
    await together(map(run.journal.save, later))
    return found
