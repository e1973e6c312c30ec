import asyncio
import json
from collections import Counter

import httpx
import pytest

from sandbox.serve import Sandbox
from tasks.errors import ServiceUnavailable, Unauthorized
from tasks.settings import Streams
from tasks.voipstudio.activities import GIVE_UP_AFTER, Activities, ContactActivities, StreamState
from tests.support.reading import reading

ALL = frozenset(("notes", "tasks", "appointments"))
ON, OFF, ABSENT, LOST = StreamState.ON, StreamState.OFF, StreamState.ABSENT, StreamState.LOST


@pytest.fixture(scope="module")
def served():
    with Sandbox.threaded(contacts=0) as box:
        yield box


@pytest.fixture
def box(served):
    served.reset(contacts=20)
    return served


def known(box):
    return [str(row["id"]) for row in box.source()]


async def test_everything_of_everybody_in_the_order_asked_for(box):
    people = known(box)[::-1]
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams())
        await activities.probe(people)
        found = await activities.read(people)
    assert [item.contact_id for item in found] == people
    assert {item.whole for item in found} == {ALL}
    for stream in ALL:
        read = sorted((row["contact_id"], row["id"]) for item in found for row in item.rows[stream])
        assert read == sorted((row["contact_id"], row["id"]) for row in box.source(stream))
        assert len(read) > 3
    assert activities.states == dict.fromkeys(("notes", "tasks", "appointments"), ON)
    assert activities.answered == ALL
    assert (activities.warnings, activities.failed, activities.vanished) == ([], Counter(), Counter())


async def test_one_request_for_a_list_that_fits_a_page(box):
    people = known(box)
    async with reading(box.voipstudio_url, box.api_key) as client:
        await Activities(client, Streams()).read(people)
        assert client._transport.tally.reads == 3 * len(people)


async def test_lists_longer_than_a_page_that_the_service_clamps(box):
    box.reset(contacts=1, activities=False, source={"max_limit": 3})
    (person,) = known(box)
    for number in range(8):
        box.insert_source("notes", int(person), body=f"note {number}")
    async with reading(box.voipstudio_url, box.api_key) as client:
        (found,) = await Activities(client, Streams(tasks="off"), page_size=50).read([person])
    assert [row["body"] for row in found.rows["notes"]] == [f"note {number}" for number in range(8)]
    assert found.whole == {"notes", "appointments"}
    assert "tasks" not in found.rows


async def test_a_stream_that_the_account_never_had_is_absent_and_costs_nothing_more(box):
    box.options(voipstudio={"streams": {"notes": False, "tasks": False}})
    people = known(box)
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams())
        await activities.probe(people)
        assert client._transport.tally.reads == 4
        found = await activities.read(people)
        assert client._transport.tally.reads <= 4 + len(people) + 1
    assert activities.states == {"notes": ABSENT, "tasks": ABSENT, "appointments": ON}
    assert [warning.split(":")[0] for warning in activities.warnings] == [
        "VoIPstudio has no notes for this account",
        "VoIPstudio has no tasks for this account",
    ]
    assert {tuple(item.rows) for item in found} == {("appointments",)}


async def test_a_stream_that_worked_before_is_lost(box):
    box.options(voipstudio={"streams": {"notes": False}})
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams(), worked=["notes", "tasks"])
        await activities.probe(known(box))
    assert activities.states == {"notes": LOST, "tasks": ON, "appointments": ON}
    (warning,) = activities.warnings
    assert 'set accounts.acme.source.streams.notes = "off"' in warning


async def test_a_contact_that_is_gone_says_nothing_about_the_streams(box):
    box.options(voipstudio={"streams": {"tasks": False}})
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams())
        await activities.probe(["999998", "999999"])
        assert activities.states == dict.fromkeys(("notes", "tasks", "appointments"), ON)
        assert activities.warnings == []
        await activities.probe(["999999", *known(box)])
        asked = client._transport.tally.reads
        await activities.probe(known(box))
        assert client._transport.tally.reads == asked
    assert activities.states == {"notes": ON, "tasks": ABSENT, "appointments": ON}


