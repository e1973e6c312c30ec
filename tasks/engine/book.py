"""What a plan foresees, looked up while it is carried out; and who holds against it what would leave."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from pydantic import BaseModel

from tasks.engine.foreseen import MANY, ONE, changed_since, covers, foresee, form_of, of_effect
from tasks.engine.plan_items import Foreseen, contact_of
from tasks.engine.run import Run
from tasks.engine.subject import Subject, subject
from tasks.errors import ConfigurationError, NotPlanned, RejectedRecord
from tasks.highlevel.caller import Caller
from tasks.highlevel.operations import OPERATIONS
from tasks.highlevel.requests import CreateCustomField, Request
from tasks.ledger import plans
from tasks.ledger.effects import Effect
from tasks.ledger.plans import Plan

REMEMBERED = 1_000
"""Source contacts whose part of the plan is kept at hand."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a plan foresees for one source contact and its activities.

    Attributes:
        operations: the requests.
        stood: fingerprints of what stood at the destination, by entity, source id and destination id.
    """

    operations: tuple[Foreseen, ...] = ()
    stood: Mapping[tuple[str, str, str], str] = field(default_factory=dict)


@dataclass(slots=True)
class Book:
    """A plan, sheet by sheet."""

    run: Run
    plan: Plan
    _sheets: OrderedDict[str, Sheet] = field(default_factory=OrderedDict)

    async def of(self, contact_id: str) -> Sheet:
        """Return what is foreseen for a source contact."""
        if contact_id not in self._sheets:
            look = partial(plans.item_of, plan_id=self.plan.id, contact_id=contact_id)
            kept = await self.run.state.look(look) or {"operations": [], "stood": []}
            self._sheets[contact_id] = Sheet(
                tuple(Foreseen(**one) for one in kept["operations"]),
                {(entity, source_id, target): mark for entity, source_id, target, mark in kept["stood"]},
            )
            if len(self._sheets) > REMEMBERED:
                self._sheets.popitem(last=False)
        return self._sheets[contact_id]

    async def allows(self, effect: Effect) -> bool:
        """Whether the plan foresees what a route is about to start."""
        workflow = None
        if effect.action == "workflow":
            workflow = (await self.run.learn()).workflows.get(effect.target)
        wanted = of_effect(effect, "", workflow)
        sheet = await self.of(effect.source_id)
        return any((one.name, one.write) == (wanted.name, wanted.write) for one in sheet.operations)


@dataclass(frozen=True, slots=True)
class Checked:
    """Stands before the destination, and lets only pass what the plan foresees."""

    run: Run
    book: Book
    service: Caller

    async def call(
        self,
        name: str,
        *,
        path: Mapping[str, str] | None = None,
        query: Mapping[str, Any] | None = None,
        body: Request | Mapping[str, Any] | None = None,
    ) -> BaseModel:
        """Run an operation.

        Raises:
            NotPlanned: the plan does not foresee it; or what was read is not what it was then.
        """
        now = subject()
        if OPERATIONS[name].writes:
            await self._check(name, now, path or {}, body)
            return await self._send(name, now, path, body)
        answer = await self.service.call(name, path=path, query=query, body=body)
        if now is not None:
            await self._compare(name, now, answer)
        return answer

    async def _send(
        self,
        name: str,
        now: Subject | None,
        path: Mapping[str, str] | None,
        body: Request | Mapping[str, Any] | None,
    ) -> BaseModel:
        """Send, and remember that something of the record has left, unless it certainly had no effect."""
        try:
            answer = await self.service.call(name, path=path, body=body)
        except RejectedRecord:
            raise
        except BaseException:
            if now is not None:
                now.sent = True
            raise
        if now is not None:
            now.sent = True
        return answer

    async def _check(
        self,
        name: str,
        now: Subject | None,
        path: Mapping[str, str],
        body: Request | Mapping[str, Any] | None,
    ) -> None:
        if isinstance(body, CreateCustomField):
            if body.name not in self.book.plan.about["fields"]:
                raise NotPlanned(f"the custom field {body.name!r} is missing, which the plan does not make")
            return
        location = await self.run.known_location()
        if now is None or location is None or not isinstance(body, Request | None):
            raise ConfigurationError(f"{name} is about no record, so no plan can foresee it")
        wanted = foresee(name, now, path, body, location)
        sheet = await self.book.of(contact_of(now.source_id))
        if not any(covers(one, wanted) for one in sheet.operations):
            raise NotPlanned("would be written otherwise now than the plan says")

    async def _compare(self, name: str, now: Subject, answer: BaseModel) -> None:
        """Raise where a record that is to be written holds something else than it did."""
        location = await self.run.known_location()
        if location is None or name not in (*ONE, *MANY):
            return
        sheet = await self.book.of(contact_of(now.source_id))
        for one in _records(name, answer):
            key = (now.entity, now.source_id, str(getattr(one, "id", "")))
            fingerprint = sheet.stood.get(key)
            form = form_of(one, location) if fingerprint else None
            if fingerprint is None or form is None:
                continue
            ours = [each for each in sheet.operations if (each.entity, each.source_id, each.target) == key]
            if changed := changed_since(form, ours, fingerprint):
                raise NotPlanned(
                    f"was changed at the destination since the plan was made ({', '.join(sorted(changed))})"
                )


def _records(name: str, answer: BaseModel) -> Iterable[BaseModel]:
    return [answer] if name in ONE else getattr(answer, next(iter(type(answer).model_fields)))
