"""Webhooks of routes: a signed POST to an address of the user's, which may come again but never as another.

The body carries ids only. Two headers go with it: ``Idempotency-Key``, the same however often the message
is sent, so that its receiver can drop a repeat; and ``X-Voipsync-Signature: t=SECONDS,v1=HEX``, where HEX is
the HMAC-SHA256 of ``SECONDS.BODY`` under the shared secret and SECONDS the instant of this sending, so that
its receiver can refuse what is old. Any answer of status 200 to 299 is a receipt.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from tasks.errors import RejectedRecord
from tasks.mapping_settings import Route
from tasks.redaction import remember
from tasks.transport import Clock, Transport
from tasks.values import resolve_secret

CONNECTIONS = 8
"""Messages under way to one address at the same time."""


SECRET_PATH = 16
"""An address's path of so many characters may be as good as a secret, and is treated as one."""


def shown(address: str) -> str:
    """An address for people to see: without its path, but with a mark that tells two of one place apart."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc} ({hashlib.sha256(address.encode()).hexdigest()[:8]})"


class Signature(httpx.Auth):
    """Signs each sending with a shared secret."""

    requires_request_body = True

    def __init__(self, secret: str, clock: Clock) -> None:
        self._secret = secret.encode()
        self._clock = clock

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add the signature of what is sent, as of now."""
        seconds = str(int(self._clock()))
        mac = hmac.new(self._secret, f"{seconds}.".encode() + request.content, "sha256")
        request.headers["X-Voipsync-Signature"] = f"t={seconds},v1={mac.hexdigest()}"
        yield request


@dataclass(slots=True)
class Webhook:
    """One address and its secret."""

    path: str
    wire: Transport
    _places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTIONS))

    async def post(self, message: Mapping[str, Any], key: str) -> None:
        """Deliver a message; it may be sent several times, with the same key.

        Raises:
            RejectedRecord: the receiver refuses it.
            ApiError: the receiver takes others, but not this one, so far.
            ServiceUnavailable: the receiver gives no useful answer.
            Fatal: it redirects, which is not followed.
        """
        async with self._places:
            answer = await self.wire.request(
                "POST", self.path, body=message, headers={"Idempotency-Key": key}, writes=True
            )
        if answer.status >= httpx.codes.BAD_REQUEST:
            raise RejectedRecord(
                f"the webhook at {self.wire.base_url} answers {answer.status}", status=answer.status
            )


class Webhooks:
    """The webhooks of an account's routes, each with its secret; closed at the end of the run.

    Args:
        routes: the account's.
        where: their path in the configuration, for messages.
        clock: UTC seconds; receivers refuse what was signed long ago, or is to be signed yet.

    Raises:
        ConfigurationError: a secret is missing.
    """

    def __init__(self, routes: Iterable[Route], *, where: str, clock: Clock = time.time) -> None:
        self._by_route: dict[Route, Webhook] = {}
        shared: dict[tuple[str, str], Webhook] = {}
        for number, route in enumerate(routes):
            if route.webhook is None or route.webhook_secret is None:
                continue
            secret = resolve_secret(route.webhook_secret, where=f"{where}.{number}.webhook_secret")
            address = (route.webhook, secret)
            if address not in shared:
                parts = urlsplit(route.webhook)
                origin = f"{parts.scheme}://{parts.netloc}"
                if len(parts.path) >= SECRET_PATH:
                    remember(parts.path)
                wire = Transport(
                    "the webhook", origin, Signature(secret, clock), connections=CONNECTIONS, json_only=False
                )
                shared[address] = Webhook(parts.path, wire)
            self._by_route[route] = shared[address]
        self._all = list(shared.values())

    def of(self, route: Route) -> Webhook:
        """The webhook that a route calls."""
        return self._by_route[route]

    async def close(self) -> None:
        """Close the connections."""
        for webhook in self._all:
            await webhook.wire.close()
