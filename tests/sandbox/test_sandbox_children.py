"""Notes, tasks, tags, workflows and appointments at the modelled destination."""

from datetime import UTC, datetime

import pytest


@pytest.fixture
def contact(create):
    return create(email="a@x.org", firstName="Ann")


@pytest.fixture
def path(contact):
    return f"/contacts/{contact['id']}"


def test_notes_live(crm, path, contact):
    note = crm.post(f"{path}/notes", json={"body": "<p>Hi</p> שלום 🎉\r\n"}).json()["note"]
    assert note["body"] == "<p>Hi</p> שלום 🎉\r\n"
    assert note["contactId"] == contact["id"]
    changed = crm.put(f"{path}/notes/{note['id']}", json={"body": "Bye"}).json()["note"]
    assert (changed["body"], changed["dateAdded"]) == ("Bye", note["dateAdded"])
    assert crm.get(f"{path}/notes").json()["notes"] == [changed]
    assert crm.delete(f"{path}/notes/{note['id']}").status_code == 200
    assert crm.get(f"{path}/notes").json()["notes"] == []
    assert crm.get(f"{path}/notes/{note['id']}").status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"body": "x", "locationId": "l"}, "property locationId should not exist"),
        ({"body": "x", "contactId": "c"}, "property contactId should not exist"),
        ({"body": "x", "dateAdded": "2020-01-01T00:00:00Z"}, "property dateAdded should not exist"),
        ({"body": "x", "userId": "nobody"}, "userId must be a valid user id"),
        ({"body": ""}, "body should not be empty"),
        ({}, "body should not be empty"),
    ],
)
def test_notes_are_checked(crm, path, body, message):
    answer = crm.post(f"{path}/notes", json=body)
    assert answer.status_code == 422
    assert message in answer.json()["message"]


def test_a_missing_child_may_be_a_400_too(box, crm, path):
    box.options(highlevel={"missing_child_status": 400})
    assert crm.get(f"{path}/notes/nothing").status_code == 400
    assert crm.put(f"{path}/tasks/nothing", json={"title": "x"}).status_code == 400
    assert crm.get("/calendars/events/appointments/nothing").status_code == 400


def test_tasks_live_and_their_due_date_comes_back_in_utc(crm, path):
    body = {"title": "Ring", "body": "b", "dueDate": "2026-10-25T01:30:00+02:00", "completed": False}
    task = crm.post(f"{path}/tasks", json=body)
    assert task.status_code == 201
    assert task.json()["task"]["dueDate"] == "2026-10-24T23:30:00.000Z"
    one = f"{path}/tasks/{task.json()['task']['id']}"
    assert crm.put(f"{one}/completed", json={"completed": True}).json()["task"]["completed"] is True
    assert crm.put(one, json={"title": "Ring twice"}).json()["task"]["completed"] is True
    assert crm.get(one).json()["task"]["title"] == "Ring twice"
    assert crm.delete(one).status_code == 200
    assert crm.get(f"{path}/tasks").json() == {"tasks": []}


@pytest.mark.parametrize(
    "change",
    [
        {"dueDate": None},
        {"dueDate": "soon"},
        {"completed": "no"},
        {"title": " "},
        {"status": "x"},
        {"assignedTo": "n"},
    ],
)
def test_tasks_are_checked(crm, path, change):
    body = {"title": "Ring", "dueDate": "2026-10-25T01:30:00Z", "completed": False, **change}
    assert crm.post(f"{path}/tasks", json=body).status_code == 422


def test_tags_are_a_set_and_the_answer_is_what_is_there_afterwards(crm, path):
    assert crm.post(f"{path}/tags", json={"tags": ["One", "TWO"]}).json() == {"tags": ["one", "two"]}
    again = crm.post(f"{path}/tags", json={"tags": ["one", "Three"]})
    assert (again.status_code, again.json()) == (201, {"tags": ["one", "two", "three"]})
    gone = crm.request("DELETE", f"{path}/tags", json={"tags": ["TWO", "four"]})
    assert (gone.status_code, gone.json()) == (200, {"tags": ["one", "three"]})


