"""What HTTP needs on the way: whom we trust, how a request's content is written, and an answer's bounds."""

from __future__ import annotations

import json as jsonlib
import platform
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from functools import cache
from importlib.metadata import version
from typing import Any
from urllib.parse import urlencode

import httpx

USER_AGENT = f"voipsync/{version('voipsync')} (python {platform.python_version()}; httpx {httpx.__version__})"
ANSWER_BYTES = 64 * 1024 * 1024
"""The largest answer that is read."""


class TooLarge(httpx.ReadError):
    """An answer that is not read to its end."""


@cache
def trust(scheme: str) -> ssl.SSLContext:
    """Whom we trust: read once a process, for that takes longer than many a request.

    Plain http, on loopback, needs no certificates; there nobody is trusted.
    """
    return httpx.create_ssl_context() if scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def distrusted(error: BaseException | None) -> str | None:
    """Why a certificate was not believed, where that is what went wrong."""
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return None if error is None else error.verify_message


def encoded(body: Any, form: Mapping[str, str] | None) -> tuple[bytes | None, str | None]:  # noqa: ANN401
    """A request's content and its type."""
    if form is not None:
        return urlencode(form).encode(), "application/x-www-form-urlencoded"
    if body is None:
        return None, None
    return jsonlib.dumps(body, ensure_ascii=False, separators=(",", ":")).encode(), "application/json"


async def read_bounded(response: httpx.Response) -> bytes:
    """Read an answer to its end, unless that is too far off.

    Raises:
        TooLarge: it is.
    """
    chunks, size = [], 0
    async for chunk in response.aiter_bytes():
        size += len(chunk)
        if size > ANSWER_BYTES:
            raise TooLarge("the answer is larger than is read", request=response.request)
        chunks.append(chunk)
    return b"".join(chunks)


def in_words(error: Exception) -> str:
    """Why there was no answer."""
    return {
        "ConnectError": "connection refused, or no such host",
        "ConnectTimeout": "time-out",
        "ProxyError": "the proxy refuses",
        "ReadTimeout": "time-out",
        "TimeoutError": "time-out",
        "RemoteProtocolError": "malformed answer or closed connection",
        "ReadError": "connection lost",
        "TooLarge": "an answer larger than is read",
    }.get(type(error).__name__, type(error).__name__)


def retry_after(headers: httpx.Headers) -> float | None:
    """Seconds that ``Retry-After`` asks for: a number, or an HTTP date.

    A date is taken as the service means it: as so much later than the answer's own date,
    whatever our clock says.
    """
    value = headers.get("retry-after", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, _instant(value) - (_instant(headers["date"]) if "date" in headers else time.time()))
    except (ValueError, OverflowError):
        return None


def _instant(date: str) -> float:
    return parsedate_to_datetime(date).timestamp()
