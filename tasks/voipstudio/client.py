"""VoIPstudio's REST API v1.2, as far as it is read: contacts and what hangs on them.

Rows are handed on raw; `tasks.voipstudio.models` judges them one by one.
"""

import json
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple
from urllib.parse import quote

import httpx

from tasks.errors import ApiError, ServiceUnavailable, Unauthorized
from tasks.redaction import remember
from tasks.transport import Answer, Transport
from tasks.voipstudio.gateway import ClientCredentials

Direction = Literal["ASC", "DESC"]
Operator = Literal["eq", "like", "gt", "gte", "lt", "lte"]
"""What VoIPstudio's own command-line client uses; the service answers 400 to ``between``."""

_USERS = 100
"""Users asked for per page."""
_SECRET_OR_ADDRESS = re.compile(r"[0-9A-Za-z]{24,}|[^\s@]+@[^\s@]+|\+?\d{7,}")
_SHOWN = 200
_ID, _NO_ID = re.compile(r"\d{1,18}", re.ASCII), 10**18
"""What is longer is no id to the parser either, and too long for PostgreSQL."""


class Filter(NamedTuple):
    """One condition on a list; several must all hold."""

    property: str
    operator: Operator
    value: str | int


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, and how long the service says the whole list is."""

    rows: list[Any]
    total: int | None


class ApiKey(httpx.Auth):
    """Sends a user's key as ``X-Auth-Token``."""

    def __init__(self, key: str) -> None:
        self._key = remember(key)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Put the key on the request."""
        request.headers["X-Auth-Token"] = self._key
        yield request


class StoredKey(ApiKey):
    """A key that `voipsync auth` keeps: one that was replaced meanwhile is read again, once it is refused.

    Args:
        key: as it was stored when the run began.
        read: reads what is stored by now.
    """

    def __init__(self, key: str, read: Callable[[], Awaitable[str | None]]) -> None:
        super().__init__(key)
        self._read = read

    async def ready(self) -> None:
        """Nothing is due before a refusal."""

    async def renew(self, request: httpx.Request, _answer: Answer) -> bool:
        """Take the key that is stored by now; tell whether it is another than the one that was refused."""
        self._key = await self._read() or self._key
        return self._key != request.headers["X-Auth-Token"]


class VoipStudio:
    """Reads one VoIPstudio account.

    Every method raises `Unauthorized` where the key is refused, `ApiError` where the service refuses
    this one question, and `ServiceUnavailable` where its answer is of no use.

    Args:
        transport: made with `ApiKey`, `StoredKey` or `ClientCredentials`.
        account: the account's name, for messages that name its settings.
    """

    def __init__(self, transport: Transport, *, account: str) -> None:
        self._transport = transport
        self.account = account

    def setting(self, key: str) -> str:
        """The full path of one of the account's source settings, for messages."""
        return f"accounts.{self.account}.source.{key}"

    async def ping(self) -> None:
        """Ask whether the service is there and takes the key; this also keeps the key from expiring."""
        self._check(await self._transport.request("GET", "ping"), "ping")

    async def contacts_page(
        self,
        page: int,
        limit: int,
        *,
        sort: str | None = None,
        direction: Direction | None = None,
        filters: Iterable[Filter] = (),
    ) -> Page:
        """Return page ``page`` (from 1) of the contacts; the service may send fewer than ``limit``."""
        query: dict[str, Any] = {"page": page, "limit": limit}
        if sort is not None:
            query["sort"] = sort
        if direction is not None:
            query["dir"] = direction
        if conditions := [condition._asdict() for condition in filters]:
            query["filter"] = json.dumps(conditions, separators=(",", ":"))
        answer = await self._transport.request("GET", "contacts", query=query)
        self._check(answer, "contacts")
        found = _page(answer.data)
        if found is None:
            raise ServiceUnavailable(self._useless("contacts", "a list"))
        return found

    async def contact(self, contact_id: str) -> dict[str, Any] | None:
        """Return one contact, or None where there is none of that id."""
        answer = await self._transport.request("GET", f"contacts/{_segment(contact_id)}")
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        self._check(answer, "contacts/{id}")
        data = answer.data.get("data") if isinstance(answer.data, dict) else None
        if not isinstance(data, dict):
            raise ServiceUnavailable(self._useless("contacts/{id}", "a contact"))
        return data

    async def activity_page(self, contact_id: str, stream: str, page: int, limit: int) -> Page | None:
        """Return a page of a contact's notes, tasks or appointments; None where that is not found.

        An answer that is no list is an `ApiError` here: one contact's broken list must not stop
        the reading of all others.
        """
        answer = await self._transport.request(
            "GET", f"contacts/{_segment(contact_id)}/{stream}", query={"page": page, "limit": limit}
        )
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        self._check(answer, f"contacts/{{id}}/{stream}", stream=stream)
        found = _page(answer.data)
        if found is None:
            raise ApiError(
                self._useless(f"contacts/{{id}}/{stream}", "a list"),
                status=answer.status,
                reason="not_a_list",
            )
        return found

    async def users(self) -> dict[str, str]:
        """Return the e-mail addresses of the account's users by user id (seen by integrators)."""
        found: dict[str, str] = {}
        number = 0
        while True:
            number += 1
            answer = await self._transport.request("GET", "users", query={"page": number, "limit": _USERS})
            self._check(answer, "users")
            page = _page(answer.data)
            if page is None:
                raise ServiceUnavailable(self._useless("users", "a list"))
            ids = {str(known): row for row in page.rows if (known := row_id(row, "id")) is not None}
            if not ids.keys() - found.keys():
                return {known: email for known, email in found.items() if email}
            found |= {known: str(row.get("email") or "").strip() for known, row in ids.items()}

    def _check(self, answer: Answer, what: str, *, stream: str | None = None) -> None:
        if answer.status < httpx.codes.BAD_REQUEST:
            return
        if answer.status == httpx.codes.UNAUTHORIZED:
            raise Unauthorized(f"VoIPstudio refuses {self._credential_and_remedy()}")
        if answer.status == httpx.codes.FORBIDDEN:
            hint = f', or set {self.setting(f"streams.{stream}")} = "off"' if stream else ""
            raise Unauthorized(
                f"VoIPstudio denies access to {what} (HTTP 403): "
                f"the user whose key {self.account} uses needs the right to read it{hint}"
            )
        hint = f"; check {self.setting('base_url')}" if answer.status == httpx.codes.NOT_FOUND else ""
        raise ApiError(
            f"VoIPstudio refuses {what} (HTTP {answer.status}): {server_message(answer.data)}{hint}",
            status=answer.status,
        )

    def _credential_and_remedy(self) -> str:
        auth, command = self._transport.auth, f"`voipsync auth voipstudio login {self.account}`"
        if isinstance(auth, ClientCredentials):
            return f"a fresh token of the gateway (HTTP 401): check {self.setting('oauth')}"
        why = "(HTTP 401): it is wrong, revoked, or was not used for longer than its expiry allows"
        if isinstance(auth, StoredKey):
            return f"the key stored for {self.account} {why}; {command} makes a new one"
        key = self.setting("api_key")
        return f"the key of {key} {why}; put a new one there, or remove the setting and run {command}"

    def _useless(self, what: str, expected: str) -> str:
        return (
            f"VoIPstudio answers {what} with something other than {expected}: "
            f"check {self.setting('base_url')}, or try again later"
        )


