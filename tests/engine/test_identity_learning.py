"""What it costs to learn who is in a location that already holds contacts."""

from __future__ import annotations

import pytest

from sandbox.serve import Sandbox
from tasks import transport
from tests.engine.test_identity import LINE, counts, custom, person, quiet, there
from tests.support.accounts import sync
from tests.support.workers import Workers

SEARCH = "search-contacts"


@pytest.fixture(scope="module")
def large():
    """A location with 15,000 contacts, and 300 others at the source, in a process of its own."""
    with Sandbox.process(contacts=300, strangers=15_000, activities=False, burst=100_000) as box:
        yield box


def asked(box):
    """Requests to the destination, by operation."""
    return dict(box.counters()["highlevel"]["operations"])


async def test_a_large_location_is_learnt_in_few_requests_and_the_first_sync_costs_little(large, tmp_path):
    workers = Workers(large, f"sqlite:///{tmp_path}/ledger.db", tmp_path, {})
    large.reset_counters()
    worker = workers.start(only=["contacts"])
    assert worker.end(120) == 0
    made = worker.report["entities"]["contacts"]["created"]
    requests = large.counters()["highlevel"]["requests"]
    assert made >= 280
    learning = ("get-location", "list-custom-fields", "create-custom-field", SEARCH)
    assert [asked(large)[name] for name in learning] == [1, 1, 2, 30]
    least = made + 30
    assert requests <= 1.02 * least
    assert worker.report["requests"]["destination_least"] == least


def test_the_report_says_what_was_needed(box):
    from tasks.engine.report import Report, cost  # noqa: PLC0415

    requests = {"source": 3, "destination_reads": 34, "destination_writes": 302, "destination_least": 330}
    report = Report("acme", "1", "incremental", "ok", {}, requests, [], 1.0)
    assert cost(report) == "requests to the destination: 302 writes, 34 reads (at least 330 were needed)"


async def test_memory_does_not_grow_with_the_location(tmp_path):
    peaks = {}
    for strangers in (1_500, 15_000):
        with Sandbox.process(contacts=5, strangers=strangers, activities=False, burst=100_000) as box:
            workers = Workers(box, f"sqlite:///{tmp_path}/{strangers}.db", tmp_path, {})
            worker = workers.start(only=["contacts"], mode="full")
            assert worker.end(120) == 0
            peaks[strangers] = worker.report["peak_mb"]
    assert peaks[15_000] < peaks[1_500] * 1.15


@pytest.mark.parametrize("allow_duplicates", [False, True])
async def test_few_contacts_into_a_large_location_are_looked_up(box, url, allow_duplicates):
    box.reset(contacts=0, strangers=6_000, burst=5000, allow_duplicates=allow_duplicates)
    mail = box.insert("contacts", firstName="Ann", email="ann@example.com")
    line = box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE)
    person(box, "Ann", tel="02079460001")
    person(box, "Bob", email=None, tel="02079460001")
    person(box, "Cy")
    box.reset_counters()
    report = await sync(box, url)
    assert counts(report) == {"read": 3, "adopted": 1, "ambiguous": 1, "created": 1}
    assert asked(box)[SEARCH] == 1 + 3
    assert custom(box, box.contact(mail["id"])) == LINE
    assert not custom(box, box.contact(line["id"]), "VoIPstudio ID")
    person(box, "Di")
    box.reset_counters()
    report = await sync(box, url)
    assert counts(report)["created"] == 1
    assert asked(box)[SEARCH] <= 3  # how many there are, the new one, the ambiguous one
    box.reset_counters()
    report = await sync(box, url, mode="full")
    assert (box.writes(), len(box.contacts())) == ({}, 6_004)


@pytest.mark.parametrize("status", [400, 404, 422, 500])
async def test_one_whose_search_is_refused_is_refused_alone(box, url, monkeypatch, status):
    monkeypatch.setattr(transport, "ATTEMPTS", 1)
    box.reset(contacts=0, strangers=6_000, burst=5000, allow_duplicates=True)
    theirs = box.insert("contacts", firstName="Ann", email="ann@example.com")
    person(box, "Ann")
    person(box, "Bob")
    box.fault("status", method="POST", path="/contacts/search$", containing="ann@", status=status)
    report = await sync(box, url)
    assert report.status == "degraded"
    assert counts(report) == {"read": 2, "created": 1, "rejected": 1}
    box.clear_faults()
    report = await sync(box, url)
    assert (report.status, counts(report)) == ("ok", {"read": 2, "adopted": 1, "unchanged": 1})
    assert custom(box, box.contact(theirs["id"]), "VoIPstudio ID")
    assert len(box.contacts()) == 6_002


async def test_the_second_of_two_entries_is_seen_before_the_index_shows_the_first(box, url):
    box.reset(contacts=0, strangers=6_000, burst=5000, allow_duplicates=True, destination={"lag": 60})
    person(box, "Ann", email="ann@example.com")
    await sync(box, url)
    person(box, "Anna", email="ann@example.com")
    report = await sync(box, url)
    assert (counts(report)["adopted"], len(box.contacts())) == (1, 6_001)


async def test_an_address_too_long_to_search_for_is_looked_up_by_key(box, url):
    box.reset(contacts=0, strangers=6_000, burst=5000, allow_duplicates=True)
    long = f"{'a' * 60}@{'b' * 40}.example.com"
    box.insert("contacts", firstName="Ann", email=long)
    person(box, "Ann", email=long)
    report = await sync(box, url)
    assert counts(report)["adopted"] == 1


async def test_later_runs_read_what_is_new_only_where_somebody_is_to_be_resolved(box, url):
    box.reset(contacts=0, strangers=1_200, burst=5000)
    box.advance(3600)
    box.insert("contacts", firstName="Newest", email="newest@crm.example.com")
    ann = person(box, "Ann", company="Smith & Co")
    for number in range(10):
        person(box, f"Other{number}")
    box.reset_counters()
    await sync(box, url)
    assert asked(box)[SEARCH] == 3
    await quiet(box, url)
    box.edit_source("contacts", ann, last_name="Changed")
    box.reset_counters()
    await sync(box, url)
    assert SEARCH not in asked(box)
    box.advance(3600)
    box.insert("contacts", firstName="Bob", email="bob@example.com")
    person(box, "Bob")
    box.reset_counters()
    report = await sync(box, url)
    assert (counts(report)["adopted"], asked(box)[SEARCH]) == (1, 1)
    assert there(box, "Bob")["email"] == "bob@example.com"
    box.reset_counters()
    person(box, "Last")
    await sync(box, url, mode="full")
    assert asked(box)[SEARCH] == 3
