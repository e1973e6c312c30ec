"""Central configuration: ``voipsync.toml`` and the environment, checked before anything starts.

Every key can be overridden by ``VOIPSYNC_<SECTION>__<KEY>``, for example
``VOIPSYNC_ACCOUNTS__ACME__SOURCE__TIMEZONE``. A secret is a reference, never the secret itself.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tasks.errors import ConfigurationError

Entity = Literal["contacts", "notes", "tasks", "appointments"]
ENTITIES: tuple[Entity, ...] = get_args(Entity)
ACTIVITIES: tuple[Entity, ...] = ("notes", "tasks", "appointments")
Stream = Literal["auto", "on", "off"]

_ACCOUNT_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}$"
_SECRET = re.compile(
    r"^(?:\$\{(?P<env>[A-Za-z_][A-Za-z0-9_]*)\}|file:(?P<file>.+)|block:secret/(?P<block>[a-z0-9-]+))$"
)
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def _reference(value: str) -> str:
    if not _SECRET.match(value):
        msg = "is a secret: give a reference, ${NAME}, file:PATH or block:secret/NAME, not the secret itself"
        raise ValueError(msg)
    return value


def _service_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        msg = "must be an https:// address"
        raise ValueError(msg)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        msg = "must be https:// (http:// is for loopback only)"
        raise ValueError(msg)
    if parts.username or parts.password or parts.query or parts.fragment:
        msg = "must hold no user, password, query or fragment"
        raise ValueError(msg)
    return value.rstrip("/")


def _zone(value: str) -> str:
    if value not in available_timezones():
        near = get_close_matches(value, available_timezones(), n=1)
        msg = "is no IANA time zone" + (
            f"; did you mean {near[0]!r}?" if near else ', such as "Europe/London"'
        )
        raise ValueError(msg)
    return value


def _country(value: str) -> str:
    import phonenumbers  # noqa: PLC0415 - 20 ms, and only needed where an account is read

    if value not in phonenumbers.SUPPORTED_REGIONS:
        msg = 'is no ISO 3166 country code of two capital letters, such as "GB"'
        raise ValueError(msg)
    return value


def _supported(value: str) -> str:
    if value != "ignore":
        msg = "only 'ignore' is supported so far"
        raise ValueError(msg)
    return value


SecretReference = Annotated[str, AfterValidator(_reference)]
ServiceUrl = Annotated[str, AfterValidator(_service_url)]
ZoneName = Annotated[str, AfterValidator(_zone)]
CountryCode = Annotated[str, AfterValidator(_country)]
Deletes = Annotated[Literal["ignore", "tag", "delete"], AfterValidator(_supported)]


class Section(BaseModel):
    """A closed table of the configuration: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class State(Section):
    """Where the ledger lives."""

    url: str = Field(
        "sqlite:///voipsync.db", description="SQLAlchemy URL; production: postgresql+psycopg://user@host/db"
    )


class Streams(Section):
    """Which activity endpoints are read: auto asks once a run whether the account has them."""

    notes: Stream = "auto"
    tasks: Stream = "auto"
    appointments: Stream = "auto"


