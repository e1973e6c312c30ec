"""The ASGI side of a modelled service: reads a request, lets faults happen, answers, keeps the counts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from sandbox import asgi
from sandbox.clock import Clock
from sandbox.faults import Fault, Faults
from sandbox.wire import Call, Json, Refusal, Reply, Row

if TYPE_CHECKING:
    from sandbox.asgi import Receive, Scope, Send

GARBAGE = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/html\r\n"
    b"X-Limit: \x01\x02 exceeded\r\nthis line is no header\r\n\r\n<html>Too many requests</html>"
)
PAGE = b"<!DOCTYPE html><html><head><title>%d</title></head><body><h1>%s</h1></body></html>"
AFTER = {"commit_then_status", "commit_then_drop", "commit_then_hang", "truncate"}


@dataclass
class Journal:
    """What a service has seen: counters, and whole requests when recording is on."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    in_flight: int = 0
    peak_in_flight: int = 0
    recording: bool = False
    recorded: list[Row] = field(default_factory=list)

    def reset(self) -> None:
        """Counts from zero again; recording stays as it is."""
        self.__init__(recording=self.recording, in_flight=self.in_flight)  # type: ignore[misc]

    def describe(self) -> Row:
        """The counters as JSON."""
        return {
            "requests": self.requests,
            "statuses": {str(status): count for status, count in sorted(self.statuses.items())},
            "operations": dict(self.operations),
            "writes": dict(self.writes),
            "writes_total": sum(self.writes.values()),
            "peak_in_flight": self.peak_in_flight,
        }


class Service:
    """Base of a modelled service's state: clock, lock, faults, journal, latency.

    The lock is held while a request is answered and while somebody edits the state from outside.
    """

    name = ""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clock = Clock()
        self.faults = Faults()
        self.journal = Journal()
        self.latency = 0.0

    def begin(self) -> None:
        """Everything as on the first day; the subclasses add their own state."""
        self.clock.offset = 0.0
        self.faults = Faults()
        self.journal.reset()
        self.journal.recording = False
        self.latency = 0.0

    def answer(self, call: Call) -> Reply:
        """The service's own answer; overridden by each service."""
        raise NotImplementedError

    def extra_headers(self, call: Call) -> dict[str, str]:
        """Headers that every answer of this service carries."""
        del call
        return {}

    def admit(self, call: Call) -> Reply | None:
        """A refusal that comes before everything else, such as a rate limit."""
        del call
        return None

    def error(self, status: int) -> Json:
        """The service's usual error body for a status, for injected faults."""
        return {"message": HTTPStatus(status).phrase}


class Gate:
    """The ASGI application around a ``Service``."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one HTTP request."""
        service, journal = self.service, self.service.journal
        journal.in_flight += 1
        journal.peak_in_flight = max(journal.peak_in_flight, journal.in_flight)
        try:
            call = await asgi.read(scope, receive)
            if call is None:
                return
            with service.lock:
                journal.requests += 1
                reply = service.admit(call)
                fault, latency = service.faults.pick(
                    service.name, call.method, call.path, call.raw, service.clock.now()
                )
            latency += service.latency
            if latency:
                await asyncio.sleep(latency)
            if reply is None and fault is not None and fault.kind not in AFTER:
                reply = await self._before(fault, scope, receive)
                if reply is None and (fault.kind != "hang" or fault.seconds is None):
                    self._note(call, 0)
                    return
            reply = reply or self._answer(call)
            if fault is not None and fault.kind in AFTER:
                spoilt = await self._after(fault, reply, scope, receive)
                self._note(call, spoilt.status if spoilt else 0)
                if spoilt is None:
                    return
                reply = spoilt
            else:
                self._note(call, reply.status)
            extra = service.extra_headers(call) if reply.status < 500 else {}  # noqa: PLR2004
            await asgi.send(reply, {"Date": formatdate(service.clock.now(), usegmt=True), **extra}, send)
        finally:
            journal.in_flight -= 1

    def _answer(self, call: Call) -> Reply:
        with self.service.lock:
            try:
                reply = self.service.answer(call)
            except Refusal as refusal:
                return refusal.reply
            if call.operation is not None and call.operation.writes:
                self.service.journal.writes[call.operation.name] += 1
            return reply

    def _note(self, call: Call, status: int) -> None:
        journal = self.service.journal
        journal.statuses[status] += 1
        journal.operations[call.operation.name if call.operation else "other"] += 1
        if journal.recording:
            if call.body is None and call.raw:  # a fault came before the service looked at it
                with contextlib.suppress(ValueError):
                    call.body = json.loads(call.raw)
            headers = {
                k: "…" if k in ("authorization", "x-auth-token") else v for k, v in call.headers.items()
            }
            journal.recorded.append(
                {
                    "service": self.service.name,
                    "method": call.method,
                    "path": call.path,
                    "query": call.query,
                    "headers": headers,
                    "body": call.body,
                    "operation": call.operation.name if call.operation else None,
                    "status": status,
                    "at": self.service.clock.now(),
                }
            )

    async def _before(self, fault: Fault, scope: Scope, receive: Receive) -> Reply | None:
        if fault.kind in ("drop", "malformed_headers"):
            await _cut(scope, b"" if fault.kind == "drop" else GARBAGE)
            return None
        if fault.kind == "hang":
            await _hang(fault.seconds, receive)
            return None
        return self._spoilt(fault, {"html": 200, "rate_limit_storm": 429}.get(fault.kind, 500))

    async def _after(self, fault: Fault, reply: Reply, scope: Scope, receive: Receive) -> Reply | None:
        if fault.kind == "commit_then_status":
            return self._spoilt(fault, 502)
        if fault.kind == "commit_then_hang":
            await _hang(fault.seconds, receive)
            return reply
        body = reply.payload()
        head = f"HTTP/1.1 {reply.status} OK\r\nContent-Length: {len(body)}\r\n\r\n"
        await _cut(scope, b"" if fault.kind == "commit_then_drop" else head.encode() + body[: len(body) // 2])
        return None

    def _spoilt(self, fault: Fault, default: int) -> Reply:
        status = fault.status or default
        headers = dict(fault.headers)
        if fault.retry_after is not None:
            headers["Retry-After"] = f"{fault.retry_after:g}"
        body = fault.body
        if body is None and (fault.kind == "html" or status in (502, 503, 504, 520, 522, 524)):
            body = PAGE % (status, HTTPStatus(status).phrase.encode() if status in set(HTTPStatus) else b"")
        elif body is None:
            body = self.service.error(status)
        elif isinstance(body, str):
            body = body.encode()
        return Reply(status, body or None, headers)


async def _cut(scope: Scope, data: bytes) -> None:
    transport: Any = scope.get("sandbox.transport")
    if transport is None:
        raise ConnectionResetError("the sandbox drops this connection")
    if data:
        transport.write(data)
        transport.close()
    else:
        transport.abort()
    for _ in range(3):  # the server must have noticed before the application returns
        await asyncio.sleep(0)


async def _hang(seconds: float | None, receive: Receive) -> None:
    if seconds is not None:
        await asyncio.sleep(seconds)
        return
    while (await receive())["type"] != "http.disconnect":
        pass
