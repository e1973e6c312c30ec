"""How the code of a person's agreement comes back: by the pasted address, or to a listener on loopback.

The code counts only with the state that went out with the question: an address that somebody else made would
connect us to a location of theirs.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import re
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from tasks.errors import ConfigurationError, Fatal, Unauthorized

WAIT_SECONDS = 600.0
"""How long a person may take to agree."""
REQUEST_BYTES = 16_384
REQUEST_SECONDS = 10.0
"""How much, and for how long, the listener reads of one request."""
CONNECTIONS = 16
"""Connections to the listener at the same time, at most."""
TOO_LATE = f"nobody agreed within {WAIT_SECONDS / 60:.0f} minutes: run the command again"
_LINE = re.compile(rb"([A-Z]{1,16}) ([\x21-\x7e]{1,8192}) HTTP/1\.[01]")
_PAGES = {
    HTTPStatus.OK: "voipsync has its answer. You can close this page.",
    HTTPStatus.BAD_REQUEST: "This is not the answer that voipsync waits for.",
    HTTPStatus.NOT_FOUND: "Nothing here.",
    HTTPStatus.METHOD_NOT_ALLOWED: "Nothing here.",
}


class Stray(ValueError):  # noqa: N818 - named by what it is about
    """What was received is not the answer to our question; the text says why."""


def code_of(query: str, state: str) -> str:
    """Return the code in the query of the redirected address.

    Raises:
        Stray: it is not the answer to our question.
        Unauthorized: it is, and the person did not agree.
    """
    try:
        values = parse_qs(query, max_num_fields=100)
    except ValueError:
        raise Stray("it has too many parameters") from None
    given = values.get("state", [])
    if len(given) != 1 or not hmac.compare_digest(given[0].encode("utf-8", "replace"), state.encode()):
        raise Stray("its state is not that of this attempt: take the address that was printed just now")
    if "error" in values:
        why = re.sub(r"[^A-Za-z_]+", " ", values["error"][0])[:40].strip()
        raise Unauthorized(f"HighLevel did not let the app into the location ({why or 'no reason given'})")
    codes = values.get("code", [])
    if len(codes) != 1 or not re.fullmatch(r"[\x21-\x7e]{1,4096}", codes[0]):
        raise Stray("it holds no code")
    return codes[0]


def code_of_pasted(text: str, redirect_uri: str, state: str) -> str:
    """Return the code in an address that was pasted.

    Raises:
        ConfigurationError: it is not the address that the browser was sent to by this attempt.
        Unauthorized: the person did not agree.
    """
    want = urlsplit(redirect_uri)
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        parts = urlsplit("")
    if not parts.scheme:
        raise ConfigurationError(
            "that is no address: paste the whole address from the browser's address bar; the code alone does "
            "not show that it belongs to this attempt"
        )
    if (parts.scheme, parts.netloc, parts.path or "/") != (want.scheme, want.netloc, want.path or "/"):
        raise ConfigurationError(f"that is not the address that HighLevel redirects to: {redirect_uri}?…")
    try:
        return code_of(parts.query, state)
    except Stray as stray:
        raise ConfigurationError(f"that address is not the answer: {stray}") from None


def judge(head: bytes, path: str, state: str) -> tuple[HTTPStatus, str | None]:
    """Return the status for a request to the listener, and the code where it is the one that fits.

    Raises:
        Unauthorized: it fits, and the person did not agree.
    """
    line = _LINE.fullmatch(head.split(b"\r\n", 1)[0])
    if line is None:
        return HTTPStatus.BAD_REQUEST, None
    target, _, query = line[2].decode("ascii").partition("?")
    if target != path:
        return HTTPStatus.NOT_FOUND, None
    if line[1] != b"GET":
        return HTTPStatus.METHOD_NOT_ALLOWED, None
    try:
        return HTTPStatus.OK, code_of(query, state)
    except Stray:
        return HTTPStatus.BAD_REQUEST, None


@dataclass(slots=True)
class Listener:
    """Waits on loopback for the one request that brings the code; it connects to nobody.

    Before it stands what ends TLS for the https ``redirect_uri`` and hands requests on.

    Args:
        port: on 127.0.0.1; 0 for any.
        path: the redirect_uri's.
        state: that went out with the question.
    """

    port: int
    path: str
    state: str
    _open: int = 0
    _code: asyncio.Future[str] = field(init=False)

    async def wait(self, seconds: float = WAIT_SECONDS) -> str:
        """Return the code.

        Raises:
            ConfigurationError: the port cannot be listened on.
            Unauthorized: the person did not agree.
            Fatal: nobody came in time.
        """
        self._code = asyncio.get_running_loop().create_future()
        try:
            server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=REQUEST_BYTES)
        except (OSError, OverflowError) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else "no such port"
            raise ConfigurationError(f"cannot listen on 127.0.0.1:{self.port}: {why}") from None
        self.port = server.sockets[0].getsockname()[1]
        try:
            async with asyncio.timeout(seconds):
                return await self._code
        except TimeoutError:
            raise Fatal(TOO_LATE) from None
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= CONNECTIONS:
                await self._answer(reader, writer)
        finally:
            self._open -= 1
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        code, refusal = None, None
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status, code = judge(head, self.path, self.state)
        except Unauthorized as error:
            status, refusal = HTTPStatus.OK, error
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError):
            status = HTTPStatus.BAD_REQUEST
        with suppress(OSError, TimeoutError):
            writer.write(_page(status))
            async with asyncio.timeout(REQUEST_SECONDS):
                await writer.drain()
        if self._code.done():
            return
        if refusal is not None:
            self._code.set_exception(refusal)
        elif code is not None:
            self._code.set_result(code)


def _page(status: HTTPStatus) -> bytes:
    text = f"{_PAGES[status]}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(text)}",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "Connection: close",
    )
    return "\r\n".join((*head, "", "")).encode() + text