class Source(Section):
    """One VoIPstudio account."""

    base_url: ServiceUrl = "https://l7api.com/v1.2/voipstudio"
    api_key: SecretReference = Field(description="sent as X-Auth-Token")
    timezone: ZoneName = Field("UTC", description="zone of VoIPstudio's offset-less timestamps")
    streams: Streams = Streams()
    activity_scan: Literal["all", "recent", "auto"] = Field(
        "auto",
        description="whose activities a run reads; auto: all contacts' up to 2,000, then recent",
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


class Destination(Section):
    """One HighLevel location."""

    base_url: ServiceUrl = "https://services.leadconnectorhq.com"
    api_version: Literal["v3", "2021-07-28"] = "v3"
    location_id: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    token: SecretReference = Field(description="private integration token")
    calendar_id: str | None = Field(
        None, pattern=r"^[A-Za-z0-9_-]+$", description="where appointments go; without it that stream is off"
    )
    quota: Quota = Quota()
    concurrency: int = Field(32, ge=1, le=256, description="requests under way at the same time")
    settle_seconds: float = Field(
        20.0,
        ge=0,
        description="how long after a lost answer the destination's 'not there' is not believed yet",
    )
    search_lag_seconds: float = Field(60.0, ge=0, description="how old the search index may be")


class MappingSettings(Section):
    """How source records become destination records."""

    default_country: CountryCode = Field("US", description="for phone numbers without a country code")
    deletes: Deletes = "ignore"
    origin: str | None = Field(
        None,
        pattern=r"^[^\s·<>&#]{1,40}$",
        description="this account's name in markers; default: the account's name",
    )
    source_label: str = Field("VoIPstudio", description="the contacts' `source`")
    id_field: str = Field(
        "VoIPstudio ID", min_length=1, description="custom field that holds the VoIPstudio id"
    )
    phones_field: str = Field(
        "VoIPstudio other phones", min_length=1, description="custom field for further phone numbers"
    )
    tag_prefix: str = Field("", description="put before every tag")
    group_as_tag: bool = Field(True, description="a contact's group becomes a tag too")
    appointment_minutes: int = Field(30, ge=1, description="length of an appointment that has no end")


class Account(Section):
    """One VoIPstudio account synced into one HighLevel location."""

    source: Source
    destination: Destination
    mapping: MappingSettings = MappingSettings()


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="VOIPSYNC_", env_nested_delimiter="__"
    )

    state: State = State()
    accounts: dict[Annotated[str, Field(pattern=_ACCOUNT_NAME)], Account] = {}

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
        """Return one account.

        Raises:
            ConfigurationError: there is none of that name.
        """
        if name not in self.accounts:
            known = ", ".join(sorted(self.accounts)) or "none is configured"
            raise ConfigurationError(f"unknown account {name!r}: the configuration has {known}")
        return self.accounts[name]


def load(path: Path | None = None) -> Settings:
    """Read the configuration from ``path``, else ``VOIPSYNC_CONFIG``, else ``./voipsync.toml``.

    Raises:
        ConfigurationError: the file is missing or malformed, a key is unknown or has a wrong value.
    """
    chosen = path or Path(os.environ.get("VOIPSYNC_CONFIG", "voipsync.toml"))
    try:
        raw = tomllib.loads(chosen.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(
            f"no configuration at {chosen}: copy voipsync.example.toml there, or give --config FILE"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"cannot read {chosen}: {getattr(error, 'strerror', None) or 'not UTF-8'}"
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{chosen} is not valid TOML: {error}") from None
    try:
        settings = Settings(**raw)
    except ValidationError as error:
        raise ConfigurationError(f"{chosen}: {_first_problem(error)}") from None
    _check_shared_locations(settings.accounts)
    return settings


def resolve_secret(reference: str, *, where: str) -> str:
    """Return the secret a reference points to; ``where`` is the key's path, for messages.

    Raises:
        ConfigurationError: the environment variable, file or block is missing or empty.
    """
    match = _SECRET.match(reference)
    if match is None:
        raise ConfigurationError(f"{where} {_REFERENCE_HINT}")
    if name := match["env"]:
        value, what = os.environ.get(name, ""), f"environment variable {name}"
    elif file := match["file"]:
        value, what = _read_secret_file(Path(file).expanduser(), where), f"file {file}"
    else:
        from tasks.blocks import secret_block  # noqa: PLC0415 - imports Prefect, only where a block is named

        value, what = secret_block(match["block"], where=where), f"Prefect secret block {match['block']}"
    if not value.strip():
        raise ConfigurationError(f"{where}: {what} is not set")
    if not value.strip().isprintable() or not value.strip().isascii():
        raise ConfigurationError(f"{where}: {what} holds characters that no key or token has")
    return value.strip()


_REFERENCE_HINT = "must be ${NAME}, file:PATH or block:secret/NAME"


def _read_secret_file(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigurationError(f"{where}: cannot read {path}: {why}") from None


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


def _allowed_keys(path: list[str]) -> list[str]:
    model: type[BaseModel] = Settings
    parts = iter(path)
    for part in parts:
        if model is Settings and part == "accounts":
            next(parts, None)
            model = Account
            continue
        inner: Any = model.model_fields[part].annotation
        model = inner
    return sorted(model.model_fields)
