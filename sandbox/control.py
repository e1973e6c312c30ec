"""The control API under ``/_sandbox``: no authentication, no rate limit, no faults.

Both applications answer it, for both services. A noun and a method name an action; the payload is the query
of a GET or DELETE and the JSON body otherwise. ``Control.perform`` is the same without HTTP.

====== ======== ======================================================================================
method noun     does
====== ======== ======================================================================================
GET    info     credentials and ids (see ``scenario.begin``), CPU seconds of the process
GET    state    what a service holds: ``service``, ``entity`` (all when absent), ``location``
GET    counters requests, statuses, operations, writes, 429s and window peaks; DELETE starts anew
GET    until    HighLevel's count of requests, over HTTP once it is ``requests`` or after ``seconds``
GET    requests the recorded requests of both services in order; DELETE forgets them
GET    faults   the rules; POST adds one (fields of ``faults.Fault``); DELETE removes ``id`` or all
GET    options  what can be switched; POST switches (``voipstudio``, ``highlevel``, ``location``)
POST   items    inserts as a human would: ``service``, ``entity``, ``parent``, ``values``
PATCH  items    edits: the same and ``id``; DELETE deletes
POST   merge    merges contact ``lose`` into ``keep`` at the destination
POST   token    a new destination token: ``kind``, ``location``, ``scopes``, ``expires_in``
POST   revoke   makes a token (either service's) invalid
POST   spend    somebody else's ``requests`` on a ``location``'s budget (``today_only``)
POST   advance  moves the sandbox's clock by ``seconds``
POST   seed     more data: ``contacts``, ``strangers``, ``mirrored``, ``poison``, ``duplicates``
POST   reset    a new scenario (fields of ``scenario.Scenario``); credentials of one seed stay the same
====== ======== ======================================================================================
"""

from __future__ import annotations

import asyncio
import json
import resource
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from sandbox import asgi, control_items, seed, seed_location
from sandbox.scenario import Scenario, begin, set_fields
from sandbox.wire import Json, Reply, Row
from sandbox.world import Token

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.asgi import Receive, Scope, Send
    from sandbox.gate import Service
    from sandbox.highlevel import HighLevel
    from sandbox.voipstudio import VoipStudio

PREFIX = "/_sandbox"
LOCATION_OPTIONS = ("allow_duplicates", "active", "timezone", "country", "priority")
LIMIT_OPTIONS = ("burst", "interval", "daily", "used_today")


