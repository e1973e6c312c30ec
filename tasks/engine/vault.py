"""An account's credentials: what the configuration names, else what `voipsync auth` has stored."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import httpx
from sqlalchemy import Connection

from tasks.errors import Busy, ConfigurationError
from tasks.highlevel.access import BearerToken, OAuthAccess
from tasks.highlevel.oauth import Grant, TokenService
from tasks.ledger import credentials, migrate
from tasks.ledger.credentials import HIGHLEVEL_OAUTH, HIGHLEVEL_TOKEN, VOIPSTUDIO_KEY, Credential
from tasks.ledger.database import Database, opened
from tasks.ledger.lease import hold
from tasks.ledger.sealing import Sealer
from tasks.settings import Account, DestinationOAuth, Settings
from tasks.values import resolve_secret
from tasks.voipstudio.client import ApiKey, StoredKey
from tasks.voipstudio.gateway import ClientCredentials

log = logging.getLogger(__name__)

RENEWAL_SECONDS = 60.0
"""How long another process is waited for that renews the tokens."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Gives a run its credentials.

    Its methods block while they read; the database is at the current schema.

    Args:
        name: the account's.
        settings: the whole configuration.
        database: the ledger's.
    """

    name: str
    settings: Settings
    database: Database

    @property
    def account(self) -> Account:
        """The account's settings."""
        return self.settings.account(self.name)

    def source(self) -> httpx.Auth:
        """Return the access to VoIPstudio.

        Raises:
            ConfigurationError: none is configured and none is stored.
        """
        source, where = self.account.source, f"accounts.{self.name}.source"
        if source.api_key is not None:
            return ApiKey(resolve_secret(source.api_key, where=f"{where}.api_key"))
        if source.oauth is not None:
            secret = resolve_secret(source.oauth.client_secret, where=f"{where}.oauth.client_secret")
            return ClientCredentials(source.oauth, secret, where=f"{where}.oauth")
        if (stored := self._stored(VOIPSTUDIO_KEY)) is not None:
            return StoredKey(stored, lambda: asyncio.to_thread(self._stored, VOIPSTUDIO_KEY))
        raise ConfigurationError(
            f"{where}.api_key: is missing, and none is stored: name it there, or run "
            f"`voipsync auth voipstudio login {self.name}`"
        )

    def destination(self) -> httpx.Auth:
        """Return the access to the Contacts API.

        Raises:
            ConfigurationError: none is configured and none is stored.
        """
        destination, where = self.account.destination, f"accounts.{self.name}.destination"
        if destination.token is not None:
            return BearerToken(resolve_secret(destination.token, where=f"{where}.token"))
        if destination.oauth is not None:
            keeper = self.keeper()
            self.database.now_look(keeper.read)
            return OAuthAccess(self.token_service(), keeper)
        if (stored := self._stored(HIGHLEVEL_TOKEN)) is not None:
            return BearerToken(stored)
        raise ConfigurationError(
            f"{where}.token: is missing, and none is stored: name it there, or run "
            f"`voipsync auth highlevel connect {self.name}`"
        )

    def token_service(self) -> TokenService:
        """Return the token endpoint of the account's app.

        Raises:
            ConfigurationError: there is no app, or its secret is missing.
        """
        oauth = self._app()
        where = f"accounts.{self.name}.destination.oauth.client_secret"
        secret = resolve_secret(oauth.client_secret, where=where)
        return TokenService(self.name, self.account, secret, clock=self.database.now)

    def keeper(self) -> GrantKeeper:
        """Return where the grant of the account's app is kept.

        Raises:
            ConfigurationError: there is no app, or a token that it names to begin with is missing.
        """
        oauth, where = self._app(), f"accounts.{self.name}.destination.oauth"
        configured = Grant(
            # a company's access token opens no location
            token=resolve_secret(oauth.access_token, where=f"{where}.access_token")
            if oauth.access_token and not oauth.company_id
            else None,
            refresh_token=resolve_secret(oauth.refresh_token, where=f"{where}.refresh_token")
            if oauth.refresh_token
            else None,
            company_id=oauth.company_id,
        )
        first = configured.refresh_token or configured.token
        begun = hashlib.sha256(first.encode()).hexdigest() if first else ""
        return GrantKeeper(self.name, self.database, Sealer.of(self.settings.state), configured, begun)

    def store_token(self, token: str) -> None:
        """Keep a private integration token."""
        sealer = Sealer.of(self.settings.state)
        self.database.now_do(
            lambda connection: credentials.put(
                connection,
                sealer,
                self.name,
                HIGHLEVEL_TOKEN,
                token,
                about={"location_id": self.account.destination.location_id},
            )
        )

    def _app(self) -> DestinationOAuth:
        oauth = self.account.destination.oauth
        if oauth is None:
            raise ConfigurationError(f"accounts.{self.name}.destination.oauth: is missing")
        return oauth

    def _stored(self, which: str) -> str | None:
        sealer = Sealer.of(self.settings.state)
        found = self.database.now_look(
            lambda connection: credentials.get(connection, sealer, self.name, which)
        )
        return found.secret if found else None


