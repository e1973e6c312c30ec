"""Every operation of the catalogue, over real HTTP, in both versions of the API."""

import re
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from sandbox.serve import Sandbox
from tasks.errors import DuplicateContact, NotFound, OutcomeUnknown, RejectedRecord, Unauthorized
from tasks.highlevel.access import BearerToken
from tasks.highlevel.client import ContactsApi
from tasks.highlevel.operations import OPERATIONS
from tasks.highlevel.requests import (
    CreateAppointment,
    CreateContact,
    CreateCrmTask,
    CreateCustomField,
    CreateNote,
    SearchContacts,
    UpdateAppointment,
    UpdateContact,
    UpdateCrmTask,
    UpdateNote,
    UpsertContact,
)
from tasks.transport import Transport

NUMBERS = count(1)
VERSIONS = ("v3", "2021-07-28")
DUE = "2026-01-02T03:04:05Z"
START = datetime(2027, 3, 1, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def box():
    with Sandbox.threaded(contacts=0, burst=100_000, record=True) as box:
        yield box


@pytest.fixture(params=VERSIONS)
async def api(box, request):
    transport = Transport("HighLevel", box.highlevel_url, BearerToken(box.token))
    yield ContactsApi(transport, location_id=box.location_id, version=request.param)
    await transport.close()


def fresh(**more):
    number = next(NUMBERS)
    return CreateContact(
        firstName="Zoë", email=f"zoe.{number}@example.com", phone=f"+44770090{number:04d}", **more
    )


def booking(box, contact_id, **more):
    start = START + timedelta(hours=next(NUMBERS))
    return CreateAppointment(
        calendarId=box.calendar_id, contactId=contact_id, title="Call", startTime=start.isoformat(),
        endTime=(start + timedelta(minutes=30)).isoformat(), ignoreFreeSlotValidation=True, **more,
    )  # fmt: skip


async def get_contact(api, box):
    written = fresh(tags=["New Lead"], companyName="Acme")
    contact_id = (await api.create_contact(written)).id
    contact = await api.get_contact(contact_id)
    assert (contact.id, contact.first_name, contact.email) == (contact_id, "Zoë", written.email)
    assert (contact.phone, contact.company_name, contact.tags) == (written.phone, "Acme", ["new lead"])


async def create_contact(api, box):
    field = await api.create_custom_field(CreateCustomField(name=f"F {next(NUMBERS)}", dataType="TEXT"))
    contact = await api.create_contact(fresh(customFields={field.id: "7"}))
    assert (await api.get_contact(contact.id)).custom == {field.id: "7"}
    assert box.contact(contact.id)["locationId"] == box.location_id


async def update_contact(api, box):
    before = await api.create_contact(fresh(tags=["a", "b"]))
    after = await api.update_contact(before.id, UpdateContact(lastName="Ash", tags=["c"]))
    assert (after.id, after.last_name, after.tags, after.email) == (before.id, "Ash", ["c"], before.email)


async def delete_contact(api, box):
    contact = await api.create_contact(fresh())
    await api.delete_contact(contact.id)
    with pytest.raises(NotFound) as raised:
        await api.get_contact(contact.id)
    assert raised.value.status == 400


async def upsert_contact(api, box):
    content = fresh().payload()
    first = await api.upsert_contact(UpsertContact(**content))
    again = await api.upsert_contact(UpsertContact(**content, lastName="Ash"))
    assert (first.new, again.new, again.contact.id, again.contact.last_name) == (
        True,
        False,
        first.contact.id,
        "Ash",
    )


async def list_contacts(api, box):
    contact = await api.create_contact(fresh())
    found = await api.list_contacts(limit=20, query=contact.email)
    assert [one.id for one in found.contacts] == [contact.id]


async def contacts_of_business(api, box):
    contact = await api.create_contact(fresh())
    business = f"{next(NUMBERS):024x}"
    box.edit("contacts", contact.id, businessId=business)
    assert [one.id for one in (await api.contacts_of_business(business, limit=10)).contacts] == [contact.id]


async def search_contacts(api, box):
    source = f"s{next(NUMBERS)}"
    ids = [(await api.create_contact(fresh(source=source))).id for _ in range(3)]
    filters = [{"field": "source", "operator": "eq", "value": source}]
    sort = [{"field": "dateAdded", "direction": "asc"}]
    first = await api.search_contacts(SearchContacts(pageLimit=2, filters=filters, sort=sort))
    after = first.contacts[-1].search_after
    rest = await api.search_contacts(
        SearchContacts(pageLimit=2, filters=filters, sort=sort, searchAfter=after)
    )
    paged = await api.search_contacts(SearchContacts(pageLimit=2, filters=filters, sort=sort, page=2))
    assert first.total == 3
    assert sorted(one.id for one in [*first.contacts, *rest.contacts]) == sorted(ids)
    assert [one.id for one in paged.contacts] == [one.id for one in rest.contacts]


async def find_duplicate(api, box):
    contact = await api.create_contact(fresh())
    by_email, by_phone = (
        await api.find_duplicate(email=contact.email),
        await api.find_duplicate(number=contact.phone),
    )
    assert (by_email.id, by_phone.id) == (contact.id, contact.id)
    assert await api.find_duplicate(email="nobody@example.com") is None


async def add_tags(api, box):
    contact = await api.create_contact(fresh(tags=["a"]))
    assert sorted(await api.add_tags(contact.id, ["B", "a"])) == ["a", "b"]


async def remove_tags(api, box):
    contact = await api.create_contact(fresh(tags=["a", "b"]))
    assert await api.remove_tags(contact.id, ["a"]) == ["b"]
    assert (await api.get_contact(contact.id)).tags == ["b"]


async def noted(api):
    contact = await api.create_contact(fresh())
    return contact.id, await api.create_note(contact.id, CreateNote(body="Hello ✓"))


async def create_note(api, box):
    contact_id, note = await noted(api)
    assert (note.body, [one["id"] for one in box.notes(contact_id)]) == ("Hello ✓", [note.id])


async def list_notes(api, box):
    contact_id, note = await noted(api)
    assert [(one.id, one.body) for one in await api.list_notes(contact_id)] == [(note.id, "Hello ✓")]


async def get_note(api, box):
    contact_id, note = await noted(api)
    assert (await api.get_note(contact_id, note.id)).body == "Hello ✓"
    with pytest.raises(NotFound):
        await api.get_note(contact_id, "nothing")


async def update_note(api, box):
    contact_id, note = await noted(api)
    assert (await api.update_note(contact_id, note.id, UpdateNote(body="Bye"))).id == note.id
    assert box.notes(contact_id)[0]["body"] == "Bye"


async def delete_note(api, box):
    contact_id, note = await noted(api)
    await api.delete_note(contact_id, note.id)
    assert await api.list_notes(contact_id) == []


async def tasked(api):
    contact = await api.create_contact(fresh())
    return contact.id, await api.create_crm_task(
        contact.id, CreateCrmTask(title="Call", dueDate=DUE, completed=False)
    )


async def create_crm_task(api, box):
    contact_id, crm_task = await tasked(api)
    assert (crm_task.title, crm_task.completed) == ("Call", False)
    assert [one["id"] for one in box.tasks(contact_id)] == [crm_task.id]


async def list_crm_tasks(api, box):
    contact_id, crm_task = await tasked(api)
    assert [one.id for one in await api.list_crm_tasks(contact_id)] == [crm_task.id]


async def get_crm_task(api, box):
    contact_id, crm_task = await tasked(api)
    found = await api.get_crm_task(contact_id, crm_task.id)
    assert datetime.fromisoformat(found.due_date) == datetime.fromisoformat(DUE)


async def update_crm_task(api, box):
    contact_id, crm_task = await tasked(api)
    found = await api.update_crm_task(contact_id, crm_task.id, UpdateCrmTask(body="More"))
    assert (found.title, found.body, found.completed) == ("Call", "More", False)


async def complete_task(api, box):
    contact_id, crm_task = await tasked(api)
    assert (await api.complete_task(contact_id, crm_task.id)).completed is True
    assert (await api.complete_task(contact_id, crm_task.id, completed=False)).completed is False


async def delete_crm_task(api, box):
    contact_id, crm_task = await tasked(api)
    await api.delete_crm_task(contact_id, crm_task.id)
    assert await api.list_crm_tasks(contact_id) == []


async def booked(api, box, **more):
    contact = await api.create_contact(fresh())
    return contact.id, await api.create_appointment(booking(box, contact.id, **more))


async def create_appointment(api, box):
    contact_id, made = await booked(api, box, appointmentStatus="new")
    (row,) = box.appointments(contact_id)
    assert (made.id, made.title, row["id"], row["appointmentStatus"]) == (row["id"], "Call", made.id, "new")


async def get_appointment(api, box):
    contact_id, made = await booked(api, box)
    found = await api.get_appointment(made.id)
    assert (found.id, found.contact_id, found.appointment_status) == (made.id, contact_id, "confirmed")
    with pytest.raises(NotFound):
        await api.get_appointment("nothing")


async def update_appointment(api, box):
    contact_id, made = await booked(api, box, appointmentStatus="showed")
    change = UpdateAppointment(title="Moved", appointmentStatus="showed")
    assert (await api.update_appointment(made.id, change)).id == made.id
    (row,) = box.appointments(contact_id)
    assert (row["title"], row["appointmentStatus"]) == ("Moved", "showed")


async def delete_appointment(api, box):
    contact_id, made = await booked(api, box)
    await api.delete_appointment(made.id)
    assert box.appointments(contact_id) == []


async def contact_appointments(api, box):
    contact_id, made = await booked(api, box)
    (found,) = await api.contact_appointments(contact_id)
    assert (found.id, isinstance(found.start_time, str)) == (made.id, True)


async def calendar_events(api, box):
    _, made = await booked(api, box)
    start = datetime.fromisoformat((await api.get_appointment(made.id)).start_time)
    events = await api.calendar_events(
        box.calendar_id, start - timedelta(minutes=1), start + timedelta(minutes=1)
    )
    assert [one.id for one in events] == [made.id]


async def list_calendars(api, box):
    assert box.calendar_id in [one.id for one in await api.list_calendars()]


async def get_calendar(api, box):
    found = await api.get_calendar(box.calendar_id)
    assert (found.id, found.slot_duration, len(found.team_members)) == (box.calendar_id, 30, 3)


async def get_location(api, box):
    found = await api.get_location()
    assert (found.id, found.timezone, found.country) == (box.location_id, "Europe/London", "GB")
    assert found.settings.allow_duplicate_contact is False


async def list_custom_fields(api, box):
    made = await api.create_custom_field(CreateCustomField(name=f"F {next(NUMBERS)}", dataType="TEXT"))
    assert made.id in [one.id for one in await api.list_custom_fields()]


async def create_custom_field(api, box):
    number = next(NUMBERS)
    made = await api.create_custom_field(
        CreateCustomField(name=f"Our ID {number}", dataType="TEXT", model="contact")
    )
    assert (made.name, made.field_key, made.data_type) == (
        f"Our ID {number}",
        f"contact.our_id_{number}",
        "TEXT",
    )


async def list_tags(api, box):
    made = await api.create_tag(f"tag {next(NUMBERS)}")
    assert (made.id, made.name) in [(one.id, one.name) for one in await api.list_tags()]


async def create_tag(api, box):
    name = f"tag {next(NUMBERS)}"
    assert (await api.create_tag(name)).name == name


async def list_timezones(api, box):
    assert "Europe/London" in await api.list_timezones()


async def list_workflows(api, box):
    assert {one.id: one.status for one in await api.list_workflows()}[box.workflow_id] == "published"


async def enrol_in_workflow(api, box):
    contact = await api.create_contact(fresh())
    await api.enrol_in_workflow(contact.id, box.workflow_id, event_start_time="2026-01-02T03:04:05+00:00")
    with pytest.raises(RejectedRecord):
        await api.enrol_in_workflow(contact.id, "nothing")


async def search_users(api, box):
    found = await api.search_users(box.company_id, query="Sam", limit=5)
    assert [one.name for one in found.users] == ["Sam Seller"]


@pytest.mark.parametrize("name", OPERATIONS)
async def test_every_operation_against_the_service(name, api, box):
    operation = OPERATIONS[name]
    box.reset_counters()
    await globals()[name.replace("-", "_")](api, box)
    route = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(operation.path.rstrip("/")))
    routes = [(row["method"], row["path"].rstrip("/")) for row in box.requests("highlevel")]
    assert any(method == operation.method and re.fullmatch(route, path) for method, path in routes)
    sent = {
        row["headers"]["version"] for row in box.requests("highlevel") if row["path"].startswith("/calendars")
    }
    assert sent <= {"v3" if api.version == "v3" else "2021-04-15"}


