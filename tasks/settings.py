"""Central configuration: ``voipsync.toml`` and the environment, checked before anything starts.

Every key can be overridden by ``VOIPSYNC_<SECTION>__<KEY>``, for example
``VOIPSYNC_ACCOUNTS__ACME__SOURCE__TIMEZONE``. A secret is a reference, never the secret itself.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cache, lru_cache
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tasks.errors import ConfigurationError
from tasks.mapping_settings import MappingSettings
from tasks.values import SecretReference, Section, ServiceUrl, ZoneName

Entity = Literal["contacts", "notes", "tasks", "appointments"]
ENTITIES: tuple[Entity, ...] = get_args(Entity)
ACTIVITIES: tuple[Entity, ...] = ("notes", "tasks", "appointments")
Stream = Literal["auto", "on", "off"]

_STATE_URL = "VOIPSYNC_STATE__URL"
ACCOUNT_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class State(Section):
    """Where the ledger lives."""

    url: str = Field(
        "sqlite:///voipsync.db", description="SQLAlchemy URL; production: postgresql+psycopg://user@host/db"
    )
    encryption_keys: list[SecretReference] = Field(
        [],
        description="keys that personal data in the ledger is encrypted with, the newest first; without any "
        "it is in clear there, and only stored credentials are encrypted, by the key file",
    )
    key_file: str = Field(
        "~/.voipsync/{ledger}.key",
        description="where a key is kept that was made because none is configured; {ledger}: one a database",
    )
    history_days: int = Field(
        90, ge=0, description="how long each write is kept, for explain and undo; 0: none is"
    )
    runs_days: int = Field(
        90,
        ge=1,
        description="how long runs and their reports are kept, for the charts; one a minute is 1,440 a day",
    )
    silence_minutes: float = Field(
        15.0,
        gt=0,
        description="how long no sync of an account may have ended well before somebody is alerted; more "
        "than its schedule's interval",
    )


class Streams(Section):
    """Which activity endpoints are read: auto asks once a run whether the account has them."""

    notes: Stream = Field("auto", description="of `/contacts/{id}/notes`")
    tasks: Stream = Field("auto", description="of `/contacts/{id}/tasks`")
    appointments: Stream = Field("auto", description="of `/contacts/{id}/appointments`")


class SourceOAuth(Section):
    """OAuth 2.0 client credentials, for a gateway before VoIPstudio."""

    client_id: str = Field(min_length=1, description="as the gateway knows us")
    client_secret: SecretReference = Field(description="what proves it")
    token_url: ServiceUrl = Field(description="where tokens are issued")
    scope: str = Field("contacts.readonly", description="what the tokens are to allow")


class Source(Section):
    """One VoIPstudio account."""

    base_url: ServiceUrl = Field("https://l7api.com/v1.2/voipstudio", description="where its API is")
    api_key: SecretReference | None = Field(
        None, description="sent as X-Auth-Token; without it, what `voipsync auth voipstudio login` stored"
    )
    oauth: SourceOAuth | None = Field(None, description="instead of api_key, for gateways that issue these")
    timezone: ZoneName = Field("UTC", description="zone of VoIPstudio's offset-less timestamps")
    streams: Streams = Streams()
    activity_scan: Literal["all", "recent", "auto"] = Field(
        "auto",
        description="whose activities a run reads; auto: all contacts' up to 2,000, then recent",
    )
    activity_sweep_hours: float = Field(
        24.0,
        ge=1,
        le=24 * 31,
        description="recent: within how long everybody's activities are read again, an even share by each "
        "run; a contact costs a request a stream in that time",
    )
    page_size: int = Field(
        100, ge=1, le=10_000, description="contacts asked for per page; the service may send fewer"
    )
    concurrency: int = Field(8, ge=1, le=64, description="activity lists read at the same time")


class Quota(Section):
    """The location's request budget, followed from the answers' headers once there are any."""

    requests: int = Field(100, ge=1, description="requests per window to begin with")
    seconds: float = Field(10.0, gt=0, description="length of the window, seconds")
    cap: int | None = Field(
        None, ge=1, description="never more than this per window, whatever the headers allow"
    )
    per_day: int = Field(200_000, ge=1, description="requests per day to begin with")
    daily_reserve: int = Field(1_000, ge=0, description="requests of the day left to others")


class DestinationOAuth(Section):
    """An app of the HighLevel marketplace; the tokens it was given are stored and rotated."""

    client_id: str = Field(min_length=1, description="<app id>-<suffix>")
    client_secret: SecretReference = Field(description="the app's, from its page in the marketplace")
    redirect_uri: ServiceUrl | None = Field(None, description="as registered with the app; https only")
    refresh_token: SecretReference | None = Field(
        None, description="to begin with; then the stored one counts"
    )
    access_token: SecretReference | None = Field(None, description="to begin with")
    company_id: str | None = Field(
        None, description="of an agency's app: its tokens are exchanged for the location's"
    )
    authorize_url: ServiceUrl = Field(
        "https://marketplace.gohighlevel.com/v2/oauth/chooselocation", description="where a person agrees"
    )
    token_url: ServiceUrl | None = Field(None, description="default: base_url and /oauth/token")


class Destination(Section):
    """One HighLevel location."""

    base_url: ServiceUrl = Field("https://services.leadconnectorhq.com", description="where its API is")
    app_url: ServiceUrl = Field(
        "https://app.gohighlevel.com", description="where people open HighLevel; agencies have their own"
    )
    api_version: Literal["v3", "2021-07-28"] = Field("v3", description="of the Contacts API")
    location_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]+$", description="of the sub-account: Settings, Business Profile"
    )
    token: SecretReference | None = Field(
        None, description="private integration token; without it, what `voipsync auth` stored"
    )
    oauth: DestinationOAuth | None = Field(None, description="instead of token: an app of the marketplace")
    calendar_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]+$", description="where appointments go; without it that stream is off"
    )
    quota: Quota = Quota()
    concurrency: int = Field(48, ge=1, le=256, description="requests under way at the same time")
    settle_seconds: float = Field(
        20.0,
        ge=0,
        description="how long after a lost answer the destination's 'not there' is not believed yet",
    )
    search_lag_seconds: float = Field(60.0, ge=0, description="how old the search index may be")
    plan_max_age_hours: float = Field(
        24.0, gt=0, le=24 * 7, description="how old a plan may be that is applied"
    )


class Account(Section):
    """One VoIPstudio account synced into one HighLevel location."""

    tags: list[str] = Field([], description="by which a fleet chooses its accounts")
    first_run: Literal["sync", "plan"] = Field(
        "sync", description="plan: nothing is written before the account's first plan was applied"
    )
    source: Source = Source()
    destination: Destination
    mapping: MappingSettings = MappingSettings()


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="VOIPSYNC_", env_nested_delimiter="__"
    )

    state: State = State()
    accounts: dict[Annotated[str, Field(pattern=ACCOUNT_NAME)], Account] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file."""
        assert isinstance(init_settings, InitSettingsSource)  # noqa: S101 - narrows the type
        assert isinstance(env_settings, EnvSettingsSource)  # noqa: S101
        return (env_settings, init_settings)

    def account(self, name: str) -> Account:
        """Return one account; one that is not configured here may live in a Prefect block of its name.

        Raises:
            ConfigurationError: there is none of that name, or its block has a wrong value.
        """
        if name in self.accounts:
            return self.accounts[name]
        known = ", ".join(sorted(self.accounts)) or "none"
        if os.environ.get("PREFECT_API_URL") and re.fullmatch(ACCOUNT_NAME, name):
            try:
                return _from_block(name)
            except ConfigurationError as error:
                raise ConfigurationError(f"{error}; the configuration has {known}") from None
        raise ConfigurationError(f"unknown account {name!r}: the configuration has {known}")


