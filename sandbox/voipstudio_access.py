"""Who may call VoIPstudio: tokens with idle expiry, Basic credentials, login with an optional second factor,
and the bearers of a gateway's tokens.

An API key is a token that lives longer. Decided here because it is published nowhere: an ``expiry`` of 0
never ends, a second key of the same name is a 400.
"""

from __future__ import annotations

import base64
import binascii
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sandbox.voipstudio_errors import error
from sandbox.voipstudio_lists import page_of
from sandbox.wire import Call, Operation, Refusal, Reply, Row

if TYPE_CHECKING:
    from sandbox.clock import Clock
    from sandbox.voipstudio import VoipStudio

SIP_DOMAIN = "sip.example.net"
ADMIN = 10002


@dataclass
class Key:
    """A token; ``idle`` seconds without a request end it (0: never)."""

    token: str
    user_id: int
    name: str
    idle: float
    used_at: float
    created_at: float


class Access:
    """Tokens and passwords of the account's users."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock = clock
        self.keys: dict[str, Key] = {}
        self.bearers: dict[str, float] = {}
        self.passwords: dict[str, tuple[str, int]] = {}
        self.nonces: dict[str, int] = {}
        self.code = "123456"
        self._random = random.Random(f"tokens-{seed}")

    def hexes(self) -> str:
        """40 hexadecimal digits."""
        return f"{self._random.getrandbits(160):040x}"

    def new_key(self, user_id: int, name: str, idle: float) -> Key:
        """A fresh token."""
        now = self.clock.now()
        key = Key(self.hexes(), user_id, name, idle, now, now)
        self.keys[key.token] = key
        return key

    def user_of(self, call: Call) -> int:
        """The user of the call's token; every call starts its idle time anew."""
        now = self.clock.now()
        kind, _, bearer = call.headers.get("authorization", "").partition(" ")
        if kind == "Bearer" and self.bearers.get(bearer, 0.0) > now:
            return ADMIN
        key = self.keys.get(_token(call))
        if key is None or (key.idle and now - key.used_at > key.idle):
            raise error(401, "Unauthorized")
        key.used_at = now
        return key.user_id


def _token(call: Call) -> str:
    token = call.headers.get("x-auth-token")
    if token is not None:
        return token
    kind, _, credentials = call.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return ""
    try:
        _, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = secret = ""
    if not colon:
        raise error(400, "Failed to parse Authorization header credentials")
    return secret


def _text(service: VoipStudio, seconds: float) -> str:
    del service
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"


def ping(service: VoipStudio, call: Call) -> Reply:
    """GET /ping."""
    return Reply(
        200, {"data": {"response": "Pong", "user_id": call.scratch, "time": int(service.clock.now())}}
    )


def me(service: VoipStudio, call: Call) -> Reply:
    """GET /me answers the SIP password too."""
    user = service.source.users[call.scratch]
    secrets = {"customer_id": 5001, "sip_password": "sip-SECRET-password", "sip_domain": SIP_DOMAIN}
    names = ("id", "email", "first_name", "last_name")
    return Reply(200, {"data": {**{name: user[name] for name in names}, **secrets}})


def _success(service: VoipStudio, user_id: int) -> Reply:
    key = service.access.new_key(user_id, f"login-{len(service.access.keys)}", service.options.login_seconds)
    return Reply(200, {"message": "Login success", "user_token": key.token, "user_id": user_id})


def login(service: VoipStudio, call: Call) -> Reply:
    """POST /login: 200 flat, or 202 with a nonce where the account has a second factor."""
    body: Row = call.body if isinstance(call.body, dict) else {}
    password, user_id = service.access.passwords.get(str(body.get("email")), (None, 0))
    if password is None or password != body.get("password"):
        raise Refusal(401, {"errors": [{"message": "Invalid email or password"}]})
    if not service.options.two_factor:
        return _success(service, user_id)
    nonce = service.access.hexes()
    service.access.nonces[nonce] = user_id
    return Reply(service.options.nonce_status, {"nonce": nonce})


def login2fa(service: VoipStudio, call: Call) -> Reply:
    """POST /login2fa."""
    body: Row = call.body if isinstance(call.body, dict) else {}
    user_id = service.access.nonces.get(str(body.get("nonce")))
    if user_id is None or body.get("code") != service.access.code:
        raise Refusal(401, {"errors": [{"message": "Invalid code"}]})
    del service.access.nonces[str(body["nonce"])]
    return _success(service, user_id)


def logout(service: VoipStudio, call: Call) -> Reply:
    """POST /logout ends the token of the call."""
    del service.access.keys[_token(call)]
    return Reply(200, {"message": "Logout success"})


def _key_row(service: VoipStudio, key: Key) -> Row:
    row = {"token": key.token, "name": key.name, "user_id": key.user_id, "expiry": int(key.idle)}
    return {**row, "created_at": _text(service, key.created_at)}


def list_tokens(service: VoipStudio, call: Call) -> Reply:
    """GET /apitokens; the rows include the tokens themselves."""
    rows = [
        {"id": at, **_key_row(service, key)}
        for at, key in enumerate(service.access.keys.values(), 1)
        if key.user_id == call.scratch and not key.name.startswith("login-")
    ]
    return page_of(service, call, rows, dict)


def create_token(service: VoipStudio, call: Call) -> Reply:
    """POST /apitokens: the name must be new for the user."""
    body: Row = call.body if isinstance(call.body, dict) else {}
    name, expiry = body.get("name"), body.get("expiry")
    if not isinstance(name, str) or not name:
        raise error(400, "Validation error", ("name", "This value should not be blank"))
    if not isinstance(expiry, int) or expiry < 0:
        raise error(400, "Validation error", ("expiry", "This value is not valid"))
    if any(key.name == name and key.user_id == call.scratch for key in service.access.keys.values()):
        raise error(400, "Validation error", ("name", "This value is already used"))
    key = service.access.new_key(call.scratch, name, expiry)
    return Reply(201, {"data": _key_row(service, key), "links": {}})


def delete_token(service: VoipStudio, call: Call) -> Reply:
    """DELETE /apitokens/{token}."""
    if service.access.keys.pop(call.params["token"], None) is None:
        raise error(404, "Not found")
    return Reply(204)


OPERATIONS = [
    Operation("ping", "GET", "/ping", ping),
    Operation("me", "GET", "/me", me),
    Operation("login", "POST", "/login", login, "public"),
    Operation("login2fa", "POST", "/login2fa", login2fa, "public"),
    Operation("logout", "POST", "/logout", logout),
    Operation("list-tokens", "GET", "/apitokens", list_tokens),
    Operation("create-token", "POST", "/apitokens", create_token, writes=True),
    Operation("delete-token", "DELETE", "/apitokens/{token}", delete_token, writes=True),
]
