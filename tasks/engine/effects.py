"""Does what routes start: enrols contacts in workflows, emits events, calls webhooks; once in effect.

An effect was recorded with the state of its contact. Before it leaves, that is durable (`sent`); what came of
it is recorded at once. One of unknown outcome is sent again: a webhook under the same idempotency key, an
event under the same id, and an enrolment because HighLevel ignores, with success, that of a contact who is
still active in the workflow (measured by integrators). The window that remains: a workflow that has ended for
the contact between the two sendings, and that allows re-entry, is begun once more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from tasks.engine import outcome
from tasks.engine.deeds import routed
from tasks.engine.foreseen import of_effect
from tasks.engine.routes import action_of
from tasks.engine.run import Run
from tasks.engine.subject import about
from tasks.errors import ApiError, Fatal, NotFound, OutcomeUnknown, RejectedRecord, ServiceUnavailable
from tasks.ledger import effects
from tasks.ledger.effects import Due, Effect
from tasks.mapping_settings import Route
from tasks.together import together

BLOCK = 500
"""Effects under way together."""
SENDINGS = 2
"""How often an enrolment without an answer is sent within a run: the sooner, the smaller is the window."""


@dataclass(frozen=True, slots=True)
class Event:
    """What the shell is asked to emit; the same id means the same event, however often it is emitted."""

    id: str
    name: str
    at: datetime
    resource: dict[str, str]
    location: dict[str, str]
    payload: dict[str, str]


Emitter = Callable[[Sequence[Event]], Awaitable[None]]
"""Emits events and returns once they are received; what it raises says that they may not be."""


@dataclass(frozen=True, slots=True)
class _Ready:
    """An effect whose route and contact are there."""

    effect: Effect
    route: Route
    contact_id: str


@dataclass(slots=True)
class Effects:
    """The open effects of one account, each tried once a run."""

    run: Run
    emit: Emitter | None = None
    """Where events go; without a shell that takes them, they wait."""
    allows: Callable[[Effect], Awaitable[bool]] | None = None
    """Says whether an effect may be performed; others wait."""
    _down: set[tuple[str, str]] = field(default_factory=set)
    """What gave no useful answer in this run: its effects wait for the next."""
    _waiting: set[str] = field(default_factory=set)
    """Keys of effects that may not be performed."""

    async def perform(self) -> None:
        """Do what is due, in a run that fires routes.

        Raises:
            Fatal: the run cannot go on; what is open stays so.
        """
        while self.run.fires and (found := await self._due()):
            self.run.check()
            ready = [one for due in found if (one := self._ready(due))]
            known = {one.effect.key for one in ready}
            lost = [due.effect for due in found if due.effect.key not in known]
            dropped = [_ended(effect, "dropped") for effect in lost]
            told = [one for effect in dropped for one in routed(effect, None, None)]
            await self.run.journal.save(effects=dropped, deeds=told)
            await self._emit([one for one in ready if one.effect.action == "event"])
            queue = deque(one for one in ready if one.effect.action != "event")
            places = min(len(queue), self.run.account.destination.concurrency)
            await together(self._work(queue) for _ in range(places))
            self.run.check()

    async def _due(self) -> list[Due]:
        """What is due and may be performed; what may not is passed over."""
        while True:
            found = [one for one in await self._open() if one.effect.key not in self._waiting]
            if self.allows is not None:
                self._waiting |= {one.effect.key for one in found if not await self.allows(one.effect)}
            chosen = [one for one in found if one.effect.key not in self._waiting]
            if chosen or not found:
                return chosen

    async def _open(self) -> list[Due]:
        run = self.run
        return await run.database.look(
            lambda connection: effects.due(
                connection,
                run.name,
                before=run.walk,
                now=outcome.NEVER if run.full else run.now(),
                without=self._down,
                actions=("workflow", "webhook", *(("event",) if self.emit or run.rehearsal else ())),
                most=BLOCK + len(self._waiting),
            )
        )

    def _ready(self, due: Due) -> _Ready | None:
        effect = due.effect
        for route in self.run.account.mapping.routes:
            same = (route.tag, route.when, *action_of(route))
            if due.contact_id and same == (effect.tag, effect.when, effect.action, effect.target):
                return _Ready(effect, route, due.contact_id)
        return None

    async def _work(self, queue: deque[_Ready]) -> None:
        while queue and not self.run.stop_reason:
            one = queue.popleft()
            if (one.effect.action, one.effect.target) in self._down:
                continue
            sent = replace(one.effect, state="sent", tried=self.run.walk)
            await self.run.journal.save(effects=[sent])
            with about("contacts", one.effect.source_id):
                ended = await self._do(replace(one, effect=sent))
            told = routed(ended, one.effect, one.contact_id)
            await self.run.journal.save(effects=[ended], deeds=told)

    async def _do(self, one: _Ready) -> Effect:
        """Do it, and say how it ended."""
        try:
            if one.effect.action == "workflow":
                await self._enrol(one)
            else:
                await self._call(one)
        except NotFound as error:
            gone = await self._is_gone(one)
            return _ended(one.effect, "dropped") if gone else _refused(one.effect, error, self.run.now())
        except OutcomeUnknown as error:
            return _unknown(one.effect, error, self.run.now())
        except ApiError as error:
            return _refused(one.effect, error, self.run.now())
        return _ended(one.effect, "done")

    async def _enrol(self, one: _Ready) -> None:
        workflow = (await self.run.learn()).workflows.get(one.effect.target)
        if workflow is None:
            raise RejectedRecord("the location has no such workflow", reason="unknown_workflow")
        for sending in range(1, SENDINGS + 1):
            try:
                return await self.run.api.enrol_in_workflow(one.contact_id, workflow)
            except OutcomeUnknown:
                if sending == SENDINGS:
                    raise
        return None

    async def _is_gone(self, one: _Ready) -> bool:
        """Whether it is the contact that is not there, rather than the workflow."""
        try:
            await self.run.api.get_contact(one.contact_id)
        except NotFound:
            return True
        except ApiError:
            pass
        return False

    async def _call(self, one: _Ready) -> None:
        if self.run.rehearsal:
            return await self.run.rehearsal.effect(of_effect(one.effect, one.contact_id, None))
        message = {**self._ids(one), "id": one.effect.key, "at": _moment(one.effect).isoformat()}
        try:
            await self.run.webhooks.of(one.route).post(message, one.effect.key)
        except ServiceUnavailable as error:
            self._down.add((one.effect.action, one.effect.target))
            raise OutcomeUnknown(str(error)) from None
        except Fatal as error:  # fatal for the webhook, not for the run
            raise RejectedRecord(str(error), reason="redirected") from None

    async def _emit(self, ready: Sequence[_Ready]) -> None:
        """Hand events to the shell, all that are due at once."""
        if self.run.rehearsal:
            for one in ready:
                await self.run.rehearsal.effect(of_effect(one.effect, one.contact_id, None))
            await self.run.journal.save(effects=[_ended(one.effect, "done") for one in ready])
            return
        if not ready or self.emit is None:
            return
        sent = [replace(one.effect, state="sent", tried=self.run.walk) for one in ready]
        await self.run.journal.save(effects=sent)
        try:
            await self.emit([self._event(one) for one in ready])
        except Exception as error:  # noqa: BLE001 - Prefect's client raises whatever it met
            unknown = OutcomeUnknown(f"Prefect takes no events ({type(error).__name__})")
            ended = [_unknown(effect, unknown, self.run.now()) for effect in sent]
        else:
            ended = [_ended(effect, "done") for effect in sent]
        told = [
            deed
            for one, last in zip(ready, ended, strict=True)
            for deed in routed(last, one.effect, one.contact_id)
        ]
        await self.run.journal.save(effects=ended, deeds=told)

    def _event(self, one: _Ready) -> Event:
        location = self.run.account.destination.location_id
        return Event(
            id=one.effect.key,
            name=one.effect.target,
            at=_moment(one.effect),
            resource={"prefect.resource.id": f"voipsync.contact.{self.run.name}.{one.contact_id}"},
            location={
                "prefect.resource.id": f"voipsync.location.{location}",
                "prefect.resource.role": "location",
            },
            payload=self._ids(one),
        )

    def _ids(self, one: _Ready) -> dict[str, str]:
        """Who and what it is about, without a word about the person."""
        return {
            "account": self.run.name,
            "location_id": self.run.account.destination.location_id,
            "contact_id": one.contact_id,
            "source_id": one.effect.source_id,
            "tag": one.effect.tag,
            "when": one.effect.when,
        }


def _ended(effect: Effect, state: str) -> Effect:
    """It is done, or there is nothing left to do it for."""
    return replace(effect, state=state, next_attempt_at=None, reason=None, error=None)


def _unknown(effect: Effect, error: OutcomeUnknown, at: float) -> Effect:
    """It has left, and may have happened: it is sent again."""
    return replace(_refused(effect, error, at), state="sent", reason="unknown_outcome")


def _refused(effect: Effect, error: ApiError, at: float) -> Effect:
    """It is kept with the reason, and tried again: by the next runs, later in growing intervals."""
    attempts = effect.attempts + 1
    return replace(
        effect,
        state="failed",
        attempts=attempts,
        next_attempt_at=outcome.next_attempt(attempts, at),
        reason=error.reason[:40],
        error=str(error),
    )


def _moment(effect: Effect) -> datetime:
    return datetime.fromtimestamp(effect.at, UTC)
