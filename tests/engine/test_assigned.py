"""Whose a note, task or appointment is: users of VoIPstudio as users of HighLevel."""

from __future__ import annotations

import pytest

from tests.support.accounts import sync

VERSIONS = pytest.mark.parametrize("version", ["v3", "2021-07-28"])
NOBODY = "The user id not part of calendar team"


@pytest.fixture
def people(box):
    """Contact 1 at the source, and users 1 to 3 of it, who are in the calendar's team; 4 is in no team."""
    box.insert_source("contacts", first_name="Ann", email="ann@example.com", user_id=None)
    return {"1": box.user_ids[0], "2": box.user_ids[1], "3": box.user_ids[2], "4": box.user_ids[3]}


def three(box, user):
    """A note, a task and an appointment of one user."""
    note = box.insert_source("notes", 1, body="Said", user_id=user)
    task = box.insert_source("tasks", 1, title="Call", due_at="2026-12-01 10:00:00", user_id=user)
    visit = box.insert_source("appointments", 1, title="Visit", starts_at="2026-12-01 10:00:00", user_id=user)
    return {"notes": note["id"], "tasks": task["id"], "appointments": visit["id"]}


def owners(box):
    return (
        [row.get("userId") for row in box.notes()],
        [row.get("assignedTo") for row in box.tasks()],
        [row.get("assignedUserId") for row in box.appointments()],
    )


def edit_all(box, items, **values):
    for entity, item_id in items.items():
        box.edit_source(entity, item_id, 1, **values)


@VERSIONS
async def test_records_are_their_users(box, url, tmp_path, people, version):
    three(box, 2)
    sections = {"mapping": {"users": people}, "destination": {"api_version": version}}
    assert (await sync(box, url, **sections)).status == "ok"
    assert owners(box) == ([people["2"]], [people["2"]], [people["2"]])
    box.reset_counters()
    await sync(box, url, mode="full", **sections)
    again = await sync(box, f"sqlite:///{tmp_path}/another.db", **sections)
    assert (box.writes(), again.entities["notes"]["adopted"]) == ({}, 1)
    assert not [one for one in again.warnings if "left as a person" in one]


@VERSIONS
async def test_a_change_of_user_goes_along_and_a_persons_stays(box, url, people, version):
    sections = {"mapping": {"users": people}, "destination": {"api_version": version}}
    items = three(box, 1)
    await sync(box, url, **sections)
    edit_all(box, items, user_id=2)
    await sync(box, url, **sections)
    assert owners(box) == ([people["2"]], [people["2"]], [people["2"]])
    box.edit("notes", box.notes()[0]["id"], userId=people["3"])
    box.edit("tasks", box.tasks()[0]["id"], assignedTo=people["3"])
    box.edit("appointments", box.appointments()[0]["id"], assignedUserId=people["3"])
    edit_all(box, items, user_id=1, title="Changed", body="Changed")
    report = await sync(box, url, **sections)
    assert owners(box) == ([people["3"]], [people["3"]], [people["3"]])
    assert (box.tasks()[0]["title"], box.appointments()[0]["title"]) == ("Changed", "Changed")
    for entity, field in (("notes", "userId"), ("tasks", "assignedTo"), ("appointments", "assignedUserId")):
        assert f"{entity}: 1 {field} left as a person wrote it at the destination" in report.warnings


async def test_an_unknown_user_is_said_and_nobody_at_the_source_clears_nobody(box, url, people):
    items = three(box, 2)
    await sync(box, url, mapping={"users": people})
    edit_all(box, items, user_id=None)
    await sync(box, url, mapping={"users": people})
    assert owners(box) == ([people["2"]], [people["2"]], [people["2"]])
    edit_all(box, items, user_id=77)
    report = await sync(box, url, mapping={"users": people})
    assert owners(box) == ([people["2"]], [people["2"]], [people["2"]])
    assert report.status == "ok"
    for entity in ("notes", "tasks", "appointments"):
        assert f"{entity}: 1 without a part (unknown_user)" in report.warnings


async def test_users_mapped_later_take_what_nobody_has(box, url, people):
    three(box, 2)
    await sync(box, url)
    assert owners(box) == ([None], [None], [people["1"]])  # the calendar gives its appointments to somebody
    report = await sync(box, url, mode="full", mapping={"users": people})
    assert owners(box) == ([people["2"]], [people["2"]], [people["1"]])
    assert report.status == "ok"


@pytest.mark.parametrize("status", [422, 400])
async def test_an_appointment_of_somebody_outside_the_team_arrives_without_them(box, url, people, status):
    items = three(box, 4)
    if status != 422:
        body = {"statusCode": status, "message": NOBODY, "error": "Bad Request"}
        box.fault("status", method="POST", path="/appointments$", status=status, body=body, count=1)
    sections = {"mapping": {"users": people}}
    report = await sync(box, url, **sections)
    assert (report.status, report.entities["appointments"]["created"]) == ("ok", 1)
    assert "appointments: 1 without a part (not_in_team)" in report.warnings
    assert owners(box) == ([people["4"]], [people["4"]], [people["1"]])
    box.reset_counters()
    await sync(box, url, mode="full", **sections)
    assert box.counters()["highlevel"]["operations"].get("update-appointment", 0) == 0
    box.edit_source("appointments", items["appointments"], 1, title="Other")
    report = await sync(box, url, **sections)
    assert (report.status, box.appointments()[0]["title"]) == ("ok", "Other")
    assert box.writes() == {"update-appointment": 1}


async def test_an_appointment_given_to_somebody_outside_the_team_keeps_its_other_changes(box, url, people):
    items = three(box, 2)
    await sync(box, url, mapping={"users": people})
    box.edit_source("appointments", items["appointments"], 1, user_id=4, title="Other")
    report = await sync(box, url, mapping={"users": people})
    (there,) = box.appointments()
    assert (report.status, there["title"], there["assignedUserId"]) == ("ok", "Other", people["2"])
    assert "appointments: 1 without a part (not_in_team)" in report.warnings
    box.edit_source("appointments", items["appointments"], 1, user_id=3)
    await sync(box, url, mapping={"users": people})
    assert box.appointments()[0]["assignedUserId"] == people["3"]


@pytest.mark.parametrize("kind", ["commit_then_drop", "drop"])
async def test_an_answer_lost_after_that_refusal_makes_no_second_appointment(box, url, people, kind):
    three(box, 4)
    box.fault(kind, method="POST", path="/appointments$", count=1, after=1)
    await sync(box, url, mapping={"users": people})
    report = await sync(box, url, mapping={"users": people})
    assert (report.status, len(box.appointments())) == ("ok", 1)


async def test_a_user_who_has_left_the_location_keeps_no_record_back(box, url, people):
    await sync(box, url, mapping={"users": people})
    box.delete("users", people["4"])
    three(box, 4)
    report = await sync(box, url, mapping={"users": people})
    assert report.status == "ok"
    assert owners(box) == ([None], [None], [people["1"]])
    assert "tasks: 1 without a part (unknown_user)" in report.warnings


async def test_a_call_back_is_the_contacts_owners(box, url, people):
    box.options(voipstudio={"streams": {"notes": False, "tasks": False, "appointments": False}})
    box.edit_source("contacts", 1, next_call_at="2026-12-01 10:00:00", notes="Tea", user_id=2)
    await sync(box, url, mapping={"users": people})
    assert owners(box) == ([None], [people["2"]], [])
