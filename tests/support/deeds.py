"""What the history of a ledger tells."""

from __future__ import annotations

from functools import partial

from sqlalchemy import func, select

from tasks.ledger import history
from tasks.ledger.database import opened
from tasks.ledger.history import Told
from tasks.ledger.tables import history as table
from tasks.ledger.tables import runs


def told(url: str, source_id: object, entity: str = "contacts") -> list[Told]:
    """What was done about a record of ``acme``."""
    look = partial(history.of_record, account="acme", entity=entity, source_id=str(source_id))
    with opened(url) as database:
        return database.now_look(look)


def actions(url: str, source_id: object, entity: str = "contacts") -> list[str]:
    """The words for it."""
    return [one.deed.action for one in told(url, source_id, entity)]


def rows(url: str) -> int:
    """How many deeds are kept."""
    with opened(url) as database:
        return int(
            database.now_look(lambda one: one.execute(select(func.count(table.c.number))).scalar_one())
        )


def last_run(url: str) -> str:
    """The id of the run that began last."""
    with opened(url) as database:
        query = select(runs.c.id).order_by(runs.c.started_at.desc()).limit(1)
        return str(database.now_look(lambda one: one.execute(query).scalar_one()))