def test_enrolment_counts_once_and_a_draft_is_ignored_with_success(box, crm, path, contact):
    draft = next(row["id"] for row in box.state("highlevel", "workflows") if row["status"] == "draft")
    for workflow in (box.workflow_id, box.workflow_id, draft):
        answer = crm.post(f"{path}/workflow/{workflow}", json={"eventStartTime": "2026-12-01T10:00:00+01:00"})
        assert answer.status_code == 201
    enrolments = [(row["contactId"], row["workflowId"]) for row in box.state("highlevel", "enrolments")]
    assert enrolments == [(contact["id"], box.workflow_id)]
    assert crm.request("DELETE", f"{path}/workflow/{box.workflow_id}", json={}).status_code == 200
    crm.post(f"{path}/workflow/{box.workflow_id}", json={})
    assert len(box.state("highlevel", "enrolments")) == 2
    assert crm.post(f"{path}/workflow/nothing", json={}).status_code == 400


@pytest.fixture
def meeting(box, contact):
    return {
        "calendarId": box.calendar_id,
        "locationId": box.location_id,
        "contactId": contact["id"],
        "title": "Demo",
        "startTime": "2027-07-05T10:00:00+01:00",
        "endTime": "2027-07-05T10:30:00+01:00",
    }


BOOK = "/calendars/events/appointments"


def test_appointments_live(box, crm, meeting, contact, path):
    booked = crm.post(BOOK, json={**meeting, "appointmentStatus": "new", "toNotify": False}).json()
    assert booked["appointmentStatus"] == "new"
    got = crm.get(f"{BOOK}/{booked['id']}").json()["event"]
    assert datetime.fromisoformat(got["startTime"]) == datetime(2027, 7, 5, 9, tzinfo=UTC)
    assert got["startTime"].endswith("+01:00")
    (listed,) = crm.get(f"{path}/appointments").json()["events"]
    assert (listed["startTime"], listed["endTime"]) == ("2027-07-05 10:00:00", "2027-07-05 10:30:00")
    assert box.appointments(contact["id"])[0]["toNotify"] is False
    gone = crm.request("DELETE", f"/calendars/events/{booked['id']}", json={})
    assert (gone.status_code, gone.json()) == (201, {"succeeded": True})
    assert crm.get(f"{BOOK}/{booked['id']}").status_code == 404


def test_the_older_version_misspells_the_status_of_a_new_appointment(crm, meeting):
    crm.headers["Version"] = "2021-04-15"
    booked = crm.post(BOOK, json=meeting).json()
    assert booked["appoinmentStatus"] == "confirmed"
    assert booked["status"] == "booked"
    assert "appointmentStatus" not in booked
    assert "dateAdded" not in booked


def test_put_without_status_resets_it(crm, meeting):
    booked = crm.post(BOOK, json={**meeting, "appointmentStatus": "cancelled"}).json()
    assert booked["appointmentStatus"] == "cancelled"
    changed = crm.put(f"{BOOK}/{booked['id']}", json={"title": "Other"}).json()
    assert changed["appointmentStatus"] == "confirmed"
    kept = crm.put(f"{BOOK}/{booked['id']}", json={"title": "Third", "appointmentStatus": "completed"}).json()
    assert kept["appointmentStatus"] == "showed"


@pytest.mark.parametrize("status", ["no_show", "no-show", "pending", "rescheduled", "Confirmed"])
def test_unknown_statuses_are_refused(crm, meeting, status):
    assert crm.post(BOOK, json={**meeting, "appointmentStatus": status}).status_code == 422


TAKEN = "The slot you have selected is no longer available."


