"""OAuth at the destination: tokens by code and by refresh, location tokens from agency tokens.

Both spellings: snake_case with ``/oauth/locationToken``, and camelCase with ``/oauth/location-token``
under v3. A refresh token is good for one use; within the grace period the same answer is given again.
Errors of the token endpoint have the shape of OAuth and not that of the API.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from sandbox.highlevel_rules import unprocessable
from sandbox.wire import Call, Operation, Refusal, Reply, Row
from sandbox.world import Refresh, Token

if TYPE_CHECKING:
    from sandbox.highlevel import HighLevel

GRANTS = ("authorization_code", "refresh_token", "client_credentials")
PAGE = 20


def form(raw: bytes) -> Row:
    """A form-urlencoded body."""
    return dict(parse_qsl(raw.decode("utf-8", "replace"), keep_blank_values=True))


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)([A-Z])", r"_\1", name).lower()


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def _denied(description: str, error: str = "invalid_grant", status: int = 401) -> Refusal:
    return Refusal(status, {"error": error, "error_description": description})


def _inactive() -> Refusal:
    """Also while refreshing; the refresh token stays good."""
    message = "Location is not active"
    return Refusal(400, {"statusCode": 400, "message": message, "error": "Bad Request"})


def get_token(service: HighLevel, call: Call) -> Reply:
    """POST /oauth/token; the code or refresh token is checked before the client's own credentials."""
    v3 = call.scratch.v3
    body: Row = call.body or {}
    needed = ("client_id", "client_secret", "grant_type")
    spelt = {_camel(name) if v3 else name: name for name in (*needed, "code", "refresh_token", "user_type")}
    values = {spelt[name]: value for name, value in body.items() if name in spelt}
    missing = [name for name, plain in spelt.items() if plain in needed and not values.get(plain)]
    if missing:
        raise unprocessable([f"{name} should not be empty" for name in missing])
    if values["grant_type"] not in GRANTS:
        raise unprocessable([f"grant_type must be one of the following values: {', '.join(GRANTS)}"])
    client_id = values["client_id"]
    known = service.clients.get(client_id) == values["client_secret"]
    if values["grant_type"] == "refresh_token":
        return Reply(200, _spell(_refreshed(service, values, client_id, known=known), v3=v3))
    token = service.codes.pop(values.get("code", ""), None)
    if token is None:
        raise _denied("Invalid grant: authorization code is invalid")
    if not known:
        raise _denied("Invalid client: client is invalid", "invalid_client")
    return Reply(200, _spell(issue(service, token, client_id), v3=v3))


def _refreshed(service: HighLevel, values: Row, client_id: str, *, known: bool) -> Row:
    refresh = service.refreshes.get(values.get("refresh_token", ""))
    now = service.clock.now()
    if refresh is None or refresh.client_id != client_id:
        raise _denied("Invalid grant: refresh token is invalid")
    if not known:
        raise _denied("Invalid client: client is invalid", "invalid_client")
    location = service.locations.get(refresh.token.location_id or "")
    if location is not None and not location.active:
        raise _inactive()
    if refresh.used_at is None:
        refresh.used_at, refresh.answer = now, issue(service, refresh.token, client_id)
    elif now - refresh.used_at > service.options.refresh_grace:
        raise _denied("Invalid grant: refresh token is invalid")
    return refresh.answer or {}


def issue(service: HighLevel, like: Token, client_id: str, *, refreshable: bool = True) -> Row:
    """A fresh access token, and a refresh token with it, as the answer in snake_case."""
    lifetime = service.options.access_token_seconds
    token = replace(like, expires_at=service.clock.now() + lifetime)
    access = f"at-{service.ids.new()}{service.ids.new()}"
    service.tokens[access] = token
    answer: Row = {
        "access_token": access, "token_type": "Bearer", "expires_in": int(lifetime),
        "scope": " ".join(sorted(token.scopes or ())), "userType": token.kind.title(),
        "companyId": token.company_id, "userId": "sandboxUser000000000",
    }  # fmt: skip
    if token.location_id:
        answer["locationId"] = token.location_id
    else:
        answer["approvedLocations"] = list(service.locations)
    if refreshable:
        answer["refresh_token"] = f"rt-{service.ids.new()}{service.ids.new()}"
        service.refreshes[answer["refresh_token"]] = Refresh(like, client_id)
    return answer


def _spell(answer: Row, *, v3: bool) -> Row:
    return {_camel(name): value for name, value in answer.items()} if v3 else answer


def get_location_token(service: HighLevel, call: Call) -> Reply:
    """POST /oauth/locationToken (v3: location-token): measured as 201, without a refresh token."""
    body: Row = call.body or {}
    problems = [f"{name} should not be empty" for name in ("companyId", "locationId") if not body.get(name)]
    if problems:
        raise unprocessable(problems)
    location = service.locations.get(body["locationId"])
    company = call.scratch.token.company_id
    if location is None or not location.active or not location.company_id == body["companyId"] == company:
        raise _inactive()
    token = Token("location", company, location.id, _location_scopes(call.scratch.token))
    answer = issue(service, token, "", refreshable=False)
    return Reply(201, _spell(answer, v3=call.scratch.v3))


def _location_scopes(token: Token) -> frozenset[str] | None:
    if token.scopes is None:
        return None
    return frozenset(scope for scope in token.scopes if not scope.startswith("oauth."))


def installed_locations(service: HighLevel, call: Call) -> Reply:
    """GET /oauth/installedLocations (v3: installed-locations, paged by token)."""
    company = call.one("companyId")
    if not company or not call.one("appId"):
        raise unprocessable(["companyId should not be empty", "appId should not be empty"])
    rows = [
        {"_id": row.id, "name": row.name, "address": "", "isInstalled": True}
        for row in service.locations.values()
        if row.company_id == company
    ]
    if not call.scratch.v3:
        return Reply(200, {"locations": rows, "count": len(rows), "installToFutureLocations": True})
    start, size = int(call.one("pageToken") or 0), int(call.one("pageSize") or PAGE)
    page, more = rows[start : start + size], start + size < len(rows)
    pagination: Row = {"totalRecords": len(rows), "hasNextPage": more, "hasPrevPage": start > 0}
    if more:
        pagination["nextPageToken"] = str(start + size)
    return Reply(200, {"items": page, "pagination": pagination, "installToFutureLocations": True})


OPERATIONS = [
    Operation("get-token", "POST", "/oauth/token", get_token, "public"),
    Operation("get-location-token", "POST", "/oauth/locationToken", get_location_token, "oauth.write"),
    Operation(
        "get-location-token-v3", "POST", "/oauth/location-token", get_location_token, "oauth.write",
        versions=("v3",)
    ),
    Operation("installed-locations", "GET", "/oauth/installedLocations", installed_locations,
    "oauth.readonly"),
    Operation(
        "installed-locations-v3", "GET", "/oauth/installed-locations", installed_locations, "oauth.readonly",
        versions=("v3",),
    ),
]  # fmt: skip