async def test_on_is_never_turned_off_but_warned_of_and_off_is_never_asked(box):
    box.options(voipstudio={"streams": {"notes": False, "tasks": False}})
    people = known(box)
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams(notes="on", tasks="off", appointments="off"))
        await activities.probe(people)
        found = await activities.read([*people, *people])
    assert activities.states == {"notes": ON, "tasks": OFF, "appointments": OFF}
    (warning,) = activities.warnings
    assert warning == (
        "VoIPstudio has no notes for a contact that exists, "
        'although accounts.acme.source.streams.notes is "on"'
    )
    assert {item.whole for item in found} == {frozenset()}
    assert [item.rows for item in found] == [{"notes": []}] * 40
    assert activities.vanished["notes"] == 40
    operations = box.counters()["voipstudio"]["operations"]
    assert "list-tasks" not in operations
    assert "list-appointments" not in operations


async def test_a_contact_that_vanished_has_nothing_and_is_not_whole(box):
    people = known(box)
    box.delete_source("contacts", int(people[3]))
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams())
        await activities.probe(people)
        found = await activities.read(people)
    assert found[3] == ContactActivities(
        people[3], {"notes": [], "tasks": [], "appointments": []}, frozenset()
    )
    assert {item.whole for item in found[:3] + found[4:]} == {ALL}
    assert activities.vanished == {"notes": 1, "tasks": 1, "appointments": 1}
    assert activities.warnings == []


async def test_many_vanished_contacts_do_not_turn_a_stream_off(box):
    people = known(box)
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams(), concurrency=2)
        await activities.probe(people)
        await activities.read([str(number) for number in range(900_000, 900_000 + 2 * GIVE_UP_AFTER)])
        (found,) = await activities.read(people[:1])
    assert found.whole == ALL
    assert set(activities.states.values()) == {ON}


async def test_a_stream_that_disappears_in_the_middle_is_lost(box):
    people = known(box) * 3
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams(notes="auto", tasks="off", appointments="off"), concurrency=4)
        await activities.probe(people)
        box.options(voipstudio={"streams": {"notes": False}})
        await activities.read(people)
        assert client._transport.tally.reads <= GIVE_UP_AFTER + 10
    assert activities.states["notes"] is LOST
    assert len(activities.warnings) == 1


async def test_a_list_that_fails_does_not_stop_the_others(box):
    people = known(box)
    box.fault("status", service="voipstudio", path=f"/contacts/{people[2]}/notes$", status=500)
    box.fault(
        "status",
        service="voipstudio",
        path=f"/contacts/{people[4]}/tasks$",
        status=400,
        body={"message": "x"},
    )
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams())
        await activities.probe(people)
        found = await activities.read(people)
    box.clear_faults()
    assert activities.failed == {"notes": 1, "tasks": 1}
    assert [item.whole for item in found if item.whole != ALL] == [ALL - {"notes"}, ALL - {"tasks"}]
    assert (found[2].rows["notes"], found[4].rows["tasks"]) == ([], [])


async def test_malformed_answers_that_pass_are_repeated(box):
    people = known(box)
    box.fault("malformed_headers", service="voipstudio", path="/notes$", count=3)
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams())
        await activities.probe(people)
        found = await activities.read(people)
    box.clear_faults()
    assert {item.whole for item in found} == {ALL}


async def test_a_stream_that_only_fails_is_given_up(box):
    people = known(box) * 5
    box.fault("status", service="voipstudio", path="/tasks$", status=400)
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams(tasks="on"), concurrency=4)
        await activities.probe(people)
        found = await activities.read(people)
    box.clear_faults()
    assert activities.states == {"notes": ON, "tasks": LOST, "appointments": ON}
    assert GIVE_UP_AFTER <= activities.failed["tasks"] <= GIVE_UP_AFTER + 4
    assert {item.whole for item in found} == {ALL - {"tasks"}}
    assert activities.answered == ALL - {"tasks"}


async def test_a_refused_key_ends_the_reading_with_its_own_error(box):
    people = known(box)
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams())
        await activities.probe(people)
        box.revoke(box.api_key)
        with pytest.raises(Unauthorized):
            await activities.read(people)


