"""HighLevel's own Python SDK works against the modelled destination, and its models read the answers."""

import asyncio
import importlib
from functools import partial

import httpx
import pytest

load = partial(importlib.import_module, package="highlevel")
"""The SDK takes a second to import: whoever runs these tests has it, not every process that collects them."""


def contact_models():
    return load(".services.contacts.models.contacts")


def ghl_error():
    return load(".error").GHLError


@pytest.fixture
async def sdk(box):
    # it has no argument for the address; a subclass is the way its author left
    at_sandbox = type("Sdk", (load("highlevel").HighLevel,), {"BASE_URL": box.highlevel_url})
    client = at_sandbox(private_integration_token=box.token)
    yield client
    await client.http_client.aclose()


async def new_contact(sdk, box, **fields):
    body = {"locationId": box.location_id, "email": "ann@x.org", "firstName": "Ann", **fields}
    answer = await sdk.contacts.create_contact(body)
    contact_models().CreateContactsSuccessfulResponseDtoV3.model_validate(answer)
    return answer["contact"]["id"]


async def test_contacts(sdk, box):
    contact_id = await new_contact(sdk, box, phone="+44 7700 900123", tags=["VIP"])
    read = await sdk.contacts.get_contact(contact_id)
    contact = contact_models().GetContactByIdSchemaV3.model_validate(read["contact"])
    assert (contact.phone, contact.tags) == ("+447700900123", ["vip"])
    changed = await sdk.contacts.update_contact(contact_id, {"lastName": "Lee"})
    assert changed["contact"]["lastName"] == "Lee"
    again = await sdk.contacts.upsert_contact({"locationId": box.location_id, "email": "ann@x.org"})
    assert (again["new"], again["contact"]["id"]) == (False, contact_id)
    assert (await sdk.contacts.delete_contact(contact_id))["succeeded"] is True
    with pytest.raises(ghl_error()) as caught:
        await sdk.contacts.get_contact(contact_id)
    assert caught.value.status_code == 400
    assert f"Contact not found for id:{contact_id}" in str(caught.value)


async def test_refusals(sdk, box):
    await new_contact(sdk, box)
    with pytest.raises(ghl_error()) as caught:
        await new_contact(sdk, box)
    assert caught.value.status_code == 400
    with pytest.raises(ghl_error()) as caught:
        await new_contact(sdk, box, externalId="7")
    assert caught.value.status_code == 422
    assert "property externalId should not exist" in str(caught.value)


async def test_notes(sdk, box):
    contact_id = await new_contact(sdk, box)
    made = await sdk.contacts.create_note(contact_id, {"body": "Hello"})
    note = contact_models().GetNoteSchema.model_validate(made["note"])
    await sdk.contacts.update_note(contact_id, note.id, {"body": "Bye"})
    assert (await sdk.contacts.get_note(contact_id, note.id))["note"]["body"] == "Bye"
    assert [row["id"] for row in (await sdk.contacts.get_all_notes(contact_id))["notes"]] == [note.id]
    await sdk.contacts.delete_note(contact_id, note.id)
    assert (await sdk.contacts.get_all_notes(contact_id))["notes"] == []


async def test_tasks(sdk, box):
    contact_id = await new_contact(sdk, box)
    body = {"title": "Ring", "dueDate": "2026-12-01T10:00:00+01:00", "completed": False}
    made = await sdk.contacts.create_task(contact_id, body)
    task = contact_models().TaskSchema.model_validate(made["task"])
    assert task.dueDate == "2026-12-01T09:00:00.000Z"
    await sdk.contacts.update_task(contact_id, task.id, {"title": "Ring twice"})
    done = await sdk.contacts.update_task_completed(contact_id, task.id, {"completed": True})
    assert (done["task"]["title"], done["task"]["completed"]) == ("Ring twice", True)
    assert len((await sdk.contacts.get_all_tasks(contact_id))["tasks"]) == 1
    await sdk.contacts.delete_task(contact_id, task.id)
    assert (await sdk.contacts.get_all_tasks(contact_id))["tasks"] == []


async def test_tags_and_workflows(sdk, box):
    contact_id = await new_contact(sdk, box)
    assert (await sdk.contacts.add_tags(contact_id, {"tags": ["One", "Two"]}))["tags"] == ["one", "two"]
    assert (await sdk.contacts.remove_tags(contact_id, {"tags": ["one"]}))["tags"] == ["two"]
    enrolled = await sdk.contacts.add_contact_to_workflow(contact_id, box.workflow_id, {})
    assert enrolled["succeeded"] is True
    assert len(box.state("highlevel", "enrolments")) == 1


async def test_search(sdk, box):
    contact_id = await new_contact(sdk, box, phone="+447700900123")
    filters = [{"field": "email", "operator": "eq", "value": "ann@x.org"}]
    body = {"locationId": box.location_id, "pageLimit": 10, "filters": filters}
    found = await sdk.contacts.search_contacts_advanced(body)
    assert (found["total"], found["contacts"][0]["id"]) == (1, contact_id)
    twin = await sdk.contacts.get_duplicate_contact(box.location_id, number="+447700900123")
    assert twin["contact"]["id"] == contact_id


async def test_appointments(sdk, box):
    contact_id = await new_contact(sdk, box)
    body = {
        "calendarId": box.calendar_id,
        "locationId": box.location_id,
        "contactId": contact_id,
        "startTime": "2027-07-05T10:00:00+01:00",
        "appointmentStatus": "new",
        "title": "Demo",
    }
    made = await sdk.calendars.create_appointment(body)
    booked = load(".services.calendars.models.calendars").AppointmentSchemaResponse.model_validate(made)
    assert booked.appointmentStatus == "new"
    await sdk.calendars.edit_appointment(booked.id, {"title": "Other"})
    read = await sdk.calendars.get_appointment(booked.id)
    assert (read["event"]["title"], read["event"]["appointmentStatus"]) == ("Other", "confirmed")
    listed = await sdk.contacts.get_appointments_for_contact(contact_id)
    assert [row["startTime"] for row in listed["events"]] == ["2027-07-05 10:00:00"]
    assert (await sdk.calendars.delete_event(booked.id, {}))["succeeded"] is True


async def test_the_sdk_meets_the_rate_limit(sdk, box):
    box.options(location={"burst": 3})
    contact_id = await new_contact(sdk, box)
    answers = await asyncio.gather(
        *(sdk.contacts.get_contact(contact_id) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(answer, ghl_error()) and answer.status_code == 429 for answer in answers) == 3


def test_the_sdk_is_a_plain_httpx_client():
    client = load("highlevel").HighLevel(private_integration_token="pit-x")
    assert isinstance(client.http_client, httpx.AsyncClient)
    assert str(client.http_client.base_url).startswith("https://services.leadconnectorhq.com")
    asyncio.run(client.http_client.aclose())