class Control:
    """Looks into both services and changes them from outside."""

    def __init__(self, voipstudio: VoipStudio, highlevel: HighLevel, scenario: Scenario) -> None:
        self.voipstudio = voipstudio
        self.highlevel = highlevel
        self.scenario = scenario
        self.credentials = begin(voipstudio, highlevel, scenario)
        self._actions: dict[tuple[str, str], Callable[[Row], Json]] = {
            ("GET", "info"): self._info,
            ("GET", "state"): lambda payload: control_items.state(voipstudio, highlevel, payload),
            ("GET", "counters"): self._counters,
            ("DELETE", "counters"): self._forget_counters,
            ("GET", "until"): lambda _payload: self.highlevel.journal.requests,
            ("GET", "requests"): self._requests,
            ("DELETE", "requests"): self._forget_requests,
            ("GET", "faults"): self._faults,
            ("POST", "faults"): self._add_fault,
            ("DELETE", "faults"): self._remove_faults,
            ("GET", "options"): self._options,
            ("POST", "options"): self._set_options,
            ("POST", "items"): lambda payload: control_items.insert(voipstudio, highlevel, payload),
            ("PATCH", "items"): lambda payload: control_items.edit(voipstudio, highlevel, payload),
            ("DELETE", "items"): lambda payload: control_items.delete(voipstudio, highlevel, payload),
            ("POST", "merge"): lambda payload: control_items.merge(highlevel, payload),
            ("POST", "token"): self._token,
            ("POST", "revoke"): self._revoke,
            ("POST", "spend"): self._spend,
            ("POST", "advance"): self._advance,
            ("POST", "seed"): self._seed,
            ("POST", "reset"): self._reset,
        }

    @property
    def services(self) -> tuple[Service, Service]:
        """Both services."""
        return self.voipstudio, self.highlevel

    def perform(self, method: str, noun: str, payload: Row | None = None) -> Json:
        """Carries out one action; a KeyError or ValueError says what is wrong with the payload."""
        action = self._actions.get((method, noun))
        if action is None:
            raise KeyError(f"no control action {method} {noun}")
        with self.voipstudio.lock, self.highlevel.lock:
            return action(payload or {})

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The actions over HTTP."""
        call = await asgi.read(scope, receive)
        if call is None:
            return
        try:
            given: Row = {name: call.one(name) for name in call.query}
            payload = json.loads(call.raw) if call.raw else given
            if call.path == f"{PREFIX}/until":
                await self._until(int(payload["requests"]), float(payload["seconds"]))
            status, answer = 200, self.perform(call.method, call.path.removeprefix(f"{PREFIX}/"), payload)
        except (KeyError, ValueError, TypeError) as error:
            status, answer = 400, {"error": f"{type(error).__name__}: {error}"}
        await asgi.send(Reply(status, answer), {}, send)

    async def _until(self, requests: int, seconds: float) -> None:
        until = time.monotonic() + seconds
        while self.highlevel.journal.requests < requests and time.monotonic() < until:  # noqa: ASYNC110 - no event
            await asyncio.sleep(0.002)

    def _info(self, _payload: Row) -> Json:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            **self.credentials,
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
            "peak_kb": usage.ru_maxrss,
        }

    def _counters(self, _payload: Row) -> Json:
        limits = {row.id: row.limits for row in self.highlevel.locations.values()}
        return {
            "voipstudio": self.voipstudio.journal.describe(),
            "highlevel": {
                **self.highlevel.journal.describe(),
                "throttled": sum(limit.refused for limit in limits.values()),
                "peaks": {location: limit.peak for location, limit in limits.items()},
                "used_today": {location: limit.used_today for location, limit in limits.items()},
            },
        }

    def _forget_counters(self, _payload: Row) -> Json:
        for service in self.services:
            service.journal.reset()
        for location in self.highlevel.locations.values():
            location.limits.peak = location.limits.refused = 0
        return {}

    def _requests(self, _payload: Row) -> Json:
        rows = [row for service in self.services for row in service.journal.recorded]
        return sorted(rows, key=lambda row: float(row["at"]))

    def _forget_requests(self, _payload: Row) -> Json:
        for service in self.services:
            service.journal.recorded.clear()
        return {}

    def _chosen(self, name: str) -> list[Service]:
        chosen = [service for service in self.services if name in ("*", service.name)]
        if not chosen:
            raise ValueError(f"unknown service {name!r}; known: voipstudio, highlevel, *")
        return chosen

    def _faults(self, _payload: Row) -> Json:
        return [rule.describe() for service in self.services for rule in service.faults.rules]

    def _add_fault(self, payload: Row) -> Json:
        name = payload.get("service", "highlevel")
        fields = {key: value for key, value in payload.items() if key != "service"}
        rules = [service.faults.add(service=service.name, **fields) for service in self._chosen(name)]
        return rules[0].describe()

    def _remove_faults(self, payload: Row) -> Json:
        for service in self._chosen(payload.get("service", "*")):
            service.faults.remove(int(payload["id"]) if payload.get("id") is not None else None)
        return {}

    def _options(self, _payload: Row) -> Json:
        places = {
            row.id: {
                **{name: getattr(row, name) for name in LOCATION_OPTIONS},
                **{name: getattr(row.limits, name) for name in LIMIT_OPTIONS},
            }
            for row in self.highlevel.locations.values()
        }
        common = [{"latency": item.latency, "record": item.journal.recording} for item in self.services]
        return {
            "voipstudio": {**asdict(self.voipstudio.options), **common[0]},
            "highlevel": {**asdict(self.highlevel.options), **common[1]},
            "locations": places,
        }

    def _set_options(self, payload: Row) -> Json:
        for name, service, options in (
            ("voipstudio", self.voipstudio, self.voipstudio.options),
            ("highlevel", self.highlevel, self.highlevel.options),
        ):
            values = dict(payload.get(name) or {})
            service.latency = values.pop("latency", service.latency)
            service.journal.recording = values.pop("record", service.journal.recording)
            set_fields(options, values)
        values = dict(payload.get("location") or {})
        location = control_items.location_of(self.highlevel, values.pop("id", None))
        for name, value in values.items():
            if name not in (*LOCATION_OPTIONS, *LIMIT_OPTIONS):
                raise ValueError(
                    f"unknown option {name!r}; known: {', '.join(LOCATION_OPTIONS + LIMIT_OPTIONS)}"
                )
            setattr(location if name in LOCATION_OPTIONS else location.limits, name, value)
        return self._options({})

    def _token(self, payload: Row) -> Json:
        scopes, expires_in = payload.get("scopes"), payload.get("expires_in")
        location = control_items.location_of(self.highlevel, payload.get("location"))
        token = Token(
            payload.get("kind", "pit"),
            location.company_id,
            location.id,
            None if scopes is None else frozenset(scopes),
            None if expires_in is None else self.highlevel.clock.now() + expires_in,
        )
        text = f"pit-{self.highlevel.ids.new()}{self.highlevel.ids.new()[:16]}"
        self.highlevel.tokens[text] = token
        return text

    def _revoke(self, payload: Row) -> Json:
        self.voipstudio.access.keys.pop(payload["token"], None)
        self.highlevel.refreshes.pop(payload["token"], None)
        self.voipstudio.access.bearers.pop(payload["token"], None)
        token = self.highlevel.tokens.get(payload["token"])
        if token is not None:
            token.expires_at = 0.0
        return {}

    def _spend(self, payload: Row) -> Json:
        location = control_items.location_of(self.highlevel, payload.get("location"))
        today_only = bool(payload.get("today_only"))
        location.limits.spend(self.highlevel.clock.now(), int(payload["requests"]), today_only=today_only)
        return {}

    def _advance(self, payload: Row) -> Json:
        for service in self.services:
            service.clock.advance(float(payload["seconds"]))
        return {}

    def _seed(self, payload: Row) -> Json:
        source = self.voipstudio.source
        location = control_items.location_of(self.highlevel, payload.get("location"))
        if payload.get("contacts"):
            seed.seed_source(source, contacts=payload["contacts"], seed=payload.get("seed", 7))
        mirrored = seed_location.mirror(self.highlevel, location, source, payload.get("mirrored", 0))
        return {
            "duplicates": seed.add_duplicates(source, payload.get("duplicates", 0)),
            "poisoned": seed.add_poison(source, payload.get("poison", 0)),
            "strangers": seed_location.populate(self.highlevel, location, payload.get("strangers", 0)),
            "mirrored": {str(source_id): contact_id for source_id, contact_id in mirrored.items()},
        }

    def _reset(self, payload: Row) -> Json:
        self.scenario = replace(self.scenario, **payload)
        self.credentials = begin(self.voipstudio, self.highlevel, self.scenario)
        return self.credentials
