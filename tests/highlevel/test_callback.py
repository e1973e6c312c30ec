"""The address that brings a code: pasted, or to the listener; whatever else comes, and however much."""

from __future__ import annotations

import asyncio
import socket
from http import HTTPStatus
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tasks.errors import ConfigurationError, Fatal, Unauthorized
from tasks.highlevel import callback
from tasks.highlevel.callback import CONNECTIONS, REQUEST_BYTES, Listener, code_of_pasted, judge

REDIRECT = "https://sync.example.com/voipsync/callback"
PATH = "/voipsync/callback"
STATE = "s7-Xq_"


def query(**values):
    return urlencode({"code": "c0de", "state": STATE, **values}, doseq=True)


def get(target, method="GET"):
    return f"{method} {target} HTTP/1.1\r\nHost: sync.example.com\r\n\r\n".encode()


# Pasted


@pytest.mark.parametrize("text", [f"{REDIRECT}?{query()}", f"  {REDIRECT}?foo=1&{query()}#top \n"])
def test_the_whole_address_gives_the_code(text):
    assert code_of_pasted(text, REDIRECT, STATE) == "c0de"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("c0de", "that is no address: paste the whole address"),
        ("", "that is no address"),
        ("https://[::1", "that is no address"),
        (
            f"http://sync.example.com{PATH}?{query()}",
            "not the address that HighLevel redirects to: https://sync",
        ),
        (f"https://evil.example.com{PATH}?{query()}", "not the address that HighLevel redirects to"),
        (f"https://sync.example.com@evil.example.com{PATH}?{query()}", "not the address that HighLevel"),
        (f"{REDIRECT}/more?{query()}", "not the address that HighLevel redirects to"),
        (f"{REDIRECT}?{query(state='another')}", "its state is not that of this attempt"),
        (f"{REDIRECT}?{query(state=[STATE, 'another'])}", "its state is not that of this attempt"),
        (f"{REDIRECT}?code=c0de", "its state is not that of this attempt"),
        (f"{REDIRECT}?state={STATE}", "it holds no code"),
        (f"{REDIRECT}?{query(code=['a', 'b'])}", "it holds no code"),
        (f"{REDIRECT}?{query(code='a b')}", "it holds no code"),
        (f"{REDIRECT}?{'&'.join('a=1' for _ in range(200))}", "it has too many parameters"),
    ],
)
def test_any_other_text_is_refused_with_one_clear_line(text, line):
    with pytest.raises(ConfigurationError, match=line) as raised:
        code_of_pasted(text, REDIRECT, STATE)
    assert "\n" not in str(raised.value)
    assert "c0de" not in str(raised.value)


def test_a_person_who_does_not_agree_is_believed_only_with_the_state():
    refusal = f"{REDIRECT}?error=access_denied<b>&state="
    with pytest.raises(Unauthorized, match=r"did not let the app into the location \(access_denied b\)$"):
        code_of_pasted(refusal + STATE, REDIRECT, STATE)
    with pytest.raises(ConfigurationError, match="its state is not"):
        code_of_pasted(refusal + "another", REDIRECT, STATE)


@given(st.text() | st.text().map(lambda text: f"{REDIRECT}?{text}") | st.text().map(lambda t: f"https://{t}"))
@example(f"{REDIRECT}?state=\ud800&code=x")
@example("https://\u2100.example.com")
def test_no_paste_crashes_or_passes(text):
    with pytest.raises(ConfigurationError):
        code_of_pasted(text, REDIRECT, STATE)


# Received


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (get(f"{PATH}?{query(state='another')}"), 400),
        (get(f"{PATH}?code=c0de"), 400),
        (get(f"{PATH}?{query()}", "POST"), 405),
        (get(f"{PATH}?{query()}", "HEAD"), 405),
        (get("/"), 404),
        (get("/favicon.ico"), 404),
        (get(f"{PATH}/?{query()}"), 404),
        (get(f"https://sync.example.com{PATH}?{query()}"), 404),
        (b"CONNECT evil.example.com:443 HTTP/1.1\r\n\r\n", 404),
        (b"GET\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (f"GET {PATH}?{query()}".encode() + b"\r\n\r\n", 400),
    ],
)
def test_only_a_get_of_the_path_with_the_state_fits(head, status):
    assert judge(head, PATH, STATE) == (HTTPStatus(status), None)


