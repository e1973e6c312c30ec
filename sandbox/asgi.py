"""HTTP as an ASGI server hands it over and takes it, in the terms of ``sandbox.wire``.

No framework stands between: it would cost more than what the services do for an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import parse_qs

from sandbox.wire import Call, Reply

Scope: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]
App: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]


async def read(scope: Scope, receive: Receive) -> Call | None:
    """Read a request; None where its sender went before all of it was there: no server acts on a part."""
    raw = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        raw += message.get("body", b"")
        if not message.get("more_body"):
            break
    query = scope["query_string"]
    return Call(
        method=scope["method"],
        path=scope["path"],
        query=parse_qs(query.decode("latin-1"), keep_blank_values=True) if query else {},
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
        raw=raw,
    )


async def send(reply: Reply, extra: dict[str, str], sending: Send) -> None:
    """Send a reply, with extra headers."""
    body = reply.payload()
    headers = [(b"content-length", b"%d" % len(body))]
    if isinstance(reply.body, bytes):
        headers.append((b"content-type", b"text/html; charset=utf-8"))
    elif reply.body is not None:
        headers.append((b"content-type", b"application/json; charset=utf-8"))
    for source in (extra, reply.headers):
        headers.extend((name.lower().encode(), value.encode()) for name, value in source.items())
    if reply.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        headers = headers[1:]
    await sending({"type": "http.response.start", "status": reply.status, "headers": headers})
    await sending({"type": "http.response.body", "body": body})