async def test_a_dead_service_ends_the_reading_soon(box):
    people = known(box)
    async with reading(box.voipstudio_url, box.api_key) as client:
        activities = Activities(client, Streams())
        await activities.probe(people)
        box.fault("status", service="voipstudio", status=502)
        with pytest.raises(ServiceUnavailable):
            await activities.read(people)
    box.clear_faults()


async def test_no_more_lists_at_a_time_than_allowed_over_all_calls():
    under_way, most = 0, 0

    async def handler(request):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(5):
            await asyncio.sleep(0)
        under_way -= 1
        return httpx.Response(200, json={"data": [], "total": 0})

    async with reading(handler=handler) as client:
        activities = Activities(client, Streams(), concurrency=3)
        await asyncio.gather(*(activities.read([str(number) for number in range(9)]) for _ in range(3)))
        assert client._transport.tally.reads == 81
    assert most == 3


async def test_nobody_to_read():
    async with reading(handler=lambda _: httpx.Response(500)) as client:
        activities = Activities(client, Streams())
        await activities.probe([])
        assert await activities.read([]) == []


async def test_a_contact_lookup_that_is_refused_settles_nothing():
    def handler(request):
        return httpx.Response(404 if "notes" in request.url.path else 400, json={})

    async with reading(handler=handler) as client:
        activities = Activities(client, Streams())
        await activities.probe(["1", "2"])
    assert activities.states == dict.fromkeys(("notes", "tasks", "appointments"), ON)


def pages(*answers):
    """A notes list whose pages are given; the last is repeated for ever."""

    def handler(request):
        rows, total = answers[min(int(request.url.params["page"]), len(answers)) - 1]
        return httpx.Response(200, content=json.dumps({"data": rows, "total": total}).encode())

    return handler


def notes(*numbers):
    return [{"id": number} for number in numbers]


@pytest.mark.parametrize(
    ("answers", "rows", "whole", "requests"),
    [
        ([(notes(1, 2), 2)], notes(1, 2), True, 1),
        ([([], 0)], [], True, 1),
        ([([], None)], [], True, 1),
        ([(notes(1, 2), None), ([], None)], notes(1, 2), True, 2),
        ([(notes(1, 2), 3), (notes(3), 3)], notes(1, 2, 3), True, 2),
        ([(notes(1, 2), 3), (notes(3), 4), ([], 4)], notes(1, 2, 3), False, 3),
        ([(notes(1, 2), 3), (notes(2, 3), 3)], notes(1, 2, 3), False, 2),
        ([(notes(1, 2), 3), ([], 3)], notes(1, 2), False, 2),
        ([(notes(1, 2), 3), ([], 0)], notes(1, 2), False, 2),
        ([(notes(1, 2), 1), ([], 1)], notes(1, 2), True, 2),
        ([(notes(1, 2), 9)], notes(1, 2), False, 2),
        ([(notes(1, 2), None), (notes(2, 1), None)], notes(1, 2), False, 2),
        ([(notes(1, 2), None), (notes(3), None)], notes(1, 2, 3), False, 3),
        ([(["x"], None)], ["x"], False, 2),
        ([([{"noteId": 1}, {"note_id": "2"}], 2)], [{"noteId": 1}, {"note_id": "2"}], True, 1),
        ([([{"body": "no id"}], 1)], [{"body": "no id"}], False, 1),
        ([([], 5)], [], False, 1),
    ],
)
async def test_where_a_list_ends_and_whether_it_is_whole(answers, rows, whole, requests):
    async with reading(handler=pages(*answers)) as client:
        activities = Activities(client, Streams(tasks="off", appointments="off"))
        (found,) = await activities.read(["7"])
        assert client._transport.tally.reads == requests
    assert found.rows["notes"] == rows
    assert found.whole == ({"notes"} if whole else frozenset())
    assert activities.failed == {}


async def test_what_was_read_before_a_failure_is_kept_but_not_whole():
    def handler(request):
        if request.url.params["page"] == "1":
            return httpx.Response(200, json={"data": notes(1), "total": 2})
        return httpx.Response(200, json={"oops": 1})

    async with reading(handler=handler) as client:
        activities = Activities(client, Streams(tasks="off", appointments="off"))
        (found,) = await activities.read(["7"])
    assert (found.rows, found.whole, activities.failed) == ({"notes": notes(1)}, frozenset(), {"notes": 1})
