import asyncio
import json

import httpx
import pytest

from sandbox.serve import Sandbox
from tasks.errors import ApiError, ServiceUnavailable, Unauthorized
from tasks.transport import Transport
from tasks.voipstudio.client import Filter, Page, StoredKey, VoipStudio, row_id, server_message
from tests.support.reading import BASE, reading


@pytest.fixture(scope="module")
def served():
    with Sandbox.threaded(contacts=0) as box:
        yield box


@pytest.fixture
def box(served):
    served.reset(contacts=12)
    return served


def answering(status, body):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return lambda _: httpx.Response(status, content=content)


async def test_a_page_of_contacts_and_the_total(box):
    async with reading(box.voipstudio_url, box.api_key) as client:
        page = await client.contacts_page(2, 5, sort="id", direction="DESC")
    ids = sorted((row["id"] for row in box.source()), reverse=True)
    assert [row["id"] for row in page.rows] == ids[5:10]
    assert page.total == 12


async def test_filters_reach_the_service(box):
    numbers = sorted(row["id"] for row in box.source())
    async with reading(box.voipstudio_url, box.api_key) as client:
        page = await client.contacts_page(
            1,
            50,
            sort="id",
            direction="ASC",
            filters=[Filter("id", "gt", numbers[3]), Filter("id", "lte", numbers[7])],
        )
    assert [row["id"] for row in page.rows] == numbers[4:8]


async def test_what_is_sent():
    seen = []

    def handler(request):
        seen.append(request)
        return httpx.Response(200, json={"data": [], "total": 0})

    async with reading(handler=handler, key="a-secret") as client:
        assert await client.contacts_page(3, 50) == Page([], 0)
        await client.contacts_page(1, 50, sort="id", direction="ASC", filters=[Filter("email", "like", "x")])
        await client.activity_page("7", "notes", 2, 20)
    condition = (
        "%5B%7B%22property%22%3A%22email%22%2C%22operator%22%3A%22like%22%2C%22value%22%3A%22x%22%7D%5D"
    )
    assert [str(request.url) for request in seen] == [
        f"{BASE}/contacts?page=3&limit=50",
        f"{BASE}/contacts?page=1&limit=50&sort=id&dir=ASC&filter={condition}",
        f"{BASE}/contacts/7/notes?page=2&limit=20",
    ]
    assert {request.headers["X-Auth-Token"] for request in seen} == {"a-secret"}
    assert {request.headers["User-Agent"].split("/")[0] for request in seen} == {"voipsync"}


async def test_one_contact_or_none(box):
    number = box.source()[0]["id"]
    async with reading(box.voipstudio_url, box.api_key) as client:
        found = await client.contact(str(number))
        assert found is not None
        assert found["id"] == number
        assert await client.contact("999999") is None


async def test_an_id_cannot_leave_its_place_in_the_path():
    seen = []

    def handler(request):
        seen.append(request.url.raw_path)
        return httpx.Response(404)

    async with reading(handler=handler) as client:
        assert await client.contact("../me?x=1") is None
    assert seen == [b"/v1.2/voipstudio/contacts/..%2Fme%3Fx%3D1"]


async def test_activities_of_a_contact_or_none(box):
    number = box.source()[0]["id"]
    box.insert_source("notes", number, body="one more")
    async with reading(box.voipstudio_url, box.api_key) as client:
        page = await client.activity_page(str(number), "notes", 1, 1000)
        assert page is not None
        assert page.total == len(page.rows) == len(box.source("notes", number))
        assert await client.activity_page("999999", "notes", 1, 10) is None
        box.options(voipstudio={"streams": {"notes": False}})
        assert await client.activity_page(str(number), "notes", 1, 10) is None


async def test_ping(box):
    async with reading(box.voipstudio_url, box.api_key) as client:
        await client.ping()


async def test_a_wrong_key_is_one_clear_line_without_the_key(box):
    async with reading(box.voipstudio_url, "0123456789abcdef0123456789abcdef01234567") as client:
        for ask in (client.ping(), client.contacts_page(1, 5), client.contact("1")):
            with pytest.raises(Unauthorized) as caught:
                await ask
            assert "accounts.acme.source.api_key" in str(caught.value)
            assert "was not used for longer than its expiry allows" in str(caught.value)
            assert "remove the setting and run `voipsync auth voipstudio login acme`" in str(caught.value)
            assert "0123456789" not in str(caught.value)
            assert "\n" not in str(caught.value)


