"""Webhooks against a real HTTP server."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from tasks.errors import ConfigurationError, Fatal, RejectedRecord, ServiceUnavailable
from tasks.mapping_settings import Route
from tasks.webhook import Signature, Webhook, Webhooks
from tests.support.receiver import DROP, Receiver, is_signed, receiving

SECRET = "correct horse battery staple"
MESSAGE = {"contact_id": "abc", "tag": "größe"}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


def route(receiver: Receiver, name: str = "WEBHOOK_SECRET") -> Route:
    return Route(tag="vip", webhook=receiver.url, webhook_secret=f"${{{name}}}")


@pytest.fixture
async def webhook(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Webhook]:
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    monkeypatch.setattr("tasks.transport.FIRST_PATIENCE_SECONDS", 0.1)
    webhooks = Webhooks([route(receiver)], where="accounts.acme.mapping.routes")
    yield webhooks.of(route(receiver))
    await webhooks.close()


async def test_a_message_is_signed_and_has_its_key(receiver, webhook):
    await webhook.post(MESSAGE, "key-1")
    [(headers, body)] = receiver.came
    assert receiver.messages == [MESSAGE]
    assert is_signed(headers, body, SECRET)
    assert not is_signed(headers, body, "another secret")
    assert not is_signed(headers, body + b" ", SECRET)
    seconds = int(headers["x-voipsync-signature"].removeprefix("t=").split(",")[0])
    assert abs(seconds - time.time()) < 10
    assert (headers["idempotency-key"], headers["content-type"]) == ("key-1", "application/json")


def test_it_is_signed_by_the_clock_that_it_is_given():
    request = httpx.Request("POST", "https://hooks.example.com", content=b"{}")
    next(Signature(SECRET, lambda: 1_800_000_000.9).auth_flow(request))
    assert request.headers["x-voipsync-signature"].startswith("t=1800000000,v1=")


@pytest.mark.parametrize("trouble", [500, 503, 429, DROP])
async def test_what_may_pass_is_sent_again_under_the_same_key(receiver, webhook, trouble, monkeypatch):
    monkeypatch.setattr("tasks.transport.FIRST_PATIENCE_SECONDS", 10.0)
    receiver.answers = [trouble]
    await webhook.post(MESSAGE, "key-1")
    assert receiver.keys == ["key-1", "key-1"]
    assert all(is_signed(headers, body, SECRET) for headers, body in receiver.came)


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_a_refusal_is_not_sent_again(receiver, webhook, status):
    receiver.answers = [status]
    with pytest.raises(RejectedRecord, match=str(status)) as refused:
        await webhook.post(MESSAGE, "key-1")
    assert len(receiver.came) == 1
    assert "/hooks" not in str(refused.value)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(receiver, webhook, status):
    receiver.answers = [status]
    with pytest.raises(Fatal, match="redirects"):
        await webhook.post(MESSAGE, "key-1")
    assert len(receiver.came) == 1


async def test_a_receiver_that_is_down_is_given_up_soon(receiver, webhook):
    receiver.always = 500
    with pytest.raises(ServiceUnavailable) as down:
        await webhook.post(MESSAGE, "key-1")
    assert "/hooks" not in str(down.value)


def test_a_missing_secret_is_an_error_of_the_configuration(receiver, monkeypatch):
    monkeypatch.delenv("NOT_THERE", raising=False)
    with pytest.raises(ConfigurationError, match=r"acme\.mapping\.routes\.0\.webhook_secret"):
        Webhooks([route(receiver, "NOT_THERE")], where="accounts.acme.mapping.routes")
