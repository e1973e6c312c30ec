"""A person's sign-in at VoIPstudio, once, to make an API key; nothing here is ever called by a run.

Each login to an account with two factors sends a code by e-mail, so nothing is repeated that the service may
have heard. What is typed is sent and forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx

from tasks.errors import ApiError, OutcomeUnknown, ServiceUnavailable, Unauthorized, VoipsyncError
from tasks.redaction import remember
from tasks.transport import Answer, Transport
from tasks.voipstudio.client import ApiKey, server_message

NAMES = 5
"""Names that are tried for a key, where others of the user have them already."""
_LONGEST = 512


@dataclass(frozen=True, slots=True)
class Key:
    """An API key of a user.

    Attributes:
        token: the key itself.
        name: unique among the user's keys.
        idle_seconds: it ends when it is not used for so long; None where that is not known.
    """

    token: str = field(repr=False)
    name: str
    idle_seconds: int | None


@dataclass(frozen=True, slots=True)
class Session:
    """What a login gives: half an hour's token; or a nonce, where a code is wanted, too."""

    token: str | None = field(default=None, repr=False)
    nonce: str | None = field(default=None, repr=False)


async def sign_in(base_url: str, email: str, password: str) -> Session:
    """Sign in by the first factor.

    Raises:
        Unauthorized: e-mail or password are refused.
        ApiError: the login is refused for another reason.
        OutcomeUnknown: no answer; whoever tries again may be sent another code.
        ServiceUnavailable: no useful answer.
    """
    answer = await _ask(
        base_url, "login", {"email": email, "password": remember(password)}, "e-mail or password"
    )
    if nonce := answer.get("nonce"):  # with status 202 (VoIPstudio's clients), or without one of its own
        return Session(nonce=remember(str(nonce)))
    return Session(_token(answer, "user_token", "answers the login with no session"))


async def confirm(base_url: str, begun: Session, code: str) -> Session:
    """Sign in by the second factor; raises what `sign_in` raises."""
    answer = await _ask(base_url, "login2fa", {"code": code, "nonce": begun.nonce}, "the code")
    return Session(_token(answer, "user_token", "answers the code with no session"))


async def renew_key(
    base_url: str,
    session: Session,
    *,
    account: str,
    idle_seconds: int,
    replaces: Key | None,
    store: Callable[[Key], None],
    now: datetime,
) -> tuple[Key, list[str]]:
    """Make a key, store it, revoke the one that it replaces, and sign out.

    The new key is known to work, and stored, before the old one is revoked; one that cannot be stored is
    revoked at once. Return the key, and what else could not be done.

    Args:
        base_url: of the service.
        session: of the user whose key it will be.
        account: part of the key's name.
        idle_seconds: the key ends when it is not used for so long.
        replaces: the key to revoke, if there is one.
        store: keeps the key durably.
        now: the key's name says when it was made.

    Raises:
        ApiError: no key is to be had.
        Unauthorized: the new key is refused.
        ServiceUnavailable: no useful answer.
    """
    user = _User(base_url, session)
    warnings: list[str] = []
    try:
        key = await user.make_key(f"voipsync {account} {now:%Y-%m-%d %H:%M}", idle_seconds)
        try:
            await _check(base_url, key)
            store(key)
        except BaseException:  # Ctrl-C, too, leaves no key behind that nobody knows
            await user.revoke(key)
            raise
        if replaces is not None and not await user.revoke(replaces):
            warnings.append(
                f"the key {replaces.name!r}, which this one replaces, could not be revoked: "
                "delete it at VoIPstudio, under the user's API keys"
            )
    finally:
        if not await user.sign_out():
            warnings.append("signing out failed: the session ends by itself after half an hour")
    return key, warnings


class _User:
    """What a user may do after signing in."""

    def __init__(self, base_url: str, session: Session) -> None:
        self._wire = Transport("VoIPstudio", base_url, ApiKey(session.token or ""))
        self._base_url = base_url

    async def make_key(self, name: str, idle_seconds: int) -> Key:
        """Make a key under this name, or with a number behind it where a key of the user has the name."""
        answer, chosen = Answer(0, {}, None), name
        for number in range(1, NAMES + 1):
            chosen = name if number == 1 else f"{name} ({number})"
            body = {"name": chosen, "expiry": idle_seconds}
            try:
                answer = await self._wire.request(
                    "POST", "apitokens", body=body, writes=True, repeatable=False
                )
            except OutcomeUnknown:
                raise ServiceUnavailable(
                    f"VoIPstudio did not say whether it made the key {chosen!r}: delete it there, under the "
                    "user's API keys, and log in again"
                ) from None
            if answer.status != httpx.codes.BAD_REQUEST:
                break
        if answer.status >= httpx.codes.BAD_REQUEST:
            raise ApiError(
                f"VoIPstudio makes no API key (HTTP {answer.status}): {server_message(answer.data)}",
                status=answer.status,
            )
        data = answer.data.get("data") if isinstance(answer.data, Mapping) else None
        return Key(_token(data, "token", f"does not tell the API key {chosen!r}"), chosen, idle_seconds)

    async def revoke(self, key: Key) -> bool:
        """Revoke a key; tell whether it certainly works no more."""
        path = f"apitokens/{quote(key.token, safe='')}"
        try:
            answer = await self._wire.request("DELETE", path, writes=True)
            if answer.status < httpx.codes.BAD_REQUEST:
                return True
            return (await _ping(self._base_url, key)).status == httpx.codes.UNAUTHORIZED
        except VoipsyncError:
            return False

    async def sign_out(self) -> bool:
        """End the session; tell whether that succeeded."""
        try:
            answer = await self._wire.request("POST", "logout", writes=True)
        except VoipsyncError:
            return False
        finally:
            await self._wire.close()
        return answer.status < httpx.codes.BAD_REQUEST or answer.status == httpx.codes.UNAUTHORIZED


async def _ask(base_url: str, path: str, body: Mapping[str, Any], what: str) -> Mapping[str, Any]:
    wire = Transport("VoIPstudio", base_url, httpx.Auth())
    try:
        answer = await wire.request("POST", path, body=body, writes=True, repeatable=False)
    finally:
        await wire.close()
    said = f"(HTTP {answer.status}): {server_message(answer.data)}"
    if answer.status in (httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        raise Unauthorized(f"VoIPstudio refuses {what} {said}")
    if answer.status >= httpx.codes.BAD_REQUEST:
        raise ApiError(f"VoIPstudio refuses the login {said}", status=answer.status)
    return answer.data if isinstance(answer.data, Mapping) else {}


async def _check(base_url: str, key: Key) -> None:
    answer = await _ping(base_url, key)
    if answer.status >= httpx.codes.BAD_REQUEST:
        raise Unauthorized(f"VoIPstudio refuses the key that it just made (HTTP {answer.status}): try again")


async def _ping(base_url: str, key: Key) -> Answer:
    wire = Transport("VoIPstudio", base_url, ApiKey(key.token))
    try:
        return await wire.request("GET", "ping")
    finally:
        await wire.close()


def _token(answer: object, name: str, otherwise: str) -> str:
    token = answer.get(name) if isinstance(answer, Mapping) else None
    fits = isinstance(token, str) and 0 < len(token) <= _LONGEST and token.isascii() and token.isprintable()
    if not isinstance(token, str) or not fits:
        raise ServiceUnavailable(f"VoIPstudio {otherwise}: check base_url, or try again later")
    return token