async def test_a_stored_key_that_is_refused_is_mended_by_one_command(box):
    async def stored():
        return "0" * 40

    transport = Transport("VoIPstudio", box.voipstudio_url, StoredKey("0" * 40, stored))
    try:
        with pytest.raises(Unauthorized) as caught:
            await VoipStudio(transport, account="acme").ping()
    finally:
        await transport.close()
    assert str(caught.value) == (
        "VoIPstudio refuses the key stored for acme (HTTP 401): it is wrong, revoked, or was not used for "
        "longer than its expiry allows; `voipsync auth voipstudio login acme` makes a new one"
    )


async def test_a_stored_key_that_is_replaced_in_the_middle_is_read_again(box):
    newer, reads = box.voipstudio.access.new_key(10002, "newer", 0).token, []

    async def stored():
        reads.append(newer)
        return newer

    transport = Transport("VoIPstudio", box.voipstudio_url, StoredKey(box.api_key, stored))
    try:
        client = VoipStudio(transport, account="acme")
        await client.ping()
        assert reads == []
        box.revoke(box.api_key)
        await asyncio.gather(*(client.contacts_page(1, 5) for _ in range(5)))
        await client.ping()
        assert set(reads) == {newer}
    finally:
        await transport.close()


async def test_a_key_that_expired_in_the_middle(box):
    async with reading(box.voipstudio_url, box.api_key) as client:
        await client.ping()
        box.revoke(box.api_key)
        with pytest.raises(Unauthorized):
            await client.ping()


@pytest.mark.parametrize(
    ("stream", "hint"), [(None, "right to read it"), ("notes", 'accounts.acme.source.streams.notes = "off"')]
)
async def test_a_403_says_whose_right_is_missing(stream, hint):
    async with reading(handler=answering(403, {"message": "no"})) as client:
        ask = client.activity_page("7", stream, 1, 5) if stream else client.contacts_page(1, 5)
        with pytest.raises(Unauthorized, match="the user whose key acme uses needs") as caught:
            await ask
    assert hint in str(caught.value)


async def test_a_refused_question_carries_the_servers_words(box):
    async with reading(box.voipstudio_url, box.api_key) as client:
        with pytest.raises(ApiError) as caught:
            await client.contacts_page(1, 5, filters=[Filter("shoe_size", "eq", 42)])
    assert caught.value.status == 400
    assert str(caught.value) == "VoIPstudio refuses contacts (HTTP 400): Operator eq cannot be used here"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"message": "Bad\n  filter", "errors": [{"field": "f", "message": "Not valid"}]}, "Not valid"),
        ({"message": "Bad\n  filter"}, "Bad filter"),
        ({"message": "Bad filter", "errors": []}, "Bad filter"),
        ({"message": "Bad filter", "errors": [{"field": "f"}]}, "Bad filter"),
        ({"errors": {"f": "x"}}, "no message"),
        ({"errors": ["x"], "message": 7}, "no message"),
        ({}, "no message"),
        ([], "no message"),
        ("<html>nginx</html>", "no message"),
        (None, "no message"),
        (
            {"message": "key 0123456789abcdef0123456789abcdef of ann@example.com +441224622312"},
            "key … of … …",
        ),
        ({"message": "x " * 200}, "x " * 99 + "x…"),
    ],
)
def test_the_servers_words_are_one_short_safe_line(body, said):
    assert server_message(body) == said


@pytest.mark.parametrize("body", [b"", b"<html>oops</html>", b"\xff\xfe"])
async def test_an_error_that_is_no_json(body):
    async with reading(handler=answering(400, body)) as client:
        with pytest.raises(ApiError, match=r"\(HTTP 400\): no message$"):
            await client.contacts_page(1, 5)


async def test_a_wrong_address_is_named():
    async with reading(handler=answering(404, {"message": "Not found"})) as client:
        for ask in (client.contacts_page(1, 5), client.ping()):
            with pytest.raises(ApiError, match=r"\(HTTP 404\).*check accounts.acme.source.base_url"):
                await ask