def test_a_taken_slot_is_refused_unless_validation_is_off(crm, meeting):
    first = crm.post(BOOK, json=meeting)
    assert first.status_code == 200
    second = crm.post(BOOK, json=meeting)
    assert (second.status_code, second.json()["message"]) == (400, TAKEN)
    assert crm.post(BOOK, json={**meeting, "ignoreFreeSlotValidation": True}).status_code == 200
    crm.put(f"{BOOK}/{first.json()['id']}", json={"appointmentStatus": "cancelled"})


@pytest.mark.parametrize(
    "start", ["2027-07-04T10:00:00+01:00", "2027-07-05T03:00:00+01:00", "2027-07-05T10:10:00+01:00",
     "2020-07-06T10:00:00Z"],
    ids=["sunday", "night", "between slots", "past"],
)  # fmt: skip
def test_a_time_that_is_not_offered_is_refused(crm, meeting, start):
    del meeting["endTime"]
    answer = crm.post(BOOK, json={**meeting, "startTime": start})
    assert (answer.status_code, answer.json()["message"]) == (400, TAKEN)
    free = {"ignoreFreeSlotValidation": True, "ignoreDateRange": True}
    assert crm.post(BOOK, json={**meeting, "startTime": start, **free}).status_code == 200


def test_a_blocked_slot_is_refused_and_free_slots_lack_it(box, crm, meeting):
    span = {"startTime": meeting["startTime"], "endTime": meeting["endTime"]}
    block = {"calendarId": box.calendar_id, "locationId": box.location_id, **span}
    assert crm.post("/calendars/events/block-slots", json=block).status_code == 201
    assert crm.post(BOOK, json=meeting).status_code == 400
    start = int(datetime(2027, 7, 5, tzinfo=UTC).timestamp() * 1000)
    days = {"startDate": start, "endDate": start + 86_400_000}
    slots = crm.get(f"/calendars/{box.calendar_id}/free-slots", params=days).json()["2027-07-05"]["slots"]
    assert "2027-07-05T09:30:00+01:00" in slots
    assert "2027-07-05T10:00:00+01:00" not in slots
    days["endDate"] += 31 * 86_400_000
    assert crm.get(f"/calendars/{box.calendar_id}/free-slots", params=days).status_code == 400
    assert (
        crm.get(f"/calendars/{box.calendar_id}/free-slots", params={"startDate": "today"}).status_code == 422
    )


def test_the_owner_must_be_in_the_calendars_team(box, crm, meeting):
    outsider = box.user_ids[3]
    answer = crm.post(BOOK, json={**meeting, "assignedUserId": outsider})
    assert answer.status_code == 422
    assert answer.json()["message"] == ["The user id not part of calendar team"]
    mine = crm.post(BOOK, json={**meeting, "assignedUserId": box.user_ids[1]})
    assert mine.json()["assignedUserId"] == box.user_ids[1]


def test_events_need_one_of_three_keys(box, crm, meeting):
    crm.post(BOOK, json=meeting)
    start = int(datetime(2027, 7, 5, tzinfo=UTC).timestamp() * 1000)
    window = {"locationId": box.location_id, "startTime": start, "endTime": start + 86_400_000}
    assert crm.get("/calendars/events", params=window).status_code == 422
    for key in ({"calendarId": box.calendar_id}, {"userId": box.user_ids[0]}):
        events = crm.get("/calendars/events", params={**window, **key}).json()["events"]
        assert [event["title"] for event in events] == ["Demo"]
    other = {"locationId": box.location_id, "limit": 3}
    assert crm.get("/calendars/", params=other).status_code == 422


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"contactId": "nobody"}, 400),
        ({"calendarId": "nothing"}, 400),
        ({"locationId": "elsewhere"}, 403),
        ({"startTime": None}, 422),
        ({"endTime": "2027-07-05T09:00:00Z"}, 400),
        ({"notes": "x"}, 422),
    ],
)
def test_appointments_are_checked(crm, meeting, change, status):
    body = {**meeting, "ignoreFreeSlotValidation": True, **change}
    assert crm.post(BOOK, json=body).status_code == status