async def test_a_duplicate_is_refused_at_creation_and_update(api):
    first, second = await api.create_contact(fresh()), await api.create_contact(fresh())
    with pytest.raises(DuplicateContact) as raised:
        await api.create_contact(CreateContact(email=first.email))
    assert (raised.value.contact_id, raised.value.reason) == (first.id, "duplicate_email")
    with pytest.raises(DuplicateContact) as raised:
        await api.update_contact(second.id, UpdateContact(phone=first.phone))
    assert (raised.value.contact_id, raised.value.reason) == (first.id, "duplicate_phone")


async def test_a_note_for_a_deleted_contact(api):
    contact = await api.create_contact(fresh())
    await api.delete_contact(contact.id)
    with pytest.raises(NotFound):
        await api.create_note(contact.id, CreateNote(body="late"))


async def test_a_bad_address_is_refused_without_repeating_it(api):
    with pytest.raises(RejectedRecord) as raised:
        await api.create_contact(CreateContact(email="nobody@@example"))
    assert raised.value.reason == "http_422"
    assert "nobody" not in str(raised.value)


async def test_a_taken_slot_and_a_stranger_to_the_team(api, box):
    contact = await api.create_contact(fresh())
    monday = START + timedelta(weeks=next(NUMBERS))
    slot = {"calendarId": box.calendar_id, "contactId": contact.id, "startTime": monday.isoformat()}
    await api.create_appointment(CreateAppointment(**slot))
    with pytest.raises(RejectedRecord) as raised:
        await api.create_appointment(CreateAppointment(**slot))
    assert raised.value.reason == "slot_taken"
    with pytest.raises(RejectedRecord) as raised:
        await api.create_appointment(booking(box, contact.id, assignedUserId=box.user_ids[3]))
    assert raised.value.reason == "not_in_team"


@pytest.mark.parametrize("version", VERSIONS)
async def test_refused_credentials(box, version):
    cases = [
        ("pit-unknown", box.location_id, "expired or was rotated"),
        (box.new_token(scopes=["contacts.readonly"]), box.location_id, "lacks the scope contacts.write"),
        (box.oauth["agency_pit"], box.location_id, "an agency's token"),
        (box.oauth["company"]["access_token"], box.location_id, "a company's token"),
        (box.token, "another", "check destination.location_id"),
    ]
    for token, location_id, remedy in cases:
        transport = Transport("HighLevel", box.highlevel_url, BearerToken(token))
        api = ContactsApi(transport, location_id=location_id, version=version)
        with pytest.raises(Unauthorized) as raised:
            await api.create_contact(fresh())
        await transport.close()
        assert remedy in str(raised.value)
        assert token not in str(raised.value)


async def test_a_lost_answer_to_a_creation_is_of_unknown_outcome(api, box):
    contact = await api.create_contact(fresh())
    box.fault("commit_then_status", method="POST", path="/notes$", status=502, count=1)
    with pytest.raises(OutcomeUnknown):
        await api.create_note(contact.id, CreateNote(body="once"))
    assert [one["body"] for one in box.notes(contact.id)] == ["once"]