def server_message(data: object) -> str:
    """What an error answer says, in one short line without keys, addresses or phone numbers.

    VoIPstudio sends ``message``, ``errors[].message``, both or neither, or no JSON at all.
    """
    said: object = None
    if isinstance(data, Mapping):
        errors = data.get("errors")
        first = errors[0] if isinstance(errors, list) and errors else None
        said = first.get("message") if isinstance(first, Mapping) else None
        said = said or data.get("message")
    if not isinstance(said, str) or not said.strip():
        return "no message"
    line = "".join(c if c.isprintable() else " " for c in said)
    line = _SECRET_OR_ADDRESS.sub("…", " ".join(line.split()))
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def row_id(row: object, *names: str) -> int | None:
    """The id of a raw row under the first of ``names`` that it has; None where it has no usable one."""
    if not isinstance(row, dict):
        return None
    for name in names:
        value = row.get(name)
        if value is not None:
            break
    else:
        return None
    if isinstance(value, str) and _ID.fullmatch(value.strip()):
        return int(value)
    usable = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _NO_ID
    return value if usable else None


def _segment(contact_id: str) -> str:
    return quote(contact_id, safe="")


def _page(data: object) -> Page | None:
    rows = data.get("data") if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(rows, list):
        return None
    total = data.get("total")
    if isinstance(total, str) and total.isascii() and total.isdigit():
        total = int(total)
    countable = isinstance(total, int) and not isinstance(total, bool) and total >= 0
    return Page(rows, total if countable else None)
