"""Which side has the last word on a contact's field, and what a mapping may name of its location."""

from __future__ import annotations

from functools import partial

import pytest

from tasks.errors import ConfigurationError
from tests.support import accounts

sync = partial(accounts.sync, source=accounts.CONTACTS_ALONE)


def person(box, **values):
    given = {"first_name": "Ann", "last_name": "Archer", "email": "ann@example.com", "company": "Acme"}
    return box.insert_source("contacts", **{**given, **values})["id"]


def only(box):
    [contact] = box.contacts()
    return contact


def custom(box, name):
    [field] = [one for one in box.state("highlevel", "custom_fields") if one["name"] == name]
    return {one["id"]: one["value"] for one in only(box)["customFields"]}.get(field["id"])


def rules(**fields):
    return {"default_country": "GB", "fields": fields}


SIDES = [
    # policy, source changed, person changed, then
    ({"policy": "source"}, True, False, "Source"),
    ({"policy": "source"}, True, True, "Source"),
    ({"policy": "fill"}, True, False, "Archer"),
    ({"policy": "fill"}, True, True, "Person"),
    ({"policy": "merge"}, True, False, "Source"),
    ({"policy": "merge"}, True, True, "Person"),
    ({"policy": "merge", "winner": "source"}, True, True, "Source"),
    ({"policy": "merge", "winner": "source"}, False, True, "Person"),
    ({"policy": "merge"}, False, True, "Person"),
]


@pytest.mark.parametrize(("rule", "source_edits", "person_edits", "then"), SIDES)
async def test_who_has_the_last_word(box, url, rule, source_edits, person_edits, then):
    mapping = rules(lastName=rule)
    number = person(box)
    await sync(box, url, mapping=mapping)
    if person_edits:
        box.edit("contacts", only(box)["id"], lastName="Person")
    box.edit_source(
        "contacts", number, first_name="Anne", **({"last_name": "Source"} if source_edits else {})
    )
    report = await sync(box, url, mapping=mapping)
    assert only(box)["lastName"] == then
    conflicts = [line for line in report.warnings if "lastName left as a person wrote it" in line]
    assert bool(conflicts) == (source_edits and person_edits and rule["policy"] == "merge")
    box.reset_counters()
    await sync(box, url, mapping=mapping)
    assert box.writes() == {}


async def test_a_field_kept_equal_is_put_back_by_a_full_run(box, url):
    mapping = rules(lastName={"policy": "source"})
    person(box)
    await sync(box, url, mapping=mapping)
    box.edit("contacts", only(box)["id"], lastName="Person")
    await sync(box, url, mapping=mapping)
    assert only(box)["lastName"] == "Person"
    await sync(box, url, mapping=mapping, mode="full")
    assert only(box)["lastName"] == "Archer"


async def test_a_field_that_is_off_is_never_written(box, url):
    number = person(box)
    mapping = rules(companyName={"policy": "off"}, phone={"policy": "off"})
    box.edit_source("contacts", number, tel="020 7946 0958")
    await sync(box, url, mapping=mapping)
    contact = only(box)
    assert (contact.get("companyName"), contact.get("phone")) == (None, None)
    assert custom(box, "VoIPstudio other phones") == "+442079460958"


@pytest.mark.parametrize("clear", [False, True])
async def test_an_empty_value_clears_only_where_that_is_wanted(box, url, clear):
    mapping = rules(lastName={"clear": clear})
    number = person(box)
    await sync(box, url, mapping=mapping)
    box.edit_source("contacts", number, first_name="Anne", last_name=None)
    await sync(box, url, mapping=mapping)
    assert only(box).get("lastName") == (None if clear else "Archer")
    box.reset_counters()
    await sync(box, url, mapping=mapping)
    assert box.writes() == {}


async def test_what_a_person_changed_is_not_cleared(box, url):
    mapping = rules(lastName={"clear": True})
    number = person(box)
    await sync(box, url, mapping=mapping)
    box.edit("contacts", only(box)["id"], lastName="Person")
    box.edit_source("contacts", number, last_name=None)
    await sync(box, url, mapping=mapping)
    assert only(box)["lastName"] == "Person"


