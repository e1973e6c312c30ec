import asyncio
import json

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.serve import Sandbox
from tasks.errors import ApiError, ServiceUnavailable, Unauthorized
from tasks.voipstudio.client import Filter
from tasks.voipstudio.walk import Walk
from tests.support.reading import reading


@pytest.fixture(scope="module")
def box():
    with Sandbox.threaded(contacts=0) as served:
        yield served


async def walked(box, limit=10, **more):
    async with reading(box.voipstudio_url, box.api_key) as client:
        walk = Walk(client, limit=limit, **more)
        pages = [page async for page in walk]
    return walk, pages


def ids(pages):
    return [row["id"] for page in pages for row in page]


async def test_every_contact_once_in_order_and_complete(box):
    box.reset(contacts=35)
    walk, pages = await walked(box)
    assert [len(page) for page in pages] == [10, 10, 10, 5]
    assert ids(pages) == sorted(row["id"] for row in box.source())
    assert (walk.complete, walk.disturbed, walk.rows, walk.total) == (True, (), 35, 35)


async def test_an_account_without_contacts_is_complete(box):
    box.reset(contacts=0)
    walk, pages = await walked(box)
    assert (pages, walk.complete, walk.total) == ([], True, 0)


async def test_a_limit_that_the_service_clamps(box):
    box.reset(contacts=35, source={"max_limit": 4})
    walk, pages = await walked(box, limit=1000)
    assert [len(page) for page in pages] == [4] * 8 + [3]
    assert walk.complete
    assert walk.rows == 35


async def test_filters_narrow_the_walk(box):
    box.reset(contacts=20)
    numbers = sorted(row["id"] for row in box.source())
    walk, pages = await walked(box, limit=3, filters=[Filter("id", "gt", numbers[11])])
    assert ids(pages) == numbers[12:]
    assert walk.complete


@pytest.mark.parametrize("where", ["first", "last"])
@pytest.mark.parametrize("do", ["delete", "insert"])
async def test_a_walk_that_is_disturbed_knows_it(box, do, where):
    box.reset(contacts=30, source={"disturbances": [{"page": 3, "do": do, "where": where}]})
    walk, pages = await walked(box)
    assert not walk.complete
    assert "the number of contacts changed during the walk" in walk.disturbed
    assert len(ids(pages)) == len(set(ids(pages)))


async def test_a_row_inserted_behind_the_walk_is_seen_twice_and_handed_out_once(box):
    box.reset(
        contacts=30,
        source={"ignore_sort": True, "disturbances": [{"page": 2, "do": "insert", "where": "first"}]},
    )
    walk, pages = await walked(box)
    assert "a contact was seen twice" in walk.disturbed
    assert len(set(ids(pages))) == len(ids(pages)) == 30


async def test_one_deleted_and_one_created_at_the_same_time_is_what_cannot_be_seen(box):
    box.reset(
        contacts=30,
        source={
            "disturbances": [
                {"page": 2, "do": "delete", "where": "first"},
                {"page": 2, "do": "insert", "where": "last"},
            ]
        },
    )
    before = {row["id"] for row in box.source()}
    walk, pages = await walked(box)
    assert walk.complete  # documented: whoever misses a row asks for it
    assert len(before - set(ids(pages))) == 1


async def test_a_total_that_drifts_is_a_disturbance(box):
    box.reset(contacts=60, source={"total_drift": 5})
    walk, pages = await walked(box, limit=5)
    assert not walk.complete
    assert len(ids(pages)) == 60


async def test_a_service_that_ignores_the_sort_is_walked_with_a_memory(box):
    box.reset(contacts=0, source={"ignore_sort": True})
    for number in (5, 3, 9, 1, 7, 2, 8):
        box.insert_source("contacts", id=number, first_name="A")
    walk, pages = await walked(box, limit=2)
    assert ids(pages) == [5, 3, 9, 1, 7, 2, 8]
    assert walk.complete


async def test_faults_that_pass_do_not_disturb(box):
    box.reset(contacts=30)
    box.fault("malformed_headers", service="voipstudio", path="/contacts$", after=1, count=2)
    box.fault("truncate", service="voipstudio", path="/contacts$", after=2, count=1)
    walk, _ = await walked(box)
    box.clear_faults()
    assert walk.complete
    assert walk.rows == 30


