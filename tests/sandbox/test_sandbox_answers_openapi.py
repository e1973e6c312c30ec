"""Every kind of answer against the schema that HighLevel publishes for it, in both versions."""

from datetime import UTC, datetime

import httpx
import pytest

from tests.support import openapi

pytestmark = pytest.mark.skipif(not openapi.SPECS.is_dir(), reason=openapi.ABSENT)


class Speaker:
    """Calls in one version and keeps what is wrong with the answers."""

    def __init__(self, box, version):
        self.box, self.version, self.checked, self.problems = box, version, 0, []
        headers = {"Authorization": f"Bearer {box.token}"}
        self.client = httpx.Client(base_url=box.highlevel_url, headers=headers)

    def __call__(self, method, path, *, measured=None, **more):
        calendars = path.startswith("/calendars")
        version = "2021-04-15" if calendars and self.version != "v3" else self.version
        answer = self.client.request(method, path, headers={"Version": version}, **more)
        assert answer.status_code < 300, (method, path, answer.text)
        if measured is None:  # else the service was seen to answer another status than the published one
            status, body = answer.status_code, answer.json()
            found = openapi.validate_response(openapi.SPECS, version, method, path, status, body)
            self.checked += found is not None
            self.problems += found or []
        else:
            assert answer.status_code == measured
        return answer.json()

    def new_contact(self, **fields):
        body = {"locationId": self.box.location_id, "firstName": "Ann", "email": "ann@x.org", **fields}
        return self("POST", "/contacts/", json=body)["contact"]


@pytest.fixture(params=["v3", "2021-07-28"])
def speak(request, box):
    speaker = Speaker(box, request.param)
    with speaker.client:
        yield speaker


def test_contacts_answer_in_the_published_shape(box, speak):
    place = box.location_id
    field = speak("POST", f"/locations/{place}/customFields", json={"name": "Id", "dataType": "TEXT"})
    fields = [{"id": field["customField"]["id"], "field_value": "7"}]
    contact = speak.new_contact(phone="+447700900123", customFields=fields, tags=["A"], companyName="Acme")
    one = f"/contacts/{contact['id']}"
    speak("GET", one)
    speak("PUT", one, json={"lastName": "Low", "dnd": True})
    speak("POST", "/contacts/upsert", json={"locationId": place, "email": "ann@x.org"})
    speak("POST", f"{one}/followers", json={"followers": [box.user_ids[0]]})
    speak("DELETE", f"{one}/followers", json={"followers": [box.user_ids[0]]})
    speak("POST", f"{one}/workflow/{box.workflow_id}", measured=201, json={})
    speak("DELETE", f"{one}/workflow/{box.workflow_id}", json={})
    speak("POST", "/contacts/search", json={"locationId": place, "pageLimit": 5})
    speak("GET", "/contacts/search/duplicate", params={"locationId": place, "email": "ann@x.org"})
    if speak.version != "v3":
        speak("GET", "/contacts/", params={"locationId": place})
    speak("GET", "/contacts/business/64a1b2c3d4e5f60718293a4b", params={"locationId": place})
    speak("DELETE", one)
    assert speak.problems == []
    assert speak.checked >= 10


def test_notes_tasks_and_tags_answer_in_the_published_shape(box, speak):
    one = f"/contacts/{speak.new_contact()['id']}"
    note = speak("POST", f"{one}/notes", json={"body": "Hello", "userId": box.user_ids[0]})["note"]
    speak("GET", f"{one}/notes")
    speak("GET", f"{one}/notes/{note['id']}")
    speak("PUT", f"{one}/notes/{note['id']}", json={"body": "Hi"})
    due = {"title": "Ring", "dueDate": "2027-01-05T10:00:00+01:00", "completed": False}
    task = speak("POST", f"{one}/tasks", json=due)["task"]
    speak("GET", f"{one}/tasks")
    speak("GET", f"{one}/tasks/{task['id']}")
    speak("PUT", f"{one}/tasks/{task['id']}", json={"title": "Ring twice"})
    speak("PUT", f"{one}/tasks/{task['id']}/completed", json={"completed": True})
    speak("POST", f"{one}/tags", json={"tags": ["B"]})
    speak("DELETE", f"{one}/tags", json={"tags": ["B"]})
    speak("DELETE", f"{one}/notes/{note['id']}")
    speak("DELETE", f"{one}/tasks/{task['id']}")
    assert speak.problems == []
    assert speak.checked == 14


