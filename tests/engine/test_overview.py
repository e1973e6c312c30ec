"""An account's page: fresh as of when, what is open and what to do about it, links and no people."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import insert

from tasks.engine.attention import shown
from tasks.engine.overview import bar, headline, overview, spark, summary
from tasks.engine.remedies import remedy
from tasks.engine.status import standings
from tasks.engine.steps import open_steps, turn
from tasks.ledger.database import opened
from tasks.ledger.tables import runs
from tasks.options import SyncOptions
from tests.engine.test_identity import LINE, person
from tests.support.accounts import settings_of, sync

FAR = 4_102_444_800.0
"""2100-01-01."""


def stands(box, url, **sections):
    settings = settings_of(box, url, **sections)
    (one,) = standings(settings.state, settings.accounts)
    return one


async def test_an_account_that_never_ran(box, url):
    page = overview(stands(box, url), next_run=FAR)
    assert page.startswith("# acme\n\nNo sync has succeeded yet.\n\nNext run due: 2100-01-01 00:00:00 UTC.")
    assert "##" in page
    assert "Last runs" not in page


async def test_what_is_open_is_told_with_remedies_and_links(box, url):
    theirs = box.insert("contacts", firstName="Zoe", lastName="Fry", phone=LINE, email="zoe@example.com")
    asked = person(box, "Ann", email=None, tel="02079460001")
    noted = person(box, "Bob", email="bob@example.com")
    note = box.insert_source("notes", noted, body="poison")
    box.fault("status", method="POST", path="/notes$", status=400, body={"message": "No.", "statusCode": 400})
    report = await sync(box, url)
    assert report.status == "degraded"
    one = stands(box, url, destination={"app_url": "https://crm.agency.example"})
    bob = next(row["id"] for row in box.contacts() if row["firstName"] == "Bob")
    at = f"https://crm.agency.example/v2/location/{box.location_id}/contacts/detail"
    assert [(case["source_id"], case["reason"], case["contacts"]) for case in one["attention"]] == [
        (str(asked), "ambiguous", [{"id": theirs["id"], "url": f"{at}/{theirs['id']}"}]),
        (f"{noted}/{note['id']}", "http_400", [{"id": bob, "url": f"{at}/{bob}"}]),
    ]
    for page in (overview(one), summary(report, one["attention"])):
        assert f"| contacts | `{asked}` | ambiguous | [{theirs['id']}]({at}/{theirs['id']}) |\n" in page
        assert f"- ambiguous: {remedy('ambiguous')}" in page
        assert f"[{bob}]({at}/{bob})" in page
        assert [name for name in ("Ann", "Bob", "Zoe", "example.com", "poison") if name in page] == []
    made = summary(report, one["attention"])
    assert f"\nRequests to the source: {report.requests['source']}; of all 0 throttled, " in made
    assert made.count("equests to the destination: ") == 1
    assert headline(one).startswith("acme: degraded, 2 open, as of 2")
    page = overview(one)
    assert "but for 2 records that are open" in page
    assert f"| notes | http_400 | {remedy('http_400')} | 1 |" in page
    assert one["rejected"] == [
        {"entity": "notes", "reason": "http_400", "records": 1, "remedy": remedy("http_400")}
    ]


async def test_a_page_tells_freshness_totals_quota_and_runs(box, url):
    before = time.time()
    for name in ("Ann", "Bob", "Cat"):
        person(box, name, email=f"{name}@example.com")
    report = await sync(box, url)
    one = stands(box, url)
    assert before <= one["as_of"] <= time.time() - one["synced_seconds_ago"] + 0.1
    sent = report.requests["destination_reads"] + report.requests["destination_writes"]
    assert (sum(one["requests_by_hour"]), one["runs"][0]["written"]) == (sent, 3)
    assert 0 < one["quota"]["day_left"] <= one["quota"]["day_limit"] - sent
    page = overview(one)
    assert "| entity | synced |\n| --- | ---: |\n| contacts | 3 |" in page
    assert f"of the location's {one['quota']['day_limit']:,} used, {one['quota']['day_left']:,} left" in page
    assert f"| sync | ok | `{report.run_id}` |" in page
    assert (report.idle, (await sync(box, url)).idle) == (False, True)


def test_the_newest_reading_counts_whatever_ended_after_it(box, url):
    now, common = time.time(), {"account": "acme", "kind": "sync", "status": "ok", "owner": "o"}
    rows = [
        {"id": "long", "mode": "full", "started_at": now - 100, "finished_at": now - 5},
        {"id": "between", "mode": "incremental", "started_at": now - 60, "finished_at": now - 50},
    ]
    with opened(url) as ledger:
        ledger.now_do(lambda connection: connection.execute(insert(runs), [one | common for one in rows]))
    one = stands(box, url)
    assert one["as_of"] == now - 60
    assert one["synced_seconds_ago"] == pytest.approx(50, abs=5)


async def test_only_a_sync_makes_an_account_fresh(box, url):
    person(box, "Ann")
    settings = settings_of(box, url)
    async with open_steps("acme", SyncOptions(), settings, kind="verify") as steps:
        await steps.conclude()
    one = stands(box, url)
    assert (one["as_of"], one["synced_seconds_ago"], one["runs"][0]["kind"]) == (None, None, "verify")


async def test_what_a_person_changed_too_is_shown_to_people(box, url):
    number = person(box, "Ann", email="ann@example.com")
    await sync(box, url)
    contact = box.contacts()[0]["id"]
    box.edit("contacts", contact, firstName="Annie", lastName="Smythe")
    box.edit_source("contacts", number, first_name="Anna", last_name="Schmidt")
    settings = settings_of(box, url)
    async with open_steps("acme", SyncOptions(), settings) as steps:
        await turn(steps)
        await steps.conclude()
    (case,) = shown(settings.account("acme"), steps.run.findings.disputed)
    assert (case["source_id"], case["remedy"]) == (str(number), remedy("changed_on_both_sides"))
    assert case["contacts"][0]["url"].startswith("https://app.gohighlevel.com/v2/location/")


@pytest.mark.parametrize(
    ("part", "drawn"),
    [(0.0, "░" * 20), (0.5, "▇" * 10 + "░" * 10), (1.0, "▇" * 20), (1.7, "▇" * 20), (-1.0, "░" * 20)],
)
def test_a_bar(part, drawn):
    assert bar(part) == drawn


@pytest.mark.parametrize(
    ("numbers", "drawn"), [([], ""), ([0, 0], "··"), ([0, 1, 800, 400], "·▁█▄"), ([7], "█")]
)
def test_a_spark_line(numbers, drawn):
    assert spark(numbers) == drawn