async def test_a_page_that_fails_for_good_raises_and_leaves_the_walk_incomplete(box):
    box.reset(contacts=30)
    box.fault("status", service="voipstudio", path="/contacts$", after=1, status=502)
    async with reading(box.voipstudio_url, box.api_key) as client:
        walk = Walk(client, limit=10)
        with pytest.raises((ApiError, ServiceUnavailable)):
            _ = [page async for page in walk]
    box.clear_faults()
    assert (walk.complete, walk.rows) == (False, 10)


async def test_a_key_refused_in_the_middle_ends_the_walk(box):
    box.reset(contacts=30)
    async with reading(box.voipstudio_url, box.api_key) as client:
        walk = Walk(client, limit=10)
        pages = aiter(walk)
        await anext(pages)
        box.revoke(box.api_key)
        with pytest.raises(Unauthorized):
            await anext(pages)
    assert not walk.complete


async def test_a_walk_left_early_is_not_complete(box):
    box.reset(contacts=30)
    async with reading(box.voipstudio_url, box.api_key) as client:
        walk = Walk(client, limit=10)
        pages = aiter(walk)
        await anext(pages)
        await pages.aclose()
        with pytest.raises(RuntimeError, match="walked once"):
            _ = [page async for page in walk]
    assert not walk.complete


class Scripted:
    """A list service whose answer to each page is given; the last is repeated for ever."""

    def __init__(self, *answers, refuses_sort=False):
        self.answers, self.refuses_sort, self.asked = answers, refuses_sort, []

    def __call__(self, request):
        self.asked.append(dict(request.url.params))
        if self.refuses_sort and "sort" in request.url.params:
            return httpx.Response(400, json={"message": "Sort not allowed"})
        answer = self.answers[min(int(request.url.params["page"]), len(self.answers)) - 1]
        if isinstance(answer, int):
            return httpx.Response(answer, json={"message": "no such page"})
        rows, total = answer
        return httpx.Response(200, content=json.dumps({"data": rows, "total": total}).encode())


async def scripted(service, limit=2):
    async with reading(handler=service) as client:
        walk = Walk(client, limit=limit)
        pages = [page async for page in walk]
    return walk, pages


def rows(*numbers):
    return [{"id": number} for number in numbers]


async def test_it_asks_for_the_order_it_relies_on():
    service = Scripted((rows(1, 2), None), ([], None))
    walk, _ = await scripted(service)
    assert service.asked == [
        {"page": "1", "limit": "2", "sort": "id", "dir": "ASC"},
        {"page": "2", "limit": "2", "sort": "id", "dir": "ASC"},
    ]
    assert walk.complete


async def test_it_goes_on_without_the_order_where_that_is_refused():
    service = Scripted((rows(4, 2), 3), (rows(7), 3), ([], 3), refuses_sort=True)
    walk, pages = await scripted(service)
    assert ids(pages) == [4, 2, 7]
    assert walk.complete
    assert [sorted(asked) for asked in service.asked[1:]] == [["limit", "page"]] * 3


async def test_a_refusal_that_is_not_for_the_order_is_raised():
    async with reading(handler=lambda _: httpx.Response(400, json={"message": "Filtration error"})) as client:
        with pytest.raises(ApiError, match="Filtration error"):
            _ = [page async for page in Walk(client, limit=2)]


async def test_the_same_page_for_ever_is_noticed():
    service = Scripted((rows(1, 2), 2))
    walk, pages = await scripted(service)
    assert (ids(pages), walk.complete, len(service.asked)) == ([1, 2], False, 2)
    assert walk.disturbed == ("the service sends the same page again and again",)


async def test_the_last_page_for_ever_is_noticed():
    walk, pages = await scripted(Scripted((rows(1, 2), None), (rows(3, 4), None)))
    assert (ids(pages), walk.complete) == ([1, 2, 3, 4], False)


async def test_pages_that_go_round_in_a_circle_are_noticed():
    service = Scripted(*[(rows(1, 2), None), (rows(3, 4), None), (rows(5, 6), None)] * 5)
    walk, pages = await scripted(service)
    assert (ids(pages), walk.complete, len(service.asked)) == ([1, 2, 3, 4, 5, 6], False, 4)


async def test_the_same_unusable_rows_for_ever_are_noticed():
    walk, pages = await scripted(Scripted((["x", "y"], None)))
    assert (pages, walk.complete) == ([["x", "y"]], False)


async def test_shifted_pages_of_known_rows_end_too():
    service = Scripted((rows(5, 1, 2), None), *[(rows(1, 2), None), (rows(2, 5), None)] * 9)
    walk, pages = await scripted(service, limit=3)
    assert (ids(pages), walk.complete, len(service.asked)) == ([5, 1, 2], False, 4)