def load(path: Path | None = None) -> Settings:
    """Read the configuration from ``path``, else ``VOIPSYNC_CONFIG``, else ``./voipsync.toml``.

    Raises:
        ConfigurationError: the file is missing or malformed, a key is unknown or has a wrong value.
    """
    chosen, text = path or Path(os.environ.get("VOIPSYNC_CONFIG") or "voipsync.toml"), ""
    try:
        text = chosen.read_text(encoding="utf-8")
    except FileNotFoundError:
        if path is None and _STATE_URL in os.environ:  # accounts live in Prefect blocks: no file is needed
            chosen = Path("the environment")
        else:
            raise ConfigurationError(
                f"no configuration at {chosen}: `voipsync init` writes one (voipsync.example.toml shows "
                "all of it), or give --config FILE"
            ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"cannot read {chosen}: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from None
    ours = frozenset(item for item in os.environ.items() if item[0].upper().startswith("VOIPSYNC_"))
    return _parsed(text, str(chosen), hash(ours))


@lru_cache(maxsize=1)
def _parsed(text: str, where: str, _environment: int) -> Settings:
    """What a file and the environment say; each run asks, and thousands of accounts take seconds to check."""
    try:
        return of_tables(tomllib.loads(text), where)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{where} is not valid TOML: {error}") from None


def of_tables(tables: Mapping[str, Any], where: str) -> Settings:
    """The configuration that a file's tables and the environment are.

    Raises:
        ConfigurationError: a key is unknown or has a wrong value.
    """
    try:
        settings = Settings(**tables)
    except ValidationError as error:
        raise ConfigurationError(f"{where}: {_first_problem(error)}") from None
    _check_shared_locations(settings.accounts)
    return settings


@cache
def _from_block(name: str) -> Account:
    """An account that lives in a Prefect block, read once a process."""
    from tasks.blocks import account_tables  # noqa: PLC0415 - imports Prefect, only where a block may be

    try:
        return Account.model_validate(account_tables(name))
    except ValidationError as error:
        raise ConfigurationError(f"Prefect block sync-account/{name}: {_first_problem(error)}") from None


def _check_shared_locations(accounts: Mapping[str, Account]) -> None:
    """Two accounts in one location must keep their ids in different custom fields."""
    seen: dict[tuple[str, str], str] = {}
    for name, account in accounts.items():
        key = (account.destination.location_id, account.mapping.id_field.casefold())
        if key in seen:
            raise ConfigurationError(
                f"accounts.{name} and accounts.{seen[key]} share a location: "
                f"give accounts.{name}.mapping.id_field a name of its own"
            )
        seen[key] = name


def _first_problem(error: ValidationError) -> str:
    """One line: the key's path, what is wrong with it, and what is allowed there."""
    problems = error.errors(include_url=False, include_input=False, include_context=True)
    problem = next((one for one in problems if one["type"] == "extra_forbidden"), problems[0])
    path = [str(part) for part in problem["loc"] if part != "[key]"]
    where = ".".join(path) or "the configuration"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    match problem["type"]:
        case "extra_forbidden":
            allowed = _allowed_keys(path[:-1])
            near = get_close_matches(path[-1], allowed, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            return f"{where}: unknown key{hint} (allowed: {', '.join(allowed)}){more}"
        case "missing":
            return f"{where}: is missing{more}"
        case "value_error":
            return f"{where}: {problem['msg'].removeprefix('Value error, ')}{more}"
        case _:
            return f"{where}: {problem['msg'][0].lower()}{problem['msg'][1:]}{more}"


def _allowed_keys(path: Sequence[str]) -> list[str]:
    """The keys of the table at a path: tables lie in tables, by key in mappings and by number in lists."""
    here: Any = Settings
    for part in path:
        here = here.model_fields[part].annotation if _is_table(here) else get_args(here)[-1]
        if isinstance(here, UnionType):
            here = next((one for one in get_args(here) if _is_table(one)), here)
    return sorted(here.model_fields) if _is_table(here) else []


def _is_table(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
