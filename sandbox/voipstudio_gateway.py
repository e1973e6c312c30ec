"""A gateway before VoIPstudio that issues OAuth 2.0 tokens to a client; VoIPstudio itself has none.

After RFC 6749, sections 2.3.1, 4.4 and 5. Some gateways take the client by HTTP Basic only, some in the body
only; which one this is, and how it refuses the other, can be switched.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote_plus

from sandbox.wire import Call, Refusal, Reply, Row

if TYPE_CHECKING:
    from sandbox.voipstudio import VoipStudio

PATH = "/oauth/token"
CLIENT = ("sandbox gateway:client", "sandbox-gateway-secret/+%")
SCOPE = "contacts.readonly"
WAYS = ("basic", "body")


def token(service: VoipStudio, call: Call) -> Reply:
    """POST /oauth/token: a bearer token for ``grant_type=client_credentials``."""
    if call.method != "POST":
        raise Refusal(405, {"error": "invalid_request"})
    form = dict(parse_qsl(call.raw.decode("utf-8", "replace"), keep_blank_values=True))
    way = service.options.gateway_client
    given = _by_basic(call) if way == "basic" else (form.get("client_id"), form.get("client_secret"))
    if given != CLIENT:
        raise Refusal(service.options.gateway_refusal, {"error": "invalid_client"})
    if form.get("grant_type") != "client_credentials":
        raise Refusal(400, {"error": "unsupported_grant_type"})
    if form.get("scope", SCOPE) != SCOPE:
        raise Refusal(400, {"error": "invalid_scope"})
    lifetime = service.options.gateway_seconds
    answer: Row = {"access_token": f"gw-{service.access.hexes()}", "token_type": "Bearer", "scope": SCOPE}
    service.access.bearers[answer["access_token"]] = service.clock.now() + (lifetime or 3600)
    return Reply(200, answer if lifetime is None else {**answer, "expires_in": lifetime})


def _by_basic(call: Call) -> tuple[str, str] | None:
    kind, _, credentials = call.headers.get("authorization", "").partition(" ")
    try:
        name, colon, secret = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (unquote_plus(name), unquote_plus(secret)) if kind.lower() == "basic" and colon else None
