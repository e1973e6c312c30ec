"""How the Contacts API knows who asks."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import httpx

from tasks.errors import Unauthorized
from tasks.highlevel.refusals import may_be_expired
from tasks.redaction import remember
from tasks.together import to_its_end

if TYPE_CHECKING:
    from tasks.highlevel.oauth import Grant, TokenService
    from tasks.transport import Answer


class BearerToken(httpx.Auth):
    """A private integration token, or an OAuth access token."""

    def __init__(self, token: str) -> None:
        self._token = remember(token)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token on the request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request


class Keeper(Protocol):
    """Where a grant is kept, for all processes that use it."""

    def alone(self) -> AbstractAsyncContextManager[None]:
        """While this is entered no other process renews the grant.

        Raises:
            Busy: another has been at it for too long.
        """

    async def load(self) -> Grant:
        """Return the grant as it is kept now.

        Raises:
            ConfigurationError: there is none.
        """

    async def save(self, grant: Grant, *, instead_of: Grant) -> Grant:
        """Keep a grant where the other is kept, durably; return what is kept now, ours or a newer one."""


@dataclass(slots=True, eq=False)
class OAuthAccess(httpx.Auth):
    """The access token of a grant that is kept, renewed before it expires and once where it is refused.

    A refresh token is good for one use. Its replacement is durable before the new access token is used, and
    among all processes one renews: the others take what it has kept.
    """

    service: TokenService
    keeper: Keeper
    _grant: Grant | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the token on the request."""
        request.headers["Authorization"] = f"Bearer {self._token}"
        yield request

    async def ready(self) -> None:
        """Renew the token where that is due.

        Raises:
            Unauthorized: it cannot be, and why; the text names the command that mends it.
            ServiceUnavailable: the token service gives no useful answer.
        """
        if self._due():
            async with self._turn:
                if self._due():
                    await self._take(refused=None)

    async def renew(self, request: httpx.Request, answer: Answer) -> bool:
        """Renew the token that was refused, where a newer one may do better and there is none yet."""
        if not may_be_expired(answer):
            return False
        refused = request.headers["Authorization"].removeprefix("Bearer ")
        async with self._turn:
            if self._token == refused:
                await self._take(refused=refused)
        return True

    @property
    def _token(self) -> str | None:
        return self._grant.token if self._grant else None

    def _due(self) -> bool:
        return self._grant is None or self._grant.due(self.service.clock())

    async def _take(self, *, refused: str | None) -> None:
        """Take the kept grant; renew it first where it is due, or where its token was refused."""
        kept = await self.keeper.load()
        if self._stale(kept, refused):
            async with self.keeper.alone():
                kept = await self.keeper.load()
                if self._stale(kept, refused):
                    # once the refresh token has left, its replacement is kept, whoever is cancelled meanwhile
                    kept = await to_its_end(self._renewed(kept))
        self.service.check(kept)
        self._grant = kept

    def _stale(self, grant: Grant, refused: str | None) -> bool:
        elsewhere = grant.company_id is not None and grant.location_id != self.service.location_id
        return elsewhere or grant.token == refused or grant.due(self.service.clock())

    async def _renewed(self, old: Grant) -> Grant:
        if old.refresh_token is None:
            raise Unauthorized(
                f"HighLevel's access token has expired or was revoked, and no refresh token came with it: "
                f"{self.service.connect}"
            )
        spent = await self.keeper.save(replace(old, spent_at=self.service.clock()), instead_of=old)
        if spent.refresh_token != old.refresh_token:
            return spent
        fresh, issued = await self.service.refresh(replace(spent, spent_at=old.spent_at))
        kept = await self.keeper.save(fresh, instead_of=spent)
        if kept.token is None and kept == fresh:
            kept = await self.keeper.save(await self.service.locate(fresh, issued), instead_of=fresh)
        return kept