@pytest.mark.parametrize("beyond", [400, 404])
async def test_an_error_beyond_the_last_page_is_the_end_where_all_was_seen(beyond):
    walk, pages = await scripted(Scripted((rows(1, 2), 3), (rows(3), 3), beyond))
    assert (ids(pages), walk.complete) == ([1, 2, 3], True)


@pytest.mark.parametrize("total", [None, 4])
async def test_an_error_before_that_is_raised(total):
    with pytest.raises(ApiError):
        await scripted(Scripted((rows(1, 2), total), (rows(3), total), 404))


async def test_a_total_larger_than_what_was_seen_is_a_disturbance():
    walk, _ = await scripted(Scripted((rows(1, 2), 3), ([], 3)))
    assert walk.disturbed == ("fewer contacts were seen than the service says there are",)


async def test_a_total_of_nothing_on_the_empty_page_says_nothing():
    walk, _ = await scripted(Scripted((rows(1, 2), 2), ([], 0)))
    assert (walk.complete, walk.total) == (True, 2)


async def test_rows_without_an_id_are_handed_on_but_the_walk_cannot_be_complete():
    walk, pages = await scripted(Scripted((["x", {"id": 1}, {"id": None}, 7], None), ([], None)))
    assert pages == [["x", {"id": 1}, {"id": None}, 7]]
    assert (walk.complete, walk.disturbed, walk.rows) == (False, ("a row without a usable id",), 4)


async def test_a_row_that_comes_late_is_handed_out_and_noted():
    walk, pages = await scripted(Scripted((rows(1, 5), None), (rows(3, 6), None), ([], None)))
    assert ids(pages) == [1, 5, 3, 6]
    assert walk.disturbed == ("the order of the contacts changed during the walk",)


async def test_an_order_that_breaks_late_is_remembered_from_then_on():
    pages_ = [(rows(11, 12), None), (rows(21, 22), None), (rows(5, 31), None), (rows(5, 31, 22, 6), None)]
    walk, pages = await scripted(Scripted(*pages_, ([], None)))
    assert ids(pages) == [11, 12, 21, 22, 5, 31, 6]
    assert walk.disturbed == (
        "the order of the contacts changed during the walk",
        "a contact was seen twice",
    )


async def test_numeric_strings_are_ids():
    walk, pages = await scripted(
        Scripted(([{"id": "9"}, {"id": "10"}], 3), ([{"id": 10}, {"id": "11"}], 3), ([], 3))
    )
    assert [row["id"] for page in pages for row in page] == ["9", "10", "11"]
    assert walk.disturbed == ("a contact was seen twice",)


async def test_memory_does_not_grow_while_ids_ascend():
    service = Scripted(*[(rows(*range(n, n + 50)), 5000) for n in range(0, 5000, 50)], ([], 5000))
    async with reading(handler=service) as client:
        walk = Walk(client, limit=50)
        async for _ in walk:
            assert walk._every is None
            assert len(walk._previous) == 50
    assert (walk.complete, walk.rows) == (True, 5000)


CHANGES = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from(["delete", "create"]), st.integers(0, 10**6)), max_size=4
)


@settings(max_examples=300, deadline=None)
@given(
    count=st.integers(0, 40),
    limit=st.integers(1, 9),
    clamp=st.integers(1, 9),
    changes=CHANGES,
    counts=st.booleans(),
)
def test_a_complete_walk_misses_nobody_who_was_there_all_the_time(*, count, limit, clamp, changes, counts):
    there = list(range(1, count + 1))
    always, done = set(there), set()
    asked = 0

    def handler(request):
        nonlocal asked
        asked += 1
        for at, do, where in changes:
            if at == asked and do == "delete" and there:
                always.discard(there.pop(where % len(there)))
                done.add(do)
            elif at == asked and do == "create":
                there.append(max([count, *there]) + 1)
                done.add(do)
        size = min(int(request.url.params["limit"]), clamp)
        start = (int(request.url.params["page"]) - 1) * size
        return httpx.Response(
            200, json={"data": rows(*there[start : start + size]), "total": len(there) if counts else None}
        )

    walk, pages = asyncio.run(scripted(handler, limit))
    seen = ids(pages)
    assert len(seen) == len(set(seen)) == walk.rows
    if walk.complete and done != {"delete", "create"} and counts:
        assert always <= set(seen)
    if not done:
        assert walk.complete
        assert set(seen) == always
