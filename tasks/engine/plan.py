"""Makes plans: what a run would write, rehearsed, sealed and kept until it is applied or old.

A plan's checksum is SHA-256 over its items, in order, and then over all that is said about it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from tasks.engine.carry import Carrier
from tasks.engine.conclude import tell_open
from tasks.engine.foreseen import beside
from tasks.engine.merge import digest
from tasks.engine.opening import dated
from tasks.engine.plan_items import Foreseen, Item
from tasks.engine.rehearsal import Rehearsal, rehearsing
from tasks.engine.report import OPEN, Status, entity_counts
from tasks.engine.run import Run
from tasks.engine.steps import Steps, open_steps, turn
from tasks.ledger import plans, records, scratch
from tasks.ledger.plans import Plan
from tasks.ledger.records import Outline
from tasks.mapping.rules import Rules
from tasks.options import SyncOptions
from tasks.redaction import redact_text
from tasks.settings import ENTITIES, Account, Settings

UNDO = "undo"
"""The kind of a plan that takes a run back."""
SHOWN = 100
"""Ambiguous contacts that a plan names."""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """What a plan comes to, without a value of anybody's: those stay in the plan."""

    plan_id: str
    account: str
    kind: str
    status: Status
    created_at: float
    checksum: str
    about: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The JSON document of the interface, without the items."""
        return {**asdict(self), "about": dict(self.about)}


def mapping_version(name: str, account: Account) -> str:
    """A digest of all that decides what is made of a source record, and of what becomes of it."""
    return digest([repr(Rules.of(name, account)), account.mapping.model_dump(mode="json")])


def canonical(value: Any) -> bytes:  # noqa: ANN401 - any JSON
    """JSON that is the same for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


@dataclass(slots=True)
class Checksum:
    """Of a plan, taken in item by item, so that a plan need not be in memory."""

    _sum: Any = field(default_factory=hashlib.sha256)

    def add(self, item: Any) -> None:  # noqa: ANN401 - any JSON
        """Take in the next item."""
        self._sum.update(canonical(item) + b"\n")

    def whole(self, plan: Plan) -> str:
        """The checksum, with what is said about the plan."""
        said = {"id": plan.id, "account": plan.account, "kind": plan.kind, "created_at": plan.created_at}
        ended = self._sum.copy()
        ended.update(canonical({**said, "about": dict(plan.about)}))
        return str(ended.hexdigest())


async def plan_of(steps: Steps, items: Sequence[Item], *, kind: str, told: Sequence[str] = ()) -> PlanReport:
    """Rehearse items, and keep what carrying them out comes to as a plan.

    Args:
        steps: of an open run; its ledger and its destination are as before afterwards.
        items: what is to be done, by source contact.
        kind: what the plan is for, such as ``undo``.
        told: sentences about what is not in it.
    """
    run = steps.run
    run.undoing = kind == UNDO
    async with rehearsing(run) as rehearsal:
        carrier = Carrier(Steps(run), deletes=True)
        await run.learn()
        for start in range(0, len(items), plans.BLOCK):
            await run.step_aside()
            await carrier.block(items[start : start + plans.BLOCK])
        await carrier.end()
        await tell_open(run)
        return await seal(run, rehearsal, kind=kind, told=told)


async def plan_once(account: str, options: SyncOptions, settings: Settings | None = None) -> PlanReport:
    """Plan a sync of an account without Prefect."""
    async with open_steps(account, options, settings, kind="plan") as steps, rehearsing(steps.run):
        await turn(steps)
        return await keep(steps)


async def keep(steps: Steps) -> PlanReport:
    """Keep what was rehearsed as a plan, and how the run ended."""
    notes = steps.run.rehearsal
    assert isinstance(notes, Rehearsal)  # noqa: S101 - narrows the type
    await steps.conclude()
    return await seal(steps.run, notes, kind="plan", first=steps.ends_history)


