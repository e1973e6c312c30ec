"""What the checks of one account share: its two services, and what was asked of them, each once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, TypeAlias

import httpx

from tasks.engine.checks.finding import NotKnown, Verdict
from tasks.engine.keyring import Standing, standings
from tasks.engine.vault import Vault
from tasks.errors import LedgerUnavailable, VoipsyncError
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import SearchContacts
from tasks.highlevel.scopes import needed_scopes
from tasks.identity.needs import Needs
from tasks.ledger.clock import Clock, OwnClock, clock_of
from tasks.ledger.database import Database
from tasks.settings import ACTIVITIES, Settings
from tasks.transport import Transport
from tasks.voipstudio.client import VoipStudio, row_id

READS = {
    "contacts.readonly": "contacts",
    "locations.readonly": "location",
    "locations/customFields.readonly": "fields",
    "calendars.readonly": "calendars",
    "calendars/events.readonly": "events",
    "users.readonly": "users",
    "workflows.readonly": "workflows",
}
"""A read that shows whether a token has a scope."""
LACKS_SCOPE = re.compile(r"lacks the scope")
ELSEWHERE = re.compile(r"belongs to another location|are for location")
"""How refusals of a credential that is accepted as such are worded."""
USERS = 100
"""Users asked for at once."""
PATIENCE_SECONDS = 6.0
"""How long a service may give no useful answer: somebody waits for the verdict."""
FINISH_SECONDS = 20.0
"""How long what is still under way may take, once the checks have stopped waiting for it."""


Check: TypeAlias = "Callable[[Subject], Awaitable[Verdict]]"
"""A check asks what it needs, and decides."""


class Ear:
    """A pacer that lets everything pass, and listens to what the answers' headers say."""

    def __init__(self, clock: Clock) -> None:
        self.headers = httpx.Headers()
        self.ahead: float | None = None
        """Seconds that the service's clock is ahead of the ledger's."""
        self._clock = clock

    async def permit(self) -> int:
        """Grant at once: a handful of requests in all."""
        return 0

    def observe(self, permit: int, status: int, headers: Mapping[str, str]) -> None:
        """Keep an answer's headers."""
        if not status:
            return
        self.headers = httpx.Headers(dict(headers))
        if not self._clock.known:
            return
        with suppress(ValueError):
            said = parsedate_to_datetime(self.headers.get("date", "")).timestamp()
            self.ahead = said - self._clock.now()