def test_the_one_that_fits_gives_the_code():
    assert judge(get(f"{PATH}?{query()}"), PATH, STATE) == (HTTPStatus.OK, "c0de")


@given(st.binary() | st.binary().map(lambda raw: b"GET " + PATH.encode() + b"?" + raw + b" HTTP/1.1\r\n\r\n"))
def test_no_request_crashes_or_passes(raw):
    status, code = judge(raw, PATH, STATE)
    assert code is None
    assert status in (400, 404, 405)


# The listener itself


async def listening(seconds=20.0):
    listener = Listener(0, PATH, STATE)
    waiting = asyncio.create_task(listener.wait(seconds))
    while not listener.port:
        await asyncio.sleep(0.001)
    return listener, waiting


async def send(port, raw, *, ends=True):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(raw)
        if ends:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), 20)
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def test_the_listener_answers_with_a_plain_page_and_then_stops():
    listener, waiting = await listening()
    assert (await send(listener.port, get("/favicon.ico"))).startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert (await send(listener.port, get(f"{PATH}?code=evil&state=x"))).startswith(b"HTTP/1.1 400 ")
    page = await send(listener.port, get(f"{PATH}?{query()}"))
    head, _, body = page.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain")
    assert b"Cache-Control: no-store" in head
    assert b"Location" not in head
    assert b"c0de" not in page
    assert body == b"voipsync has its answer. You can close this page.\n"
    assert await waiting == "c0de"
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", listener.port)


async def test_the_listener_is_on_loopback_only():
    listener, waiting = await listening()
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in others - {"127.0.0.1"}:
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(address, listener.port)
    waiting.cancel()


async def test_nobody_who_comes_in_time_is_a_clear_end():
    with pytest.raises(Fatal, match="nobody agreed within 10 minutes: run the command again"):
        await Listener(0, PATH, STATE).wait(0.05)


async def test_a_port_that_is_taken_is_named():
    listener, waiting = await listening()
    with pytest.raises(ConfigurationError, match=f"cannot listen on 127.0.0.1:{listener.port}: Address"):
        await Listener(listener.port, PATH, STATE).wait(1)
    waiting.cancel()


async def test_a_person_who_does_not_agree_ends_the_waiting():
    listener, waiting = await listening()
    await send(listener.port, get(f"{PATH}?error=access_denied&state={STATE}"))
    with pytest.raises(Unauthorized, match="access_denied"):
        await waiting


async def test_too_much_too_slow_and_too_many_are_cut_off(monkeypatch):
    monkeypatch.setattr(callback, "REQUEST_SECONDS", 0.2)
    listener, waiting = await listening()
    endless = b"GET /?" + b"a" * (4 * REQUEST_BYTES)
    assert b"200 OK" not in await send(listener.port, endless, ends=False)
    answers = await asyncio.gather(
        *(send(listener.port, b"GET ", ends=False) for _ in range(2 * CONNECTIONS))
    )
    assert not any(b"200 OK" in answer for answer in answers)
    await send(listener.port, get(f"{PATH}?{query()}"))
    assert await waiting == "c0de"


def test_whatever_is_sent_the_listener_lives_and_connects_nowhere(monkeypatch):
    async def garbage(pieces):
        connects = []
        listener, waiting = await listening()
        loop = asyncio.get_running_loop()
        plain = loop.sock_connect

        async def watched(sock, address):
            connects.append(address)
            return await plain(sock, address)

        loop.sock_connect = watched
        for raw in pieces:
            await send(listener.port, raw)
        assert not waiting.done()
        await send(listener.port, get(f"{PATH}?{query()}"))
        assert await waiting == "c0de"
        assert {address[1] for address in connects} == {listener.port}

    lines = st.sampled_from(
        [b"GET " + PATH.encode(), b" HTTP/1.1", b"\r\n", b"Host: evil.example.com", b"?", b"\0"]
    )
    raw = st.binary(max_size=200) | st.lists(lines, max_size=8).map(b" ".join)

    @given(st.lists(raw, max_size=5))
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def play(pieces):
        asyncio.run(garbage(pieces))

    play()