@dataclass(frozen=True, slots=True)
class GrantKeeper:
    """Keeps the grant of an account's app in the ledger's database, sealed.

    The configured tokens only begin it: once something is stored that counts, until the configuration names
    other tokens than it began with.
    """

    name: str
    database: Database
    sealer: Sealer
    configured: Grant
    begun: str

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Keep other processes from renewing the grant, by a lease like that on a location."""
        waiting = f"waiting for another process that renews the tokens of {self.name}"
        try:
            async with hold(
                self.database,
                f"{HIGHLEVEL_OAUTH}:{self.name}",
                secrets.token_hex(8),
                wait=RENEWAL_SECONDS,
                usage=dict,
                tell=lambda _: log.info(waiting),
                about={"account": self.name},
            ):
                yield
        except Busy:
            raise Busy(f"{waiting}, for longer than {RENEWAL_SECONDS:.0f} s: run again") from None

    async def load(self) -> Grant:
        """Return what is stored, else what the configuration begins with."""
        return await self.database.look(self.read)

    async def save(self, grant: Grant, *, instead_of: Grant) -> Grant:
        """Store a grant, unless another than the one it replaces is kept by now."""
        return await self.database.do(lambda connection: self._replace(connection, grant, instead_of))

    def read(self, connection: Connection, *, lock: bool = False) -> Grant:
        """Return what is stored, else what the configuration begins with.

        Raises:
            ConfigurationError: neither is there.
        """
        found = credentials.get(connection, self.sealer, self.name, HIGHLEVEL_OAUTH, lock=lock)
        stored = _grant(found) if found else None
        if stored is not None and self.begun in ("", stored.begun):
            return stored
        if self.begun:
            return self.configured
        raise ConfigurationError(
            f"accounts.{self.name}.destination.oauth: no tokens are configured or stored: run "
            f"`voipsync auth highlevel connect {self.name}`"
        )

    def put(self, connection: Connection, grant: Grant, *, renewal: bool = False) -> None:
        """Store a grant, whatever is kept."""
        held: dict[str, Any] = asdict(grant) | {"begun": self.begun}
        about = {key: value for key, value in held.items() if key not in _SECRET and value is not None}
        credentials.put(
            connection,
            self.sealer,
            self.name,
            HIGHLEVEL_OAUTH,
            json.dumps(held),
            about=about | {"scopes": list(grant.scopes)},
            renewal=renewal,
        )

    def _replace(self, connection: Connection, grant: Grant, instead_of: Grant) -> Grant:
        kept = self.read(connection, lock=True)
        if kept.refresh_token != instead_of.refresh_token:
            return kept
        self.put(connection, grant, renewal=True)
        return grant


_SECRET = ("token", "refresh_token", "begun")
"""What of a grant is not told beside it."""


def _grant(found: Credential) -> Grant:
    held = json.loads(found.secret or "{}")
    return Grant(**{**held, "scopes": tuple(held["scopes"])})


@contextmanager
def open_vault(name: str, settings: Settings) -> Iterator[Vault]:
    """Open an account's vault where no run is open.

    Raises:
        ConfigurationError: unknown account, or unusable database URL.
        LedgerUnavailable: the database cannot be used.
    """
    account = settings.account(name)
    named = account.source.api_key is not None and account.destination.token is not None
    with opened(settings.state.url, Sealer.of_ledger(settings.state)) as database:
        if not named:
            database.now_do(migrate.upgrade)
        yield Vault(name, settings, database)


def check(name: str, settings: Settings) -> None:
    """Look whether a run would have its credentials, before anything takes seconds; nobody is asked.

    Raises:
        ConfigurationError: one is missing, or as `open_vault`.
        LedgerUnavailable: the database cannot be used.
    """
    with open_vault(name, settings) as vault:
        vault.source()
        vault.destination()
