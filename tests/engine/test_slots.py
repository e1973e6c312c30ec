"""Slot checks and notifications: off by default, and where they are wanted, only for what is to come."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.support.accounts import sync

LONDON = ZoneInfo("Europe/London")
CHECKED = {"mapping": {"check_slots": True}}
VERSIONS = pytest.mark.parametrize("version", ["v3", "2021-07-28"])


def slot(hour, weeks=2):
    """An hour of a Monday to come, or of one that is past, as the source prints it."""
    today = datetime.now(LONDON)
    monday = today - timedelta(days=today.weekday()) + timedelta(weeks=weeks)
    return f"{monday:%Y-%m-%d} {hour:02d}:00:00"


def visit(box, starts, **values):
    """An appointment of contact 1 at the source; its id."""
    return box.insert_source("appointments", 1, title="Visit", starts_at=starts, **values)["id"]


@pytest.fixture(autouse=True)
def _contact(box):
    box.insert_source("contacts", first_name="Ann", email="ann@example.com")


def sent(box):
    """Flags of the appointments that were written, in order."""
    names = ("ignoreFreeSlotValidation", "ignoreDateRange", "toNotify")
    return [
        tuple(one["body"][name] for name in names)
        for one in box.requests("highlevel")
        if one["method"] in ("POST", "PUT") and "/events/appointments" in one["path"]
    ]


@VERSIONS
async def test_by_default_everything_is_mirrored_as_it_is(box, url, version):
    box.record()
    for starts in (slot(10), slot(10), slot(3), slot(10, -2)):
        visit(box, starts)
    report = await sync(box, url, destination={"api_version": version})
    assert (report.status, len(box.appointments())) == ("ok", 4)
    assert sent(box) == [(True, True, False)] * 4
    assert {row["toNotify"] for row in box.appointments()} == {False}


@VERSIONS
async def test_a_taken_slot_is_a_reject_until_it_is_free(box, url, version):
    sections = {**CHECKED, "destination": {"api_version": version}}
    visit(box, slot(10))
    visit(box, slot(10), notes="the second")
    report = await sync(box, url, **sections)
    assert (report.status, len(box.appointments())) == ("degraded", 1)
    assert any(one.startswith("appointments: 1 rejected (slot_taken): ") for one in report.warnings)
    assert (await sync(box, url, **sections)).entities["appointments"]["rejected"] == 1
    box.edit("appointments", box.appointments()[0]["id"], appointmentStatus="cancelled")
    report = await sync(box, url, **sections)
    assert (report.status, len(box.appointments())) == ("ok", 2)


async def test_the_past_needs_no_slot(box, url):
    box.record()
    visit(box, slot(10, -2))
    visit(box, slot(3, -2))
    report = await sync(box, url, mapping={"check_slots": True, "notify": True})
    assert (report.status, sent(box)) == ("ok", [(True, True, False)] * 2)


async def test_what_is_cancelled_needs_no_slot(box, url):
    first = visit(box, slot(10))
    visit(box, slot(10), status="cancelled")
    report = await sync(box, url, **CHECKED)
    assert (report.status, len(box.appointments())) == ("ok", 2)
    box.record()
    box.edit_source("appointments", first, 1, status="cancelled")
    assert (await sync(box, url, **CHECKED)).status == "ok"
    assert sent(box) == [(True, True, False)]
    assert {row["appointmentStatus"] for row in box.appointments()} == {"cancelled"}


async def test_only_what_moves_or_is_taken_up_again_asks_for_a_slot(box, url):
    first, second = visit(box, slot(10)), visit(box, slot(11))
    await sync(box, url, **CHECKED)
    box.record()
    box.edit_source("appointments", second, 1, title="Demo")
    await sync(box, url, **CHECKED)
    box.edit_source("appointments", second, 1, starts_at=slot(10))
    report = await sync(box, url, **CHECKED)
    assert any(one.startswith("appointments: 1 rejected (slot_taken): ") for one in report.warnings)
    box.edit_source("appointments", second, 1, starts_at=slot(12))
    await sync(box, url, **CHECKED)
    assert sent(box) == [(True, True, False), (False, True, False), (False, True, False)]
    box.edit_source("appointments", first, 1, status="cancelled")
    await sync(box, url, **CHECKED)
    visit(box, slot(10), notes="somebody else's")
    assert (await sync(box, url, **CHECKED)).status == "ok"
    box.edit_source("appointments", first, 1, status="confirmed")
    report = await sync(box, url, **CHECKED)
    assert any(one.startswith("appointments: 1 rejected (slot_taken): ") for one in report.warnings)


async def test_people_are_notified_of_what_is_to_come(box, url):
    box.record()
    visit(box, slot(10))
    old = visit(box, slot(10, -2))
    await sync(box, url, mapping={"notify": True})
    assert sent(box) == [(True, True, True), (True, True, False)]
    box.edit_source("appointments", old, 1, starts_at=slot(10, 3))
    await sync(box, url, mapping={"notify": True})
    assert sent(box)[2:] == [(True, True, True)]


@pytest.mark.parametrize("kind", ["commit_then_drop", "commit_then_status"])
async def test_a_slot_taken_by_ourselves_is_no_reject(box, url, kind):
    visit(box, slot(10))
    status = {"status": 502} if kind == "commit_then_status" else {}
    box.fault(kind, method="POST", path="/appointments$", count=1, **status)
    await sync(box, url, **CHECKED)
    report = await sync(box, url, **CHECKED)
    assert (report.status, len(box.appointments())) == ("ok", 1)
