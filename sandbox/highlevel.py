"""The HighLevel API (contacts, calendars, locations, users, workflows, OAuth).

Modelled from HighLevel's OpenAPI files and published behaviour; where both are silent the choice made
here is named in the docstring of the handler concerned.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Any

from sandbox import (
    highlevel_calendars,
    highlevel_children,
    highlevel_contacts,
    highlevel_lists,
    highlevel_location,
    highlevel_oauth,
    highlevel_search,
)
from sandbox.gate import Service
from sandbox.highlevel_rules import bad_request, forbidden, unauthorized, unprocessable
from sandbox.wire import Call, Json, Operation, Refusal, Reply, Router
from sandbox.world import Ids, Location, Options, Refresh, Token

if TYPE_CHECKING:
    from sandbox.wire import Row

KNOWN_VERSIONS = ("v3", "2023-02-21", "2021-07-28", "2021-04-15")
DATED = 10
OPERATIONS: list[Operation] = [
    *highlevel_contacts.OPERATIONS,
    *highlevel_children.OPERATIONS,
    *highlevel_search.OPERATIONS,
    *highlevel_lists.OPERATIONS,
    *highlevel_calendars.OPERATIONS,
    *highlevel_location.OPERATIONS,
    *highlevel_oauth.OPERATIONS,
]


class HighLevel(Service):
    """State of the destination and the way a call is checked before its handler runs.

    Order of the checks: rate limit (by the token's location), version header, route, token, scope,
    location, JSON body.
    """

    name = "highlevel"

    def __init__(self, *, seed: int = 7) -> None:
        super().__init__()
        self._router = Router(OPERATIONS)
        self.begin(seed)

    def begin(self, seed: int = 7) -> None:
        """An empty service: no locations, no tokens."""
        super().begin()
        self.ids = Ids(seed)
        self.options = Options()
        self.locations: dict[str, Location] = {}
        self.tokens: dict[str, Token] = {}
        self.refreshes: dict[str, Refresh] = {}
        self.clients: dict[str, str] = {}
        self.codes: dict[str, Token] = {}
        self._traces = 0

    def trace(self) -> str:
        """A trace id, as answers carry one."""
        self._traces += 1
        return str(uuid.UUID(int=self._traces + (0x5EED << 100)))

    def error(self, status: int) -> Json:
        """The service's usual error body."""
        body: Row = dict(super().error(status))
        return {"statusCode": status, **body}

    def admit(self, call: Call) -> Reply | None:
        """Cloudflare's 403 for odd clients; 429 for one request too many.

        Which body and headers a 429 has is published nowhere.
        """
        agent = call.headers.get("user-agent", "")
        if not agent or agent.lower().startswith("python-urllib"):
            return Reply(403, b"error code: 1010")
        location = self._limited(call)
        if location is None:
            return None
        now = self.clock.now()
        if location.limits.admit(now):
            return None
        headers = {}
        if self.options.retry_after:
            headers["Retry-After"] = str(int(location.limits.wait(now)) + 1)
        return Reply(429, {"statusCode": 429, "message": "Too Many Requests"}, headers)

    def extra_headers(self, call: Call) -> dict[str, str]:
        """The rate-limit headers."""
        location = self._limited(call) or next(iter(self.locations.values()), None)
        return location.limits.headers(self.clock.now()) if location else {}

    def answer(self, call: Call) -> Reply:
        """Checks the call and hands it to its handler."""
        found = self._router.find(call.method, call.path)
        version = self._version(call, found[0] if found else None)
        if found is None or (found[0].versions and version not in found[0].versions):
            message = f"Cannot {call.method} {call.path}"
            raise Refusal(404, {"message": message, "error": "Not Found", "statusCode": 404})
        call.operation, call.params = found
        call.scratch = Caller(self, version)
        if call.operation.scope != "public":
            call.scratch.authenticate(call)
        if call.raw:
            call.body = _body(call)
        return call.operation.handler(self, call)

    def _limited(self, call: Call) -> Location | None:
        token = self.tokens.get(call.headers.get("authorization", "")[7:])
        return self.locations.get(token.location_id or "") if token else None

    def _version(self, call: Call, operation: Operation | None) -> str:
        version = call.headers.get("version")
        if version is None:
            if operation is not None and operation.name == "get-token":
                return "2021-07-28"
            raise unauthorized("version header was not found.")
        if version in KNOWN_VERSIONS:
            return version
        if len(version) == DATED and version.replace("-", "").isdigit():
            raise unauthorized("version header is invalid")
        raise bad_request(f"Invalid API version segment '{version}' at position 0")


class Caller:
    """Who calls, in which version, for which location."""

    def __init__(self, service: HighLevel, version: str) -> None:
        self.service = service
        self.version = version
        self.token = Token("none", "")

    @property
    def v3(self) -> bool:
        """Whether answers take the shape of v3."""
        return self.version == "v3"

    def authenticate(self, call: Call) -> None:
        """Checks the bearer token and its scope, with the messages seen live."""
        service = self.service
        text = call.headers.get("authorization", "")
        token = service.tokens.get(text[7:]) if text.startswith("Bearer ") else None
        if token is None:
            raise unauthorized("Invalid JWT")
        if token.expires_at is not None and token.expires_at <= service.clock.now():
            raise unauthorized("Invalid token: access token is invalid")
        scope = call.operation.scope if call.operation else ""
        agency = scope.startswith("oauth.")
        if token.kind == "agency_pit" and not agency:
            raise unauthorized("Token's user type mismatch!")
        if agency != (token.kind == "company"):
            raise unauthorized(
                "This authClass type is not allowed to access this scope. Please reach out to the Hub team."
            )
        if token.scopes is not None and scope not in token.scopes:
            raise unauthorized("The token is not authorized for this scope.")
        self.token = token

    def location(self, location_id: Any = None) -> Location:  # noqa: ANN401 - whatever the client sent
        """The location of the call: the token's, which a named one must equal."""
        if location_id is not None and location_id != self.token.location_id:
            raise forbidden("The token does not have access to this location.")
        return self.service.locations[self.token.location_id or ""]


def _body(call: Call) -> Json:
    kind = call.headers.get("content-type", "application/json")
    if "x-www-form-urlencoded" in kind:
        return highlevel_oauth.form(call.raw)
    try:
        text = call.raw.decode()
        body = json.loads(text)
    except ValueError as error:
        raise bad_request(f"Unexpected token in JSON: {error}") from None
    if "\\u0000" in text or "\\ud8" in text.lower():
        _refuse_unstorable(body)
    if not isinstance(body, dict):
        raise unprocessable(["body must be an object"])
    return body


def _refuse_unstorable(value: Json) -> None:
    """U+0000 and lone surrogates cannot be stored as text."""
    if isinstance(value, dict):
        for item in value.values():
            _refuse_unstorable(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)
    elif isinstance(value, str) and ("\0" in value or any(0xD800 <= ord(c) < 0xE000 for c in value)):  # noqa: PLR2004
        raise bad_request("Bad control character in string literal in JSON")
