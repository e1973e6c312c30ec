"""What we make of answers in the shapes that were seen, and in some that were not."""

import json

import httpx
import pytest

from tasks.errors import ApiError
from tasks.highlevel import parse
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.requests import CreateAppointment, SearchContacts, UpsertContact
from tasks.transport import Transport


async def answered(ask, body):
    wire = httpx.MockTransport(lambda _: httpx.Response(200, content=json.dumps(body)))
    transport = Transport(service="HighLevel", base_url="https://api.test", auth=httpx.Auth(), wire=wire)
    try:
        return await ask(ContactsApi(transport, location_id="loc1", version="v3"))
    finally:
        await transport.close()


def get(api):
    return api.get_contact("c1")


async def test_a_contact_with_everything():
    contact = await answered(get, {"contact": {
        "id": "c1", "firstName": "Zoë", "companyName": "Acme", "postalCode": 12345, "tags": ["a", None, "b"],
        "customFields": [{"id": "f1", "value": "7"}, {"id": "f2", "fieldValue": ["x"]},
                         {"id": "f3", "field_value": 0}, {"id": "f4"}, {"value": "no id"}],
        "dateAdded": "2026-01-02T03:04:05.000Z", "dateUpdated": 1767312000000,
        "additionalEmails": [{"email": "b@c.io"}], "unheardOf": {"x": 1},
    }, "traceId": "t"})  # fmt: skip
    assert (contact.first_name, contact.company_name, contact.postal_code) == ("Zoë", "Acme", "12345")
    assert contact.tags == ["a", "b"]
    assert contact.custom == {"f1": "7", "f2": ["x"], "f3": 0, "f4": None}
    assert (contact.date_added, contact.date_updated) == ("2026-01-02T03:04:05.000Z", 1767312000000)


async def test_a_contact_of_nulls():
    names = ("firstName", "email", "phone", "tags", "customFields", "additionalEmails", "dnd", "dateAdded")
    contact = await answered(get, {"contact": {"id": "c1", **dict.fromkeys(names)}})
    assert (contact.email, contact.tags, contact.custom, contact.additional_emails) == (None, [], {}, [])


@pytest.mark.parametrize("body", [{"id": "c1"}, {"contact": {"id": "c1"}}, {"contact": {"_id": "c1"}}])
async def test_the_envelope_may_be_absent(body):
    assert (await answered(get, body)).id == "c1"


EVENT = {"id": "e1", "title": "Call", "startTime": "2026-01-02 03:04:05", "endTime": None, "status": "booked"}


@pytest.mark.parametrize("envelope", ["event", "appointment", None])
@pytest.mark.parametrize("spelling", ["appointmentStatus", "appoinmentStatus"])
async def test_an_appointment_in_each_envelope_and_spelling(envelope, spelling):
    event = EVENT | {spelling: "confirmed"}
    create = CreateAppointment(calendarId="k", contactId="c", startTime="2026-01-02T03:04:05Z")
    for ask in (lambda api: api.get_appointment("e1"), lambda api: api.create_appointment(create)):
        found = await answered(ask, {envelope: event, "traceId": "t"} if envelope else event)
        assert (found.id, found.start_time, found.end_time) == ("e1", "2026-01-02 03:04:05", None)
        assert (found.appointment_status, found.status) == ("confirmed", "booked")


async def test_appointments_of_a_contact():
    events = await answered(
        lambda api: api.contact_appointments("c1"), {"events": [EVENT, EVENT | {"id": "e2"}]}
    )
    assert [one.id for one in events] == ["e1", "e2"]


@pytest.mark.parametrize(
    "body", [{}, None, {"contact": None}, {"contact": {}}, {"contact": {"id": None}}, {"contact": []}]
)
async def test_no_duplicate_in_every_shape(body):
    found = await answered(lambda api: api.find_duplicate(email="a@b.io"), body)
    assert found is None


async def test_a_duplicate():
    found = await answered(lambda api: api.find_duplicate(email="a@b.io"), {"contact": {"id": "c1"}})
    assert found.id == "c1"


async def test_a_search_page_and_its_way_on():
    body = {
        "contacts": [{"id": "c1", "searchAfter": [1, "c1"], "address": "1 High St"}],
        "total": 12,
        "traceId": "t",
    }
    page = await answered(lambda api: api.search_contacts(SearchContacts(pageLimit=1)), body)
    assert (page.total, page.contacts[0].search_after, page.contacts[0].address1) == (
        12,
        [1, "c1"],
        "1 High St",
    )


@pytest.mark.parametrize("new", [True, False, None])
async def test_an_upsert_says_whether_it_is_new(new):
    body = {"new": new, "contact": {"id": "c1"}}
    found = await answered(lambda api: api.upsert_contact(UpsertContact(email="a@b.io")), body)
    assert (found.new, found.contact.id) == (new, "c1")


@pytest.mark.parametrize(
    ("settings", "allows"),
    [
        ({"allowDuplicateContact": True}, True),
        ({"allowDuplicateContact": False}, False),
        ({}, None),
        (None, None),
    ],
)
async def test_a_locations_policy(settings, allows):
    location = await answered(lambda api: api.get_location(), {"location": {"id": "l", "settings": settings}})
    assert location.settings.allow_duplicate_contact is allows
    location = await answered(lambda api: api.get_location(), {"location": {"id": "l"}})
    assert location.settings.allow_duplicate_contact is None


@pytest.mark.parametrize(
    "body",
    [
        ["UTC", "Europe/London"],
        {"timeZones": ["UTC", "Europe/London"]},
        {"timezones": ["UTC", "Europe/London"]},
    ],
)
async def test_time_zones_in_each_shape(body):
    assert await answered(lambda api: api.list_timezones(), body) == ["UTC", "Europe/London"]


async def test_an_unexpected_type_costs_the_property_and_one_warning(caplog, monkeypatch):
    monkeypatch.setattr(parse, "_drifted", set())
    body = {
        "contact": {
            "id": "c1",
            "email": "a@b.io",
            "website": {"url": "x"},
            "tags": ["a", {"name": "b"}],
            "dateAdded": {},
        }
    }
    for _ in range(2):
        contact = await answered(get, body)
        assert (contact.email, contact.website, contact.tags, contact.date_added) == (
            "a@b.io",
            None,
            ["a"],
            None,
        )
    warned = [record.getMessage() for record in caplog.records]
    assert len(warned) == len(set(warned))
    assert sum("Contact.website" in line for line in warned) == 1
    assert not any("a@b.io" in line or "url" in line for line in warned)


async def test_a_list_item_without_an_id_is_left_out_and_its_neighbours_stay():
    body = {
        "notes": [
            {"id": "n1", "body": ["odd"]},
            {"body": "no id"},
            {"id": {}},
            "text",
            {"id": "n2", "body": "x"},
        ]
    }
    notes = await answered(lambda api: api.list_notes("c1"), body)
    assert [(one.id, one.body) for one in notes] == [("n1", None), ("n2", "x")]


@pytest.mark.parametrize("body", [{"notes": "text"}, {"notes": {"id": "n1"}}, [{"id": "n1"}], "text"])
async def test_a_list_that_is_none_is_no_answer(body):
    with pytest.raises(ApiError):
        await answered(lambda api: api.list_notes("c1"), body)
