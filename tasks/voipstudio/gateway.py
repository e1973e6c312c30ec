"""Access through a gateway before VoIPstudio that issues OAuth 2.0 tokens to a client (RFC 6749, 4.4)."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any
from urllib.parse import quote_plus

import httpx

from tasks.errors import ServiceUnavailable, Unauthorized
from tasks.redaction import remember
from tasks.settings import SourceOAuth
from tasks.transport import Answer, Transport

EARLY_SECONDS = 60.0
"""How long before its end a token is renewed; one that lives shorter, after half its life."""
LIFETIME_SECONDS = 3600.0
"""How long a token is taken to live where the answer does not say."""
_DIGITS = 10
_REMEDIES = {
    "invalid_client": "check {where}.client_id and {where}.client_secret",
    "unauthorized_client": "the gateway must allow this client the grant client_credentials",
    "unsupported_grant_type": "the gateway must support the grant client_credentials",
    "invalid_scope": "check {where}.scope",
}
"""What to do about the documented error codes (RFC 6749, 5.2)."""


class ClientCredentials(httpx.Auth):
    """Sends a bearer token that it gets by itself; it is renewed before its end, and once on a 401.

    The token is kept in memory only. The client is told by HTTP Basic, as the standard prefers, and in the
    body where that is refused.

    Args:
        settings: the client and where its tokens are issued.
        secret: the client's secret.
        where: path of the settings, for messages.
        clock: monotonic seconds.
        wire: another httpx transport, for tests.
    """

    def __init__(
        self,
        settings: SourceOAuth,
        secret: str,
        *,
        where: str,
        clock: Callable[[], float] = time.monotonic,
        wire: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._settings = settings
        self._secret = secret
        self._where = where
        self._clock = clock
        self._wire = wire
        self._token: str | None = None
        self._renew_at = 0.0
        self._basic = True
        self._turn = asyncio.Lock()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token on the request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request

    async def ready(self) -> None:
        """Get a token where that is due.

        Raises:
            Unauthorized: the gateway refuses the client or the scope.
            ServiceUnavailable: the gateway gives no useful answer.
        """
        if self._due():
            async with self._turn:
                if self._due():
                    await self._take()

    async def renew(self, request: httpx.Request, _answer: Answer) -> bool:
        """Get another token than the one that was refused; raises what `ready` raises."""
        async with self._turn:
            if request.headers["Authorization"] == f"Bearer {self._token}":
                await self._take()
        return True

    def _due(self) -> bool:
        return self._token is None or self._clock() >= self._renew_at

    async def _take(self) -> None:
        answer = await self._ask()
        if self._basic and _wants_the_client_in_the_body(answer):
            self._basic = False
            answer = await self._ask()
        data = answer.data if isinstance(answer.data, Mapping) else {}
        if answer.status >= httpx.codes.BAD_REQUEST:
            code = _error_code(answer)
            remedy = _REMEDIES.get(code, "check {where} and what the gateway says about this client")
            raise Unauthorized(
                f"the gateway refuses a token (HTTP {answer.status}{f' {code}' if code else ''}): "
                + remedy.format(where=self._where)
            )
        token = data.get("access_token")
        if not isinstance(token, str) or not token or not (token.isascii() and token.isprintable()):
            raise ServiceUnavailable(
                f"{self._where}.token_url answers with something other than a token: check it"
            )
        lifetime = _seconds(data.get("expires_in"))
        self._token = remember(token)
        self._renew_at = self._clock() + max(lifetime - EARLY_SECONDS, lifetime / 2)

    async def _ask(self) -> Answer:
        form = {"grant_type": "client_credentials", "scope": self._settings.scope}
        client = self._settings.client_id, self._secret
        if not self._basic:
            form |= {"client_id": client[0], "client_secret": client[1]}
        base, _, path = self._settings.token_url.rpartition("/")
        transport = Transport(
            "the gateway before VoIPstudio",
            base,
            httpx.BasicAuth(*map(quote_plus, client)) if self._basic else httpx.Auth(),
            json_only=False,
            wire=self._wire,
        )
        try:
            return await transport.request("POST", path, form=form)
        finally:
            await transport.close()


def _wants_the_client_in_the_body(answer: Answer) -> bool:
    return answer.status == httpx.codes.UNAUTHORIZED or (
        answer.status == httpx.codes.BAD_REQUEST
        and _error_code(answer) in ("invalid_client", "invalid_request")
    )


def _error_code(answer: Answer) -> str:
    code = answer.data.get("error") if isinstance(answer.data, Mapping) else None
    return code if isinstance(code, str) and re.fullmatch(r"[a-z_]{1,40}", code) else ""


def _seconds(value: Any) -> float:  # noqa: ANN401 - any JSON
    text = str(value)
    known = len(text) <= _DIGITS and text.isascii() and text.isdigit() and int(text) > 0
    return float(text) if known else LIFETIME_SECONDS