async def seal(
    run: Run, rehearsal: Rehearsal, *, kind: str, told: Sequence[str] = (), first: bool = False
) -> PlanReport:
    """Put together what was noted in a rehearsal, and keep it as a plan.

    Args:
        run: while it is rehearsed.
        rehearsal: who took the notes.
        kind: what the plan is for.
        told: sentences about what is not in it.
        first: whether carrying it out is the account's first complete sync.
    """
    plan = Plan(
        id=dated(at := run.now()),
        account=run.name,
        kind=kind,
        state=plans.MAKING,
        created_at=round(at, 3),
        checksum="",
        about={},
    )
    await run.state.do(partial(plans.begin, plan=plan))
    contacts = await run.database.look(scratch.noted_contacts)
    checksum, number = Checksum(), 0
    for start in range(0, len(contacts), plans.BLOCK):
        block = contacts[start : start + plans.BLOCK]
        noted = await run.database.look(partial(scratch.notes_of, contacts=block))
        every = [(one, _put_together(one, noted[one])) for one in block]
        keys = [(entity, source_id) for _, item in every for entity, source_id, _ in item["met"]]
        now = await run.database.look(partial(records.outlines, account=run.name, keys=keys))
        made = [(one, item) for one, item in every if _does_something(item, now)]
        for _, item in made:
            checksum.add(item)
        await run.state.do(partial(plans.add, plan_id=plan.id, first=number, items=made))
        number += len(made)
    open_records = await run.database.look(partial(records.count_by_state, account=run.name, settled=False))
    about = await _about(run, rehearsal, open_records, kind=kind, told=told)
    plan = replace(plan, state=plans.MADE, about={**about, "items": number, "first": first})
    plan = replace(plan, checksum=checksum.whole(plan))
    await run.state.do(partial(plans.finish, plan=plan))
    unsettled = any(open_records.get((entity, state)) for entity in ENTITIES for state in OPEN)
    status: Status = "degraded" if unsettled or run.findings.degraded else "ok"
    return PlanReport(plan.id, plan.account, plan.kind, status, plan.created_at, plan.checksum, plan.about)


async def _about(
    run: Run,
    rehearsal: Rehearsal,
    open_records: dict[tuple[str, str], int],
    *,
    kind: str,
    told: Sequence[str],
) -> dict[str, Any]:
    """What is said about a plan besides its items."""
    ambiguous = await run.database.look(partial(records.ambiguous, account=run.name, most=SHOWN))
    reads = run.destination_wire.tally.reads - rehearsal.reads_before
    writes = sum(_requests(rehearsal.operations))
    quota, options = run.quota, run.options.model_dump(mode="json", exclude={"wait_seconds"})
    return {
        "run_id": run.id,
        "walk": run.walk,
        "options": options if kind == "plan" else {"mode": options["mode"]},
        "mapping": mapping_version(run.name, run.account),
        "location_id": run.account.destination.location_id,
        "source": rehearsal.source.hexdigest(),
        "fields": rehearsal.fields,
        "entities": entity_counts(run.findings, open_records),
        "operations": dict(sorted(rehearsal.operations.items())),
        "requests": {"writes": writes, "reads": reads},
        "seconds": round(max(0, writes + reads - quota.limit) * quota.window / quota.limit, 1),
        "ambiguous": [
            {"source_id": one.source_id, "candidates": (one.payload or {}).get("candidates", [])}
            for one in ambiguous
        ],
        "told": [redact_text(one) for one in told],
        "warnings": [redact_text(one) for one in run.findings.all_warnings()],
    }


def _requests(operations: Mapping[str, int]) -> Iterable[int]:
    """Those that the location's quota counts."""
    return (number for name, number in operations.items() if name not in ("event", "webhook"))


def _put_together(contact_id: str, noted: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """One source contact's item, of what was noted about it."""
    bundle: dict[str, Any] = {"contact_id": contact_id, "contact": None, "children": {}, "fingerprints": []}
    met: list[list[str | None]] = []
    places: dict[str, list[list[str]]] = {"release": [], "part": []}
    operations: list[dict[str, Any]] = []
    first: dict[tuple[str, str, str], dict[str, Any]] = {}
    for kind, note in noted:
        match kind:
            case "bundle":
                bundle, met = note["bundle"], met or note["met"]
            case "release":
                places["release"].append(note)
            case "part":
                places["part"] += note
            case "operation":
                operations.append(note)
            case "stood":
                first.setdefault((note["entity"], note["source_id"], note["target"]), note["form"])
    stood = []
    for (entity, source_id, target), form in first.items():
        ours = [
            Foreseen(**one)
            for one in operations
            if (one["entity"], one["source_id"], one["target"]) == (entity, source_id, target)
            and not one["name"].startswith("create-")
        ]
        stood.append([entity, source_id, target, beside(form, ours)])
    return {"bundle": bundle, "met": met, **places, "operations": operations, "stood": stood}


def _does_something(item: Mapping[str, Any], now: Mapping[tuple[str, str], Outline]) -> bool:
    """Whether carrying an item out changes more than the ledger's memory of the source."""
    if item["operations"] or item["release"] or item["part"]:
        return True
    known = [(entity, source_id) for entity, source_id, _ in item["met"]]
    return len(known) < len(item["bundle"]["fingerprints"]) or any(
        now[key].state != "synced" for key in known
    )
