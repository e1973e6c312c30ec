"""Complete verifications: what they cost, that a lagging index accuses nobody, how they are gone on with."""

from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import update

from sandbox.serve import Sandbox
from tasks.engine.verify import open_verification
from tasks.errors import Fatal
from tasks.identity.directory import dialled
from tasks.ledger import lease, migrate, records
from tasks.ledger.database import opened
from tasks.ledger.records import Record
from tasks.ledger.tables import leases
from tasks.options import VerifyOptions
from tests.engine.test_identity import person, there
from tests.support.accounts import settings_of, sync
from tests.support.verifying import deviations, told, verify, verify_all
from tests.support.workers import Workers

SEARCH, GET = "search-contacts", "get-contact"
MANY = 15_000


def asked(box):
    """Requests to the destination, by operation."""
    return dict(box.counters()["highlevel"]["operations"])


async def stopped(box, url, steps, *only):
    """A verification that is asked to stop after some steps, as by SIGTERM."""
    options = VerifyOptions(scope="all", only=only)
    async with open_verification("acme", options, settings_of(box, url)) as verification:
        await verification.prepare()
        for _ in range(steps):
            assert await verification.step()
        verification.run.stop_reason = "stopped"
        with pytest.raises(Fatal) as error:
            await verification.step()
        verification.error = error.value
        return await verification.conclude()


@pytest.fixture(scope="module")
def large():
    """A location with 15,000 contacts, in a process of its own."""
    with Sandbox.process(contacts=0, strangers=MANY, activities=False, burst=100_000) as box:
        yield box


@pytest.fixture
def filled(large, tmp_path):
    """A ledger that says that all of them are ours."""
    url = f"sqlite:///{tmp_path}/ledger.db"
    rows = [
        Record(
            account="acme",
            entity="contacts",
            source_id=str(number),
            state="synced",
            first_seen_at=1.0,
            destination_id=row["id"],
            origin="created",
            content={name: row[name] for name in ("firstName", "lastName") if row.get(name)}
            | ({"email": row["email"].casefold()} if row.get("email") else {})
            | ({"phone": dialled(row["phone"])} if row.get("phone") else {}),
        )
        for number, row in enumerate(large.contacts())
    ]
    with opened(url) as database:
        database.now_do(migrate.upgrade)
        database.now_do(lambda connection: records.save(connection, rows))
    return url


async def test_15000_contacts_are_verified_in_30_searches_also_where_it_was_stopped(large, filled):
    ids = [row["id"] for row in large.contacts()]
    large.delete("contacts", ids[7])
    large.edit("contacts", ids[14_000], firstName="Edited")
    large.reset_counters()
    report = await stopped(large, filled, 12)
    assert (report.status, report.complete, asked(large)[SEARCH]) == ("failed", False, 12)
    began = time.process_time()
    report = await verify_all(large, filled)
    assert time.process_time() - began < 20
    assert (report.status, report.complete) == ("degraded", True)
    assert deviations(report) == {("contacts", "missing"): 1, ("contacts", "edited"): 1}
    assert (told(report, "missing"), told(report, "edited")) == (
        [("7", ids[7])],
        [("14000", ids[14_000], "firstName")],
    )
    assert report.entities["contacts"]["checked"] == MANY
    assert asked(large)[SEARCH] == 30
    assert asked(large)[GET] <= 4
    assert any("begun by an earlier run" in one for one in report.warnings)


# an index that lags


async def test_what_the_index_does_not_show_yet_is_no_deviation(box, url):
    box.reset(contacts=0, burst=5000, destination={"lag": 60})
    ann, bob = person(box, "Ann"), person(box, "Bob")
    await sync(box, url)
    box.reset_counters()
    report = await verify_all(box, url)
    assert (report.status, report.entities["contacts"]["checked"]) == ("ok", 2)
    assert (asked(box)[SEARCH], asked(box)[GET]) == (1, 2)
    box.advance(61)
    box.edit_source("contacts", ann, last_name="Married")
    await sync(box, url)
    box.delete("contacts", there(box, "Bob")["id"])
    report = await verify_all(box, url)
    assert (report.status, deviations(report)) == ("ok", {})
    box.advance(61)
    report = await verify_all(box, url)
    assert [one[0] for one in told(report, "missing")] == [str(bob)]


