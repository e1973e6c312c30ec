"""Notes in the ledger which activities the source no longer shows, where it was certain to show all.

Only a list that was read whole says what is missing in it. What stands in for a stream is judged only while
the stream is absent, and what the stream gave only while it is read: an account whose endpoints come or go
loses nothing by that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from sqlalchemy import Connection

from tasks.engine.run import Run
from tasks.ledger import vanished
from tasks.mapping import stand_ins
from tasks.voipstudio.models import Contact, parse_rows

STAND_INS = {"notes": ("notes", ("notes",)), "tasks": ("next_call_at", ("next_call_at", "nextCallAt"))}
"""The end of a stand-in's source id, and the contact's field under each of its names."""
ENDS = frozenset(end for end, _ in STAND_INS.values())


@dataclass(slots=True)
class Missing:
    """What one run finds missing.

    Attributes:
        found: delivered records that are missing, by entity.
    """

    run: Run
    found: Counter[str] = field(default_factory=Counter)

    def lists(
        self, connection: Connection, whole: Mapping[str, Collection[str]], shown: Collection[tuple[str, str]]
    ) -> None:
        """Compare with lists.

        Args:
            connection: to the ledger.
            whole: of each entity, the contacts whose list was read whole.
            shown: entity and source id of what the lists showed.
        """
        for entity, parents in whole.items():
            ids = {source_id for one, source_id in shown if one == entity}
            self.found[entity] += vanished.note_lists(
                connection, self.run.name, entity, parents, ids, self._walk, besides=ENDS
            )

    async def stand_ins(self, rows: Mapping[str, Mapping[str, Any]], absent: frozenset[str]) -> None:
        """Compare with contacts' own fields, for streams that the account does not have."""
        for entity in absent & set(STAND_INS):
            end, names = STAND_INS[entity]
            told = {f"{key}/{end}": row for key, row in rows.items() if any(name in row for name in names)}
            await self.run.database.do(partial(self._compare, entity=entity, told=told))

    def _compare(self, connection: Connection, entity: str, told: Mapping[str, Mapping[str, Any]]) -> None:
        known = vanished.known_of(connection, self.run.name, entity, told)
        shown = {}
        for source_id in known:
            models, _ = parse_rows(Contact, [told[source_id]])
            if models:
                made = stand_ins.stand_ins(models[0], self.run.rules)
                shown[source_id] = any(one.source_id == source_id for one in made)
        self.found[entity] += vanished.note_ids(connection, self.run.name, entity, shown, self._walk)

    @property
    def _walk(self) -> int | None:
        return self.run.walk if self.run.account.mapping.activity_deletes == "delete" else None
