"""Client credentials at the modelled gateway before VoIPstudio."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.serve import Sandbox
from sandbox.voipstudio import PREFIX
from tasks.errors import Fatal, ServiceUnavailable, Unauthorized
from tasks.settings import SourceOAuth
from tasks.transport import Transport
from tasks.voipstudio.client import VoipStudio
from tasks.voipstudio.gateway import ClientCredentials

WHERE = "accounts.acme.source.oauth"


@pytest.fixture(scope="module")
def served():
    with Sandbox.threaded(contacts=3) as box:
        yield box


@pytest.fixture
def box(served):
    served.reset(contacts=3, source={}, record=True)
    served.clear_faults()
    served.reset_counters()
    return served


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def settings(token_url, **changes):
    fields = {"client_id": "id", "client_secret": "${SECRET}", "token_url": token_url}
    return SourceOAuth(**{**fields, **changes})


@asynccontextmanager
async def reading(box, clock=None, secret=None, **changes):
    gateway = box.info["gateway"]
    chosen = settings(
        box.voipstudio_url.removesuffix(PREFIX) + gateway["path"],
        **{"client_id": gateway["client_id"], **changes},
    )
    auth = ClientCredentials(chosen, secret or gateway["client_secret"], where=WHERE, clock=clock or Clock())
    transport = Transport("VoIPstudio", box.voipstudio_url, auth, sleep=lambda _: asyncio.sleep(0))
    try:
        yield VoipStudio(transport, account="acme")
    finally:
        await transport.close()


def issued(box):
    return sum(row["path"] == "/oauth/token" and row["status"] == 200 for row in box.requests())


def by_path(box):
    return [(row["path"].rpartition("/")[2], row["status"]) for row in box.requests()]


async def test_one_token_serves_all_requests(box):
    async with reading(box) as client:
        await asyncio.gather(*(client.contacts_page(1, 5) for _ in range(5)))
    assert issued(box) == 1
    assert box.counters()["voipstudio"]["statuses"] == {"200": 6}


@pytest.mark.parametrize("refusal", [401, 400])
async def test_the_client_goes_into_the_body_where_basic_is_refused(box, refusal):
    box.options(voipstudio={"gateway_client": "body", "gateway_refusal": refusal, "gateway_seconds": 1800})
    clock = Clock()
    async with reading(box, clock) as client:
        await client.ping()
        clock.now += 1800
        await client.ping()
    assert by_path(box) == [
        ("token", refusal),
        ("token", 200),
        ("ping", 200),
        ("token", 200),
        ("ping", 200),
    ]


@pytest.mark.parametrize(("says", "lives"), [(600, 540), (None, 3540), (30, 15)])
async def test_a_token_is_renewed_before_its_end(box, says, lives):
    box.options(voipstudio={"gateway_seconds": says})
    clock = Clock()
    async with reading(box, clock) as client:
        await client.ping()
        clock.now += lives - 1
        await client.ping()
        assert issued(box) == 1
        clock.now += 1
        await client.ping()
        assert issued(box) == 2


async def test_a_token_that_is_refused_is_renewed_once_by_all_who_were_refused(box):
    async with reading(box) as client:
        await client.ping()
        box.voipstudio.access.bearers.clear()
        await asyncio.gather(*(client.contacts_page(1, 5) for _ in range(5)))
    assert issued(box) == 2


async def test_a_fresh_token_that_is_refused_ends_it_with_one_clear_line(box):
    box.fault("status", service="voipstudio", path="/ping$", status=401)
    async with reading(box) as client:
        with pytest.raises(Unauthorized) as caught:
            await client.ping()
    assert str(caught.value) == (
        "VoIPstudio refuses a fresh token of the gateway (HTTP 401): check accounts.acme.source.oauth"
    )
    assert by_path(box) == [("token", 200), ("ping", 401), ("token", 200), ("ping", 401)]


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"secret": "a-wrong-secret"}, ("HTTP 401 invalid_client", f"check {WHERE}.client_id and {WHERE}")),
        ({"scope": "everything"}, ("HTTP 400 invalid_scope", f"check {WHERE}.scope")),
    ],
)
async def test_a_refusal_has_its_remedy_and_no_secret(box, changes, parts):
    async with reading(box, **changes) as client:
        with pytest.raises(Unauthorized) as caught:
            await client.ping()
    for part in parts:
        assert part in str(caught.value)
    assert "a-wrong-secret" not in str(caught.value)


async def test_a_gateway_that_stumbles_is_asked_again(box):
    box.fault("status", service="voipstudio", path="/token$", status=503, count=1)
    box.fault("status", service="voipstudio", path="/token$", status=429, count=1, retry_after=1)
    async with reading(box) as client:
        await client.ping()
    assert [status for _, status in by_path(box)] == [503, 429, 200, 200]


def handler_of(token_answer, seen):
    def handler(request):
        seen.append((request.url.host, request.headers.get("Authorization"), request.content))
        return (
            token_answer if request.url.host == "gateway.invalid" else httpx.Response(200, json={"data": {}})
        )

    return handler


async def ask(token_answer, seen=None):
    wire = httpx.MockTransport(handler_of(token_answer, [] if seen is None else seen))
    auth = ClientCredentials(settings("https://gateway.invalid/token"), "se:cret", where=WHERE, wire=wire)
    transport = Transport("VoIPstudio", "https://voip.invalid", auth, wire=wire)
    try:
        return await transport.request("GET", "ping")
    finally:
        await transport.close()


async def test_the_token_is_sent_as_bearer_and_the_client_never_to_voipstudio():
    seen = []
    await ask(httpx.Response(200, json={"access_token": "a-token", "expires_in": "3600"}), seen)
    assert seen == [
        (
            "gateway.invalid",
            "Basic aWQ6c2UlM0FjcmV0",
            b"grant_type=client_credentials&scope=contacts.readonly",
        ),
        ("voip.invalid", "Bearer a-token", b""),
    ]


@pytest.mark.parametrize(
    "content",
    [b"<html>hello</html>", b'{"access_token": "two\\nlines"}', b'{"access_token": 7}', b"[]", b""],
)
async def test_something_other_than_a_token_is_told(content):
    with pytest.raises(ServiceUnavailable, match=f"{WHERE}.token_url answers with something other"):
        await ask(httpx.Response(200, content=content))


async def test_a_redirect_is_not_followed():
    seen = []
    with pytest.raises(Fatal, match="redirects"):
        await ask(httpx.Response(307, headers={"Location": "https://elsewhere.invalid/"}), seen)
    assert {host for host, _, _ in seen} == {"gateway.invalid"}


@given(st.binary(max_size=200), st.sampled_from([200, 201, 400, 401, 403, 404]))
def test_no_answer_of_the_gateway_is_more_than_a_refusal(content, status):
    async def attempt():
        with pytest.raises((Unauthorized, ServiceUnavailable)):
            await ask(httpx.Response(status, content=content))

    asyncio.run(attempt())


@given(st.one_of(st.none(), st.text(), st.integers(), st.floats(), st.lists(st.integers())))
def test_any_lifetime_is_taken(lifetime):
    content = json.dumps({"access_token": "t", "expires_in": lifetime}).encode()
    assert asyncio.run(ask(httpx.Response(200, content=content))).status == 200