async def test_no_more_are_asked_for_than_was_said_and_the_rest_is_counted(box, url):
    for number in range(4):
        person(box, f"P{number}")
    await sync(box, url)
    for row in box.contacts():
        box.edit("contacts", row["id"], firstName="Edited")
    report = await verify_all(box, url, questions=3)
    assert (report.status, report.complete, deviations(report)) == ("degraded", True, {})
    assert report.entities["contacts"]["checked"] == 0
    assert any("4 contacts are not settled" in one for one in report.warnings)


async def test_an_answer_that_never_comes_is_no_deviation(box, url):
    person(box, "Ann")
    await sync(box, url)
    box.edit("contacts", there(box, "Ann")["id"], firstName="Edited")
    box.fault("status", method="GET", path="/contacts/[^/]+$", status=422, body={"message": "No."})
    report = await verify_all(box, url)
    assert (report.status, report.complete, deviations(report)) == ("degraded", True, {})
    assert any(one.startswith("1 contacts are not settled") for one in report.warnings)


async def test_a_contact_whose_lists_are_refused_is_counted_and_the_others_are_looked_at(box, url):
    for name in ("Ann", "Bob"):
        box.insert_source("notes", person(box, name), body="called")
    await sync(box, url)
    ann = there(box, "Ann")["id"]
    box.fault("status", method="GET", path=f"/contacts/{ann}/notes$", status=422, body={"message": "No."})
    for options in ({"scope": "all", "only": ("notes",)}, {"scope": "sample"}):
        report = await verify(box, url, **options)
        assert (report.status, report.complete, deviations(report)) == ("degraded", True, {})
        assert report.entities["notes"]["checked"] == 1
        assert any(one.startswith("1 contacts are not settled") for one in report.warnings)
    assert report.confidence.startswith("no deviation among 1 of 2 contacts")


async def test_fields_that_the_search_does_not_show_are_named(box, url):
    fields = {"mapping": {"default_country": "GB", "fields": {"website": {"source": "notes"}}}}
    person(box, "Ann", notes="https://example.com")
    await sync(box, url, **fields)
    report = await verify_all(box, url, sections=fields)
    assert report.status == "ok"
    assert any("the search does not show website" in one for one in report.warnings)


# stopped, killed, gone on with


async def test_a_killed_one_is_gone_on_with(box, url, tmp_path):
    box.reset(contacts=110, burst=500, interval=1.0, activities=False)
    box.insert_source("notes", 1, body="called")
    await sync(box, url)
    box.options(highlevel={"latency": 0.01})
    box.reset_counters()
    workers = Workers(box, url, tmp_path, {})
    worker = workers.start(trouble={"verify": {"scope": "all", "only": ["notes"]}})
    while asked(box).get("list-notes", 0) < 60 and worker.running:
        await asyncio.sleep(0.002)
    assert worker.kill()
    before = asked(box)["list-notes"]
    with opened(url) as database:
        database.now_do(lambda connection: connection.execute(update(leases).values(expires_at=0.0)))
    report = await verify_all(box, url, "notes")
    written = report.entities["contacts"]["written"]
    assert before < written <= asked(box)["list-notes"] <= written + 50 + 8
    assert (report.status, report.entities["notes"]["checked"]) == ("ok", report.entities["notes"]["written"])


async def test_it_lets_a_sync_go_first(box, url, monkeypatch):
    monkeypatch.setattr(lease, "RENEW_SECONDS", 0.05)
    monkeypatch.setattr(lease, "POLL_SECONDS", 0.02)
    box.reset(contacts=70, activities=False, burst=500, interval=1.0)
    await sync(box, url)
    box.options(highlevel={"latency": 0.03})
    box.reset_counters()
    ended = []

    async def long():
        report = await verify_all(box, url, "notes")
        ended.append(("verify", report.status))

    verifying = asyncio.create_task(long())
    while asked(box).get("list-notes", 0) < 5:
        await asyncio.sleep(0.01)
    report = await sync(box, url)
    ended.append(("sync", report.status))
    await verifying
    assert ended == [("sync", "ok"), ("verify", "ok")]
