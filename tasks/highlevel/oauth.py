"""HighLevel's OAuth 2.0: where a person agrees, and the service that issues tokens for it.

The token endpoint has two spellings: snake_case in API version 2021-07-28 and camelCase in v3 (HighLevel
OpenAPI); answers are taken in both. A refresh token is good for one use; for 30 seconds after it the service
gives the same answer again (HighLevel docs), so that a request whose answer was lost may be repeated at once.
A company's (agency's) token is exchanged for one of the location, which comes without a refresh token.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import quote, urlencode, urlsplit

import httpx
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import ConfigurationError, Fatal, ServiceUnavailable, Unauthorized
from tasks.highlevel.access import BearerToken
from tasks.highlevel.refusals import server_message
from tasks.highlevel.scopes import AGENCY, needed_scopes
from tasks.redaction import remember
from tasks.settings import Account, DestinationOAuth
from tasks.transport import Answer, Transport

MARGIN_SECONDS = 60.0
"""So long before its expiry an access token is renewed; one that lives shorter, after half its life."""
DAY_SECONDS = 86_399.0
"""An access token's life where the answer does not say it (HighLevel docs)."""
_LOCATION_TOKEN = {"v3": "/oauth/location-token", "2021-07-28": "/oauth/locationToken"}
_TOKEN = r"^[\x21-\x7e]{1,16384}$"  # noqa: S105 - what may stand in a header


def _both(name: str) -> AliasChoices:
    return AliasChoices(name, _camel(name))


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


