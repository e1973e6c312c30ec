"""What leaves the process: method, address, Version, location and body of each kind of request."""

import json
from datetime import UTC, datetime

import httpx
import pytest
from pydantic import ValidationError

from tasks.highlevel.client import ContactsApi
from tasks.highlevel.operations import OPERATIONS
from tasks.highlevel.requests import (
    CreateAppointment,
    CreateContact,
    CreateCrmTask,
    SearchContacts,
    UpdateAppointment,
    UpdateContact,
    UpsertContact,
)
from tasks.transport import Transport

ANYTHING = {
    "contact": {"id": "c1"}, "note": {"id": "n1"}, "task": {"id": "t1"}, "id": "x1", "tags": [],
    "contacts": [], "notes": [], "tasks": [], "events": [], "customFields": [], "calendars": [],
    "timeZones": [], "workflows": [], "users": [],
}  # fmt: skip


async def sent(ask, version="v3"):
    """The request that one call sends."""
    requests = []

    def answer(request):
        requests.append(request)
        return httpx.Response(200, json=ANYTHING)

    wire = httpx.MockTransport(answer)
    transport = Transport(service="HighLevel", base_url="https://api.test/base", auth=httpx.Auth(), wire=wire)
    try:
        await ask(ContactsApi(transport, location_id="loc 1", version=version))
    finally:
        await transport.close()
    (request,) = requests
    return request


async def body_of(ask, version="v3"):
    return json.loads((await sent(ask, version)).content)


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=list(OPERATIONS))
@pytest.mark.parametrize(("version", "calendars"), [("v3", "v3"), ("2021-07-28", "2021-04-15")])
async def test_every_operation_goes_to_its_route_with_its_version(operation, version, calendars):
    required = {
        field.alias or name: {
            "pageLimit": 5,
            "completed": True,
            "tags": ["a"],
            "appointmentStatus": "new",
        }.get(field.alias or name, "x")
        for name, field in (operation.request.model_fields if operation.request else {}).items()
        if field.is_required()
    }
    path = {name: f"{name}/1" for name in operation.path_names}
    request = await sent(lambda api: api.call(operation.name, path=path, body=required or None), version)

    address = operation.path.replace("{locationId}", "loc%201")
    for name in operation.path_names:
        address = address.replace(f"{{{name}}}", f"{name}%2F1")
    assert (request.method, request.url.raw_path.decode().split("?")[0]) == (
        operation.method,
        f"/base{address}",
    )
    assert request.headers["Version"] == (calendars if operation.calendars else version)
    body = json.loads(request.content) if request.content else None
    assert (body is not None) == (operation.request is not None)
    assert request.url.params.get("locationId") == ("loc 1" if operation.location == "query" else None)
    assert (body or {}).get("locationId") == ("loc 1" if operation.location == "body" else None)


async def test_a_creation_sends_what_was_set_and_the_location():
    contact = CreateContact(firstName="Zoë", email=None, tags=["a"], companyName="Acme")
    assert await body_of(lambda api: api.create_contact(contact)) == {
        "firstName": "Zoë", "email": None, "tags": ["a"], "companyName": "Acme", "locationId": "loc 1",
    }  # fmt: skip


@pytest.mark.parametrize(("version", "spelling"), [("v3", "fieldValue"), ("2021-07-28", "field_value")])
async def test_custom_fields_are_written_in_the_versions_spelling(version, spelling):
    contact = UpdateContact(customFields={"f1": "7", "f2": ["a", "b"], "f3": None})
    assert await body_of(lambda api: api.update_contact("c1", contact), version) == {
        "customFields": [
            {"id": "f1", spelling: "7"},
            {"id": "f2", spelling: ["a", "b"]},
            {"id": "f3", spelling: ""},
        ]
    }


async def test_an_update_can_clear_and_never_has_the_location():
    assert await body_of(lambda api: api.update_contact("c1", UpdateContact(phone=None))) == {"phone": None}


async def test_an_upsert_has_the_location():
    upsert = UpsertContact(email="a@b.io", createNewIfDuplicateAllowed=True)
    assert await body_of(lambda api: api.upsert_contact(upsert)) == {
        "email": "a@b.io", "createNewIfDuplicateAllowed": True, "locationId": "loc 1",
    }  # fmt: skip


async def test_a_search_leaves_out_what_has_no_value():
    search = SearchContacts(pageLimit=500, page=None, searchAfter=[1, "c"], sort=[{"field": "dateAdded"}])
    assert await body_of(lambda api: api.search_contacts(search)) == {
        "pageLimit": 500, "searchAfter": [1, "c"], "sort": [{"field": "dateAdded"}], "locationId": "loc 1",
    }  # fmt: skip


async def test_a_duplicate_is_looked_up_by_encoded_keys():
    request = await sent(lambda api: api.find_duplicate(number="+447700900123"))
    assert request.url.query == b"number=%2B447700900123&locationId=loc+1"


async def test_events_are_asked_for_in_milliseconds():
    start, end = datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, 0, 0, 0, 500_000, tzinfo=UTC)
    request = await sent(lambda api: api.calendar_events("k1", start, end))
    assert dict(request.url.params) == {
        "calendarId": "k1", "startTime": "1767312000000", "endTime": "1767398400500", "locationId": "loc 1",
    }  # fmt: skip


async def test_deletions_with_and_without_a_body():
    assert (await sent(lambda api: api.delete_appointment("e1"))).content == b"{}"
    assert (await sent(lambda api: api.delete_note("c1", "n1"))).content == b""
    request = await sent(lambda api: api.remove_tags("c1", ["a"]))
    assert (request.method, request.content) == ("DELETE", b'{"tags":["a"]}')


async def test_appointment_and_task_bodies():
    appointment = CreateAppointment(
        calendarId="k", contactId="c", startTime="2026-01-02T03:04:05Z", toNotify=False
    )
    assert await body_of(lambda api: api.create_appointment(appointment)) == {
        "calendarId": "k", "contactId": "c", "startTime": "2026-01-02T03:04:05Z", "toNotify": False,
        "locationId": "loc 1",
    }  # fmt: skip
    change = UpdateAppointment(title="t", appointmentStatus="showed")
    assert await body_of(lambda api: api.update_appointment("e1", change)) == {
        "title": "t", "appointmentStatus": "showed",
    }  # fmt: skip
    crm_task = CreateCrmTask(title="t", dueDate="2026-01-02T03:04:05Z", completed=False)
    assert await body_of(lambda api: api.create_crm_task("c1", crm_task)) == {
        "title": "t", "dueDate": "2026-01-02T03:04:05Z", "completed": False,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("model", "values"),
    [
        (UpdateContact, {"companyName": "x"}),
        (UpdateContact, {"gender": "x"}),
        (UpdateContact, {"locationId": "x"}),
        (CreateContact, {"additionalEmails": []}),
        (UpdateAppointment, {"title": "would reset the status"}),
        (UpdateAppointment, {"appointmentStatus": "no-show"}),
        (SearchContacts, {"pageLimit": 501}),
        (SearchContacts, {"pageLimit": 1, "query": "x" * 76}),
        (CreateCrmTask, {"title": "t", "completed": False}),
    ],
)
def test_a_request_that_would_be_refused_cannot_be_made(model, values):
    with pytest.raises(ValidationError):
        model(**values)