@pytest.mark.parametrize("body", [b"", [], {}, {"data": None}, {"data": {"id": 1}}, {"total": 3}, "text", 7])
async def test_an_answer_that_is_no_list_is_an_outage(body):
    async with reading(handler=answering(200, body)) as client:
        with pytest.raises(ServiceUnavailable, match="contacts with something other than a list") as caught:
            await client.contacts_page(1, 5)
        assert "\n" not in str(caught.value)
        with pytest.raises(ApiError, match="something other than a list") as broken:
            await client.activity_page("7", "notes", 1, 5)
    assert broken.value.reason == "not_a_list"


@pytest.mark.parametrize("body", [b"", [], {"data": []}, {"data": None}, {"id": 7}])
async def test_an_answer_that_is_no_contact_is_an_outage(body):
    async with reading(handler=answering(200, body)) as client:
        with pytest.raises(ServiceUnavailable, match="something other than a contact"):
            await client.contact("7")


@pytest.mark.parametrize(
    ("total", "read"),
    [
        (7, 7),
        ("7", 7),
        (0, 0),
        (None, None),
        (-1, None),
        (True, None),
        ("many", None),
        (7.5, None),
        ([7], None),
    ],
)
async def test_only_a_number_counts_as_a_total(total, read):
    async with reading(handler=answering(200, {"data": [1], "total": total})) as client:
        assert await client.contacts_page(1, 5) == Page([1], read)


async def test_faults_that_pass_are_not_seen(box):
    box.fault("malformed_headers", service="voipstudio", path="/contacts$", count=1)
    box.fault("status", service="voipstudio", path="/contacts$", status=503, count=1)
    box.fault("html", service="voipstudio", path="/contacts$", count=1)
    async with reading(box.voipstudio_url, box.api_key) as client:
        page = await client.contacts_page(1, 5)
        tally = client._transport.tally
    box.clear_faults()
    assert len(page.rows) == 5
    assert (tally.reads, tally.retried, tally.throttled) == (4, 3, 1)


async def test_a_service_that_never_answers_usefully_ends_soon(box):
    box.fault("malformed_headers", service="voipstudio")
    async with reading(box.voipstudio_url, box.api_key) as client:
        with pytest.raises(ServiceUnavailable, match="gives no useful answer") as caught:
            await client.contacts_page(1, 5)
        waited = client._transport.clock()
    box.clear_faults()
    assert waited < 60
    assert box.api_key not in str(caught.value)


async def test_too_many_requests_are_no_wrong_address_and_are_waited_out():
    def handler(_):
        busy = client._transport.clock() < 20
        return httpx.Response(429 if busy else 200, json={"data": [], "total": 0})

    async with reading(handler=handler) as client:
        assert await client.contacts_page(1, 5) == Page([], 0)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_minute_that_is_asked_for_is_waited_out_and_more_is_not(status):
    asked = iter([60, None, 61])

    def handler(_):
        pause = next(asked)
        headers = {} if pause is None else {"Retry-After": str(pause)}
        return httpx.Response(status if pause else 200, headers=headers, json={"data": [], "total": 0})

    async with reading(handler=handler) as client:
        assert await client.contacts_page(1, 5) == Page([], 0)
        assert client._transport.clock() == 60
        with pytest.raises(ServiceUnavailable, match="asks to wait 61 s"):
            await client.contacts_page(1, 5)
        assert client._transport.clock() == 60


async def test_who_may_come_again_at_once_takes_a_break_all_the_same():
    async with reading(handler=lambda _: httpx.Response(503, headers={"Retry-After": "0"})) as client:
        with pytest.raises(ServiceUnavailable):
            await client.contacts_page(1, 5)
        assert client._transport.tally.reads < 10


@pytest.mark.parametrize(
    ("row", "number"),
    [
        ({"id": 7}, 7),
        ({"id": "7"}, 7),
        ({"id": " 7 "}, 7),
        ({"noteId": 7}, 7),
        ({"id": None, "noteId": 7}, 7),
        ({"id": True}, None),
        ({"id": 7.5}, None),
        ({"id": "seven"}, None),
        ({"id": 10**18}, None),
        ({"id": "1" * 5000}, None),
        ({"id": "٣"}, None),
        ({"id": [7]}, None),
        ({}, None),
        ([7], None),
        (None, None),
    ],
)
def test_a_usable_id(row, number):
    assert row_id(row, "id", "noteId") == number
