"""Flow runs of a fleet that did not end: which of them died, and whose accounts wait for the others. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from tasks.engine.fleet import Standing


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A flow run that did not end.

    Attributes:
        id: in Prefect.
        accounts: whom it is to sync.
        lasts: seconds since a worker took it; 0: nobody has.
    """

    id: UUID
    accounts: frozenset[str]
    lasts: float = 0.0


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What these flow runs mean to the next fleet.

    Attributes:
        dead: those whose worker died, for all that the ledger shows.
        busy: accounts that are not to be started now.
        accounts: those of each flow run that lives.
    """

    dead: list[UUID] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)
    accounts: list[frozenset[str]] = field(default_factory=list)


def under_way(
    runs: Sequence[OpenRun], found: Collection[Standing], at_work: Collection[str], *, lost: float
) -> UnderWay:
    """Tell the dead from the living, and for whom the living are still there.

    An account that had its turn is not held up by another of its flow run that takes long. One that is in
    several is the youngest's: what is done for it tells nothing of the others.

    Args:
        runs: in the order in which they were made.
        found: how the fleet's accounts stand; of others it is not known when they were tried.
        at_work: accounts that somebody works for now.
        lost: seconds without any work after which a flow run is dead.
    """
    known = {one.account: one for one in found}
    alive = {one.account for one in found if one.tried_at and one.tried_at > one.as_of - lost} | {*at_work}
    youngest = {account: run.id for run in runs for account in run.accounts}
    told = UnderWay()
    for run in runs:
        its = {account for account in run.accounts if youngest[account] == run.id}
        if run.lasts > lost and run.accounts <= known.keys() and its.isdisjoint(alive):
            told.dead.append(run.id)
            continue
        waiting = {one for one in its if one not in known or not known[one].had_turn(run.lasts)}
        # where none of those is at work it may have died: the others then wait until that is certain
        told.busy.update(its if waiting.isdisjoint(at_work) else waiting)
        told.accounts.append(run.accounts)
    return told