@pytest.mark.parametrize("version", ["v3", "2021-07-28"])
async def test_templates_and_custom_fields_of_every_kind(box, url, version):
    for name, kind in [("Membership", "TEXT"), ("Score", "NUMERICAL"), ("Born", "DATE")]:
        box.insert("custom_fields", name=name, dataType=kind)
    mapping = {
        "default_country": "GB",
        "fields": {
            "website": {"template": "https://phones.example/{id}", "policy": "fill"},
            "companyName": {"template": "{company} ({group_name})"},
        },
        "custom_fields": {
            "contact.membership": {"source": "group_name"},
            "Score": {"source": "tel_2"},
            "born": {"source": "created_at"},
        },
    }
    number = person(box, group_name="Gold", tel_2="17", created_at="2026-01-02 03:04:05")
    destination = {"api_version": version}
    await sync(box, url, mapping=mapping, destination=destination)
    assert only(box)["website"] == f"https://phones.example/{number}"
    assert only(box)["companyName"] == "Acme (Gold)"
    assert (custom(box, "Membership"), custom(box, "Score"), custom(box, "Born")) == (
        "Gold",
        17,
        "2026-01-02",
    )
    box.edit_source("contacts", number, group_name="Silver", first_name="Anne")
    report = await sync(box, url, mapping=mapping, destination=destination)
    assert (custom(box, "Membership"), custom(box, "Score"), custom(box, "Born")) == (
        "Silver",
        17,
        "2026-01-02",
    )
    assert only(box)["companyName"] == "Acme (Gold)"
    assert any("company, which the API only sets on creation" in line for line in report.warnings)
    box.reset_counters()
    await sync(box, url, mapping=mapping, destination=destination)
    assert box.writes() == {}


def users(box):
    return {row["email"]: row["id"] for row in box.state("highlevel", "users")}


async def test_a_contact_is_assigned_by_table(box, url):
    (email, user), *_ = users(box).items()
    mapping = {"default_country": "GB", "users": {"10002": email.upper(), "10003": user}}
    person(box, user_id=10002)
    await sync(box, url, mapping=mapping)
    assert only(box)["assignedTo"] == user


async def test_a_contact_is_assigned_by_email_and_an_unknown_user_is_told(box, url):
    known = {row["email"].casefold(): row["id"] for row in box.state("voipstudio", "users")}
    matched = {email: user for email, user in users(box).items() if email.casefold() in known}
    if not matched:
        (email, _), *_ = users(box).items()
        pytest.fail(f"the sandbox's services share no user such as {email}")
    (email, user), *_ = matched.items()
    person(box, user_id=known[email.casefold()])
    person(box, user_id=99999, email="bob@example.com")
    report = await sync(box, url, mapping={"default_country": "GB", "users_by_email": True})
    assigned = {contact["email"]: contact.get("assignedTo") for contact in box.contacts()}
    assert assigned == {"ann@example.com": user, "bob@example.com": None}
    assert any("unknown_user" in line for line in report.warnings)


MISSING = [
    (
        {"custom_fields": {"membersip": {"source": "group_name"}}},
        "mapping.custom_fields.membersip",
        "membership",
    ),
    ({"users": {"12": "nobody@example.com"}}, "mapping.users.12", "@"),
    ({"routes": [{"tag": "vip", "workflow": "Onbording"}]}, "mapping.routes.0.workflow", "Onboarding"),
]


@pytest.mark.parametrize(("mapping", "path", "near"), MISSING)
async def test_a_mapping_that_names_what_is_not_there_writes_nothing(box, url, mapping, path, near):
    box.insert("custom_fields", name="Membership", dataType="TEXT")
    box.insert("workflows", name="Onboarding", status="published")
    person(box)
    with pytest.raises(ConfigurationError) as caught:
        await sync(box, url, mapping=mapping)
    assert caught.value.exit_code == 2
    assert f"accounts.acme.{path}: the location has no" in str(caught.value)
    assert near in str(caught.value)
    assert box.writes() == {}


async def test_a_calendar_that_is_not_there_writes_nothing(box, url):
    person(box)
    with pytest.raises(
        ConfigurationError, match=r"accounts\.acme\.destination\.calendar_id: .*" + box.calendar_id
    ):
        await accounts.sync(box, url, destination={"calendar_id": "nosuchcalendar000000"})
    assert box.writes() == {}


async def test_a_mapping_is_checked_again_only_where_it_changed(box, url):
    box.insert("custom_fields", name="Membership", dataType="TEXT")
    number = person(box, group_name="Gold")
    await sync(box, url)
    mapping = {"default_country": "GB", "custom_fields": {"membership": {"source": "group_name"}}}
    await sync(box, url, mapping=mapping)
    assert custom(box, "Membership") == "Gold"
    box.edit_source("contacts", number, group_name="Silver")
    box.reset_counters()
    await sync(box, url, mapping=mapping)
    assert box.counters()["highlevel"]["requests"] == 4  # the contact, its fields; a tag less and one more


async def test_users_outside_the_calendars_team_are_told(box, url):
    outside = users(box)["outside@voipsync.example.com"]
    person(box)
    report = await accounts.sync(box, url, mapping={"default_country": "GB", "users": {"10002": outside}})
    assert [line for line in report.warnings if "not in the calendar's team" in line]
    report = await accounts.sync(box, url)
    assert not [line for line in report.warnings if "not in the calendar's team" in line]
