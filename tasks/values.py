"""Kinds of values that a configuration holds, each checked where it is read; and secrets, by reference."""

import os
import re
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, BaseModel, ConfigDict

from tasks.errors import ConfigurationError
from tasks.redaction import remember

_SECRET = re.compile(
    r"^(?:\$\{(?P<env>[A-Za-z_][A-Za-z0-9_]*)\}|file:(?P<file>.+)|block:secret/(?P<block>[a-z0-9-]+)"
    r"|block:sync-account/(?P<account>[a-z0-9-]+)\.(?P<field>[a-z_]+))$"
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


@cache
def _zones() -> frozenset[str]:
    """All zones: they are files on the disk."""
    return frozenset(available_timezones())


def _zone(value: str) -> str:
    if value not in _zones():
        near = get_close_matches(value, _zones(), n=1)
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


SecretReference = Annotated[str, AfterValidator(_reference)]
ServiceUrl = Annotated[str, AfterValidator(_service_url)]
ZoneName = Annotated[str, AfterValidator(_zone)]
CountryCode = Annotated[str, AfterValidator(_country)]


class Section(BaseModel):
    """A closed table of the configuration: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def resolve_secret(reference: str | None, *, where: str) -> str:
    """Return the secret a reference points to; ``where`` is the key's path, for messages.

    Raises:
        ConfigurationError: the environment variable, file or block is missing or empty.
    """
    if reference is None:
        raise ConfigurationError(f"{where}: is missing")
    match = _SECRET.match(reference)
    if match is None:
        raise ConfigurationError(f"{where} {_REFERENCE_HINT}")
    if name := match["env"]:
        value, what = os.environ.get(name, ""), f"environment variable {name}"
    elif file := match["file"]:
        value, what = _read_secret_file(Path(file).expanduser(), where), f"file {file}"
    else:
        from tasks import blocks  # noqa: PLC0415 - imports Prefect, only where a block is named

        if name := match["block"]:
            value, what = blocks.secret_block(name, where=where), f"Prefect secret block {name}"
        else:
            name, field = match["account"], match["field"]
            value = blocks.account_secret(name, field, where=where)
            what = f"{field} of Prefect block sync-account/{name}"
    if not value.strip():
        raise ConfigurationError(f"{where}: {what} is not set")
    if not value.strip().isprintable() or not value.strip().isascii():
        raise ConfigurationError(f"{where}: {what} holds characters that no key or token has")
    return remember(value.strip())


_REFERENCE_HINT = "must be ${NAME}, file:PATH or block:secret/NAME"


def _read_secret_file(path: Path, where: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigurationError(f"{where}: cannot read {path}: {why}") from None