class Issued(BaseModel):
    """An answer of the token endpoint; its secrets are not shown."""

    model_config = ConfigDict(frozen=True)

    access_token: str = Field(validation_alias=_both("access_token"), pattern=_TOKEN, repr=False)
    refresh_token: str | None = Field(
        None, validation_alias=_both("refresh_token"), pattern=_TOKEN, repr=False
    )
    expires_in: float = Field(DAY_SECONDS, validation_alias=_both("expires_in"), ge=0)
    scope: str = ""
    user_type: str = Field("", validation_alias=_both("user_type"))
    location_id: str | None = Field(None, validation_alias=_both("location_id"))
    company_id: str | None = Field(None, validation_alias=_both("company_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a person agreed to, as it is kept.

    Attributes:
        token: the location's access token; None where it is still to be obtained.
        refresh_token: for one use.
        issued_at: when the access token was asked for, UTC seconds.
        expires_at: when it expires; None where that is not known.
        location_id: whose access token it is; None where that is not known.
        company_id: whose refresh token it is, where it is not the location's own.
        scopes: what the access token is allowed.
        spent_at: when the refresh token was sent; who finds this knows that its replacement was not saved.
        begun: a digest of the configured token that this began with, "" where that was none.
    """

    token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    issued_at: float = 0.0
    expires_at: float | None = None
    location_id: str | None = None
    company_id: str | None = None
    scopes: tuple[str, ...] = ()
    spent_at: float | None = None
    begun: str = ""

    def __post_init__(self) -> None:
        for secret in filter(None, (self.token, self.refresh_token)):
            remember(secret)

    def due(self, now: float) -> bool:
        """Whether the access token is to be renewed before it is used."""
        if self.token is None:
            return True
        if self.expires_at is None:
            return False
        return now >= self.expires_at - min(MARGIN_SECONDS, (self.expires_at - self.issued_at) / 2)


def authorize_url(name: str, account: Account, state: str) -> str:
    """Return the address where a person lets the app into the location, with the least scopes it needs.

    Raises:
        ConfigurationError: the app or its redirect_uri is not configured, or that is not https.
    """
    oauth = account.destination.oauth
    where = f"accounts.{name}.destination.oauth"
    if oauth is None or oauth.redirect_uri is None:
        raise ConfigurationError(
            f"{where}.redirect_uri: is missing: give the address that is registered with the app"
        )
    if urlsplit(oauth.redirect_uri).scheme != "https":
        raise ConfigurationError(f"{where}.redirect_uri: must be https:// (HighLevel takes no other)")
    scopes = [*needed_scopes(account), *([AGENCY] if oauth.company_id else [])]
    query = {
        "response_type": "code",
        "client_id": oauth.client_id,
        "redirect_uri": oauth.redirect_uri,
        "scope": " ".join(scopes),
        "state": state,
    }
    return f"{oauth.authorize_url}?{urlencode(query, quote_via=quote)}"


class TokenService:
    """The token endpoint, as one account's app uses it.

    Args:
        name: the account's, for messages.
        account: its settings, with an app.
        client_secret: the app's.
        clock: UTC seconds.
        wire: another httpx transport, for tests.
    """

    def __init__(
        self,
        name: str,
        account: Account,
        client_secret: str,
        *,
        clock: Callable[[], float] = time.time,
        wire: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if account.destination.oauth is None:
            raise ConfigurationError(f"accounts.{name}.destination.oauth: is missing")
        self.name = name
        self.clock = clock
        self.location_id = account.destination.location_id
        self.connect = f"run `voipsync auth highlevel connect {name}`"
        self._where = f"accounts.{name}.destination"
        self._base_url = account.destination.base_url
        self._version = account.destination.api_version
        self._oauth: DestinationOAuth = account.destination.oauth
        self._client_secret = client_secret
        self._wire = wire

    async def exchange(self, code: str) -> tuple[Grant, Issued]:
        """Exchange the code of a person's agreement; what was issued is needed to `locate` a company's grant.

        Raises:
            Unauthorized: the code or the app is refused.
            ServiceUnavailable: no useful answer.
        """
        values = {"grant_type": "authorization_code", "code": remember(code)}
        if self._oauth.redirect_uri:
            values["redirect_uri"] = self._oauth.redirect_uri
        return await self._issue(values, Grant(company_id=self._oauth.company_id), "the code")

    async def refresh(self, grant: Grant) -> tuple[Grant, Issued]:
        """Use up a grant's refresh token: what this returns must be durable before it is used.

        Raises:
            Unauthorized: the refresh token or the app is refused, or the location is not active.
            ServiceUnavailable: no useful answer; the refresh token may be spent.
        """
        values = {"grant_type": "refresh_token", "refresh_token": grant.refresh_token or ""}
        return await self._issue(values, grant, "the refresh token")

    async def locate(self, grant: Grant, issued: Issued) -> Grant:
        """Exchange a company's access token for one of the location.

        Raises:
            Unauthorized: the company's token is not allowed this, or the app is not in the location.
            ServiceUnavailable: no useful answer.
        """
        asked = self.clock()
        answer = await self._post(
            self._base_url + _LOCATION_TOKEN[self._version],
            {"companyId": grant.company_id or "", "locationId": self.location_id},
            BearerToken(issued.access_token),
        )
        if answer.status >= httpx.codes.BAD_REQUEST:
            raise self._no_location(answer)
        local = self._parsed(answer)
        return replace(
            grant,
            token=local.access_token,
            issued_at=asked,
            expires_at=asked + local.expires_in,
            location_id=local.location_id or self.location_id,
            scopes=tuple(local.scope.split()),
        )

    def check(self, grant: Grant) -> None:
        """Refuse a grant of another location.

        Raises:
            Unauthorized: it is one.
        """
        if grant.location_id not in (None, self.location_id):
            raise Unauthorized(
                f"HighLevel's tokens are for location {grant.location_id}, and {self._where}.location_id is "
                f"{self.location_id}: {self.connect} and choose that location, or mend the key"
            )

    async def _issue(self, values: Mapping[str, str], like: Grant, what: str) -> tuple[Grant, Issued]:
        company = bool(like.company_id)
        form = {
            "client_id": self._oauth.client_id,
            "client_secret": self._client_secret,
            **values,
            "user_type": "Company" if company else "Location",
        }
        if self._version == "v3":
            form = {_camel(key): value for key, value in form.items()}
        asked = self.clock()
        address = self._oauth.token_url or f"{self._base_url}/oauth/token"
        answer = await self._post(address, form, httpx.Auth())
        if answer.status >= httpx.codes.BAD_REQUEST:
            raise self._refused(answer, like, what)
        issued = self._parsed(answer)
        # an app for locations that was installed from the agency's view is given a company's token, too
        company = issued.user_type.casefold() == "company" or (company and not issued.location_id)
        grant = Grant(
            token=None if company else issued.access_token,
            refresh_token=issued.refresh_token,
            issued_at=asked,
            expires_at=asked + issued.expires_in,
            location_id=None if company else issued.location_id,
            company_id=(issued.company_id or like.company_id) if company else None,
            scopes=tuple(issued.scope.split()),
            begun=like.begun,
        )
        return grant, issued

    async def _post(self, url: str, form: Mapping[str, str], auth: httpx.Auth) -> Answer:
        base, _, path = url.rpartition("/")
        transport = Transport("HighLevel's token service", base, auth, wire=self._wire)
        try:
            return await transport.request("POST", path, form=form, headers={"Version": self._version})
        finally:
            await transport.close()

    def _parsed(self, answer: Answer) -> Issued:
        try:
            return Issued.model_validate(answer.data)
        except ValidationError as error:
            wrong = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise ServiceUnavailable(
                f"HighLevel's token service answers without a usable {wrong or 'token'}"
            ) from None

    def _refused(self, answer: Answer, grant: Grant, what: str) -> Fatal:
        """What a refusal means: {error, error_description} (measured by integrators), or an API error."""
        text = server_message(answer.data)
        code = answer.data.get("error") if isinstance(answer.data, dict) else None
        begin = f"HighLevel refuses {what} (HTTP {answer.status})"
        if code == "invalid_client" or re.search(r"invalid client", text, re.IGNORECASE):
            keys = f"{self._where}.oauth.client_id and client_secret"
            return Unauthorized(f"HighLevel refuses the app (HTTP {answer.status}): check {keys}")
        if re.search(r"location is not active", text, re.IGNORECASE):
            return Unauthorized(
                f"{begin}: the location is not active (unpaid, paused or cancelled); "
                "once it is again, the next run continues"
            )
        if code == "invalid_grant" or re.search(r"invalid grant", text, re.IGNORECASE):
            if grant.refresh_token is None:
                return Unauthorized(f"{begin}: it is wrong, too old or used up: {self.connect} again")
            if grant.spent_at is not None:
                age = max(0.0, self.clock() - grant.spent_at)
                return Unauthorized(
                    f"{begin}: it was used {age:.0f} s ago, and the answer was lost or could not be saved: "
                    f"{self.connect}"
                )
            return Unauthorized(
                f"{begin}: it was used elsewhere, revoked, or is over a year old: {self.connect}"
            )
        return Unauthorized(f"{begin}: {text or 'no reason given'}: check {self._where}.oauth")

    def _no_location(self, answer: Answer) -> Fatal:
        text = server_message(answer.data)
        begin = f"HighLevel gives the company no token for location {self.location_id} (HTTP {answer.status})"
        if re.search(r"scope", text, re.IGNORECASE):
            remedy = f"the app lacks the scope {AGENCY}: add it, set {self._where}.oauth.company_id"
            return Unauthorized(f"{begin}: {remedy}, and {self.connect}")
        if re.search(r"location is not active", text, re.IGNORECASE):
            return Unauthorized(
                f"{begin}: it is not active, not the company's, or the app is not installed there: check "
                f"{self._where}.location_id and the app's installation"
            )
        return Unauthorized(f"{begin}: {text or 'no reason given'}: {self.connect}")