class Subject:
    """One account under examination; what it asks of the services, it asks at once.

    Args:
        name: the account's.
        settings: the whole configuration.
        database: the ledger's.
        usable: whether the database can be asked for stored credentials.
    """

    def __init__(self, name: str, settings: Settings, database: Database, *, usable: bool) -> None:
        self.name = name
        self.where = f"accounts.{name}"
        self.account = settings.account(name)
        self.needs = Needs.of(name, self.account)
        clock = clock_of(database.engine.dialect)
        self.ears = {"VoIPstudio": Ear(clock), "HighLevel": Ear(clock)}
        self._database = database
        self._usable = usable
        self._vault = Vault(name, settings, database)
        self._wires: list[Transport] = []
        self._asked: dict[str, asyncio.Task[Any]] = {}
        self._ask_source()
        self._ask_destination()

    async def own(self, what: str) -> Any:  # noqa: ANN401 - whatever was asked
        """Return what was asked, or raise why it could not be."""
        return await asyncio.shield(self._asked[what])

    async def borrowed(self, what: str) -> Any:  # noqa: ANN401
        """As `own`, for a check that is not about this.

        Raises:
            NotKnown: it could not be asked; another check says why.
        """
        try:
            return await self.own(what)
        except VoipsyncError as error:
            raise self.not_known(what, error) from None

    def not_known(self, what: str, error: VoipsyncError) -> NotKnown:
        """The check that says why something could not be asked."""
        if what in ("ping", "streams", "source users"):
            return NotKnown("voipstudio streams" if what == "streams" else "voipstudio credential")
        if ELSEWHERE.search(str(error)):
            return NotKnown("highlevel location")
        return NotKnown(f"highlevel {'scopes' if LACKS_SCOPE.search(str(error)) else 'credential'}")

    async def standing(self, service: str) -> Standing | None:
        """How the credential at a service stands by now, as far as the ledger knows."""
        if not self._usable:
            return None
        every = await self._database.look(
            lambda connection: standings(connection, name=self.name, account=self.account)
        )
        return next(one for one in every if one.service == service)

    def now(self) -> float:
        """The ledger's time, UTC seconds."""
        return self._database.now()

    async def close(self) -> None:
        """End what is still asked, and close the connections.

        That waits a while before it cuts anything off: a refresh token that is under way is good for one use.
        """
        await asyncio.wait(self._asked.values(), timeout=FINISH_SECONDS)
        for task in self._asked.values():
            task.cancel()
        await asyncio.gather(*self._asked.values(), return_exceptions=True)
        for wire in self._wires:
            await wire.close()

    def _ask(self, what: str, asking: Coroutine[Any, Any, Any]) -> None:
        self._asked[what] = asyncio.ensure_future(asking)

    def _ask_source(self) -> None:
        source = asyncio.ensure_future(self._source())
        self._asked["source"] = source

        async def ping() -> None:
            await (await asyncio.shield(source)).ping()

        async def streams() -> tuple[int | None, dict[str, bool]]:
            client = await asyncio.shield(source)
            page = await client.contacts_page(1, 1)
            number = row_id(page.rows[0], "id", "contactId") if page.rows else None
            wanted = [one for one in ACTIVITIES if getattr(self.account.source.streams, one) != "off"]
            there: dict[str, bool] = {
                stream: await client.activity_page(str(number), stream, 1, 1) is not None
                for stream in wanted
                if number is not None
            }
            return page.total, there

        async def users() -> Mapping[str, str]:
            found: Mapping[str, str] = await (await asyncio.shield(source)).users()
            return found

        self._ask("ping", ping())
        self._ask("streams", streams())
        if self.needs.users_by_email:
            self._ask("source users", users())

    def _ask_destination(self) -> None:
        api = asyncio.ensure_future(self._api())
        self._asked["api"] = api
        wanted = {READS[scope] for scope in needed_scopes(self.account) if scope in READS}

        async def of(what: str) -> Any:  # noqa: ANN401
            client = await asyncio.shield(api)
            match what:
                case "location":
                    return await client.get_location()
                case "fields":
                    return await client.list_custom_fields()
                case "calendars":
                    return await client.list_calendars()
                case "workflows":
                    return await client.list_workflows()
                case "events":
                    now = datetime.fromtimestamp(OwnClock().now(), UTC)  # any minute will do
                    return await client.calendar_events(
                        self.needs.calendar or "", now, now + timedelta(minutes=1)
                    )
                case "users":
                    company = (await self.own("location")).company_id
                    return (await client.search_users(company or "", limit=USERS, skip=0)).users
                case _:
                    return await client.search_contacts(SearchContacts(pageLimit=1))

        for what in sorted(wanted):
            self._ask(what, of(what))

    async def _source(self) -> VoipStudio:
        self._check_vault("voipstudio")
        auth = await asyncio.to_thread(self._vault.source)
        wire = self._wire("VoIPstudio", self.account.source.base_url, auth)
        return VoipStudio(wire, account=self.name)

    async def _api(self) -> ContactsApi:
        self._check_vault("highlevel")
        destination = self.account.destination
        auth = await asyncio.to_thread(self._vault.destination)
        wire = self._wire("HighLevel", destination.base_url, auth)
        return ContactsApi(wire, location_id=destination.location_id, version=destination.api_version)

    def _wire(self, service: str, base_url: str, auth: httpx.Auth) -> Transport:
        made = Transport(service, base_url, auth, pacer=self.ears[service], patience=PATIENCE_SECONDS)
        self._wires.append(made)
        return made

    def _check_vault(self, service: str) -> None:
        source, destination = self.account.source, self.account.destination
        configured = (source.api_key or source.oauth) if service == "voipstudio" else destination.token
        if not configured and not self._usable:
            raise LedgerUnavailable(
                "none is configured, and the ledger, which may have one, cannot be asked: see to the check "
                "'database' first"
            )