def test_calendars_answer_in_the_published_shape(box, speak):
    contact_id, place = speak.new_contact()["id"], box.location_id
    start = int(datetime(2027, 3, 1, 9, tzinfo=UTC).timestamp() * 1000)
    meeting = {"calendarId": box.calendar_id, "locationId": place, "contactId": contact_id, "title": "Demo"}
    booked = speak(
        "POST", "/calendars/events/appointments", json={**meeting, "startTime": "2027-03-01T10:00:00Z"}
    )
    event = f"/calendars/events/appointments/{booked['id']}"
    speak("GET", event)
    speak("PUT", event, json={"title": "Demo 2", "appointmentStatus": "showed"})
    speak("GET", f"/contacts/{contact_id}/appointments")
    window = {"startTime": str(start), "endTime": str(start + 86_400_000)}
    speak("GET", "/calendars/events", params={"locationId": place, "calendarId": box.calendar_id, **window})
    speak("GET", "/calendars/", params={"locationId": place})
    speak("GET", f"/calendars/{box.calendar_id}")
    days = {"startDate": start, "endDate": start + 86_400_000}
    speak("GET", f"/calendars/{box.calendar_id}/free-slots", params=days)
    block = {"locationId": place, "calendarId": box.calendar_id, "title": "Lunch"}
    lunch = {"startTime": "2027-03-01T12:00:00Z", "endTime": "2027-03-01T13:00:00Z"}
    speak("POST", "/calendars/events/block-slots", json={**block, **lunch})
    speak("DELETE", f"/calendars/events/{booked['id']}", json={})
    assert speak.problems == []
    assert speak.checked == 11


def test_locations_answer_in_the_published_shape(box, speak):
    place = f"/locations/{box.location_id}"
    speak("GET", place)
    speak("GET", f"{place}/timezones")
    tag = speak("POST", f"{place}/tags", json={"name": "Fresh"})["tag"]
    speak("GET", f"{place}/tags")
    speak("GET", f"{place}/tags/{tag['id']}")
    speak("PUT", f"{place}/tags/{tag['id']}", json={"name": "Stale"})
    speak("DELETE", f"{place}/tags/{tag['id']}")
    options = {"name": "Colour", "dataType": "SINGLE_OPTIONS", "options": ["Red"]}
    field = speak("POST", f"{place}/customFields", json=options)["customField"]
    speak("GET", f"{place}/customFields", params={"model": "contact"})
    speak("GET", f"{place}/customFields/{field['id']}")
    speak("PUT", f"{place}/customFields/{field['id']}", json={"name": "Hue"})
    speak("DELETE", f"{place}/customFields/{field['id']}")
    users = {"companyId": box.company_id, "locationId": box.location_id}
    speak("GET", "/users/search", params=users)
    speak("GET", "/workflows/", params={"locationId": box.location_id})
    assert speak.problems == []
    assert speak.checked >= 12


@pytest.mark.parametrize("version", ["2021-07-28", "v3"], ids=["snake_case", "camelCase"])
def test_token_answers_have_the_published_shape(box, version):
    oauth = box.oauth
    form = {"client_id": oauth["client_id"], "client_secret": oauth["client_secret"]}
    form |= {"grant_type": "authorization_code", "code": oauth["codes"]["location"]}
    if version == "v3":
        spelt = {"client_id": "clientId", "client_secret": "clientSecret", "grant_type": "grantType"}
        form = {spelt.get(name, name): value for name, value in form.items()}
    answer = httpx.post(f"{box.highlevel_url}/oauth/token", data=form, headers={"Version": version})
    assert answer.status_code == 200, answer.text
    found = openapi.validate_response(openapi.SPECS, version, "POST", "/oauth/token", 200, answer.json())
    assert found == []


def test_the_answer_validator_names_the_problem():
    answer = {"notes": [{"id": 7, "body": "x"}]}
    found = openapi.validate_response(openapi.SPECS, "v3", "GET", "/contacts/a/notes", 200, answer)
    assert found == ["GET /contacts/a/notes 200: answer.notes[0].id: 7 is not of type 'string'"]


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        ({"method": "GET", "path": "/contacts/abc", "headers": {}}, "no Version header"),
        (
            {"method": "GET", "path": "/nothing", "headers": {"version": "v3"}},
            "not in the files of version v3",
        ),
        (
            {"method": "GET", "path": "/calendars/abc", "headers": {"version": "2021-07-28"}},
            "Version 2021-07-28 is not one of",
        ),
        (
            {"method": "PUT", "path": "/contacts/a", "headers": {"version": "v3"}, "body": {"gender": "x"}},
            "'gender' was unexpected",
        ),
        (
            {
                "method": "POST",
                "path": "/contacts/",
                "headers": {"version": "v3"},
                "body": {"firstName": "x"},
            },
            "'locationId' is a required property",
        ),
        (
            {
                "method": "POST",
                "path": "/contacts/a/notes",
                "headers": {"version": "v3"},
                "body": {"body": None},
            },
            "None is not of type 'string'",
        ),
        (
            {
                "method": "GET",
                "path": "/calendars/events",
                "headers": {"version": "v3"},
                "query": {"x": ["1"]},
            },
            "query: x is not a parameter",
        ),
    ],
)
def test_the_request_validator_names_the_problem(request_, problem):
    problems = openapi.validate_request(openapi.SPECS, request_)
    assert any(problem in text for text in problems), problems


@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
def test_the_request_validator_accepts_what_is_published(version):
    body = {"firstName": None, "dateOfBirth": "1990-09-25", "customFields": [{"id": "a", "field_value": "7"}]}
    request = {
        "method": "PUT",
        "path": "/contacts/abc",
        "headers": {"version": version},
        "body": body,
        "query": {},
    }
    assert openapi.validate_request(openapi.SPECS, request) == []
