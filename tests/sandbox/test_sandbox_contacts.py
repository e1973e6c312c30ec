"""Contacts at the modelled destination behave as HighLevel documents and integrators have measured."""

import pytest


def test_create_stores_e164_lower_case_tags_and_read_shape(box, crm, create):
    field = box.insert("custom_fields", name="VoIP id")
    contact = create(
        firstName="Zoë", lastName="Lee", email="Zoe@X.org", phone="07700 900123", tags=["VIP", "vip", "New "],
        customFields=[{"id": field["id"], "field_value": "7"}], companyName="Acme", gender="female",
    )  # fmt: skip
    assert len(contact["id"]) == 20
    assert contact["id"].isalnum()
    got = crm.get(f"/contacts/{contact['id']}").json()["contact"]
    assert got["phone"] == "+447700900123"
    assert got["email"] == "Zoe@X.org"
    assert got["emailLowerCase"] == "zoe@x.org"
    assert got["tags"] == ["vip", "new"]
    assert got["customFields"] == [{"id": field["id"], "value": "7"}]
    assert got["name"] == "Zoë Lee"
    assert got["companyName"] == "Acme"
    assert "notes" not in got
    assert [tag["name"] for tag in box.state("highlevel", "tags")] == ["vip", "new"]


def test_the_default_source_of_a_contact(create):
    assert create(email="a@x.org")["source"] == "public api"


@pytest.mark.parametrize("fields", [{"firstName": "No", "lastName": "Key"}, {"email": None, "phone": None}])
def test_a_contact_needs_an_email_or_a_phone(create, fields):
    assert create(400, **fields)["statusCode"] == 400


def test_unknown_properties_are_all_named_in_one_list(box, crm):
    body = {"locationId": box.location_id, "email": "a@x.org", "nickname": "A", "externalId": "7"}
    answer = crm.post("/contacts/", json=body)
    assert answer.status_code == 422
    assert answer.json() == {
        "statusCode": 422,
        "message": ["property nickname should not exist", "property externalId should not exist"],
        "error": "Unprocessable Entity",
    }


@pytest.mark.parametrize("name", ["locationId", "gender", "companyName", "additionalEmails", "id"])
def test_put_refuses_what_its_schema_lacks(crm, create, name):
    contact = create(email="a@x.org")
    answer = crm.put(f"/contacts/{contact['id']}", json={name: "x"})
    assert answer.status_code == 422
    assert answer.json()["message"] == [f"property {name} should not exist"]


@pytest.mark.parametrize("email", ["nobody", "a@b", "a b@x.org", "@x.org", "", "a@x..org"])
def test_an_invalid_email_is_refused(create, email):
    assert create(422, email=email, phone="+447700900123")["message"] == ["email must be an email"]


@pytest.mark.parametrize("phone", ["abc", "12", "n/a"])
def test_an_invalid_phone_is_refused(create, phone):
    assert create(422, phone=phone)["message"] == ["phone must be a valid phone number"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"tags": "vip"}, "tags must be an array of strings"),
        ({"dnd": "yes"}, "dnd must be a boolean value"),
        ({"postalCode": None}, "postalCode must be a string"),
        ({"firstName": 7}, "firstName must be a string"),
        ({"assignedTo": "nobody"}, "assignedTo must be a valid user id"),
        ({"dndSettings": {"Fax": {}}}, "dndSettings.property Fax should not exist"),
    ],
)
def test_wrong_types_are_refused(crm, create, body, message):
    contact = create(email="a@x.org")
    answer = crm.put(f"/contacts/{contact['id']}", json=body)
    assert (answer.status_code, answer.json()["message"]) == (422, [message])


def test_null_clears_and_absent_keeps(crm, create):
    contact = create(email="a@x.org", firstName="Ann", lastName="Lee", city="Leeds")
    answer = crm.put(f"/contacts/{contact['id']}", json={"lastName": None, "city": ""})
    assert answer.json()["succeeded"] is True
    got = crm.get(f"/contacts/{contact['id']}").json()["contact"]
    assert got["firstName"] == "Ann"
    assert "lastName" not in got
    assert "city" not in got


@pytest.mark.parametrize(
    ("fields", "matching"),
    [
        ({"email": "A@X.ORG"}, "email"),
        ({"phone": "+44 7700 900123"}, "phone"),
        ({"email": "a@x.org", "phone": "+447700900123"}, "email"),
    ],
)
def test_a_duplicate_is_refused_with_the_holder_named(create, fields, matching):
    first = create(firstName="Ann", email="a@x.org", phone="+447700900123")
    refusal = create(400, **fields)
    assert refusal["message"] == "This location does not allow duplicated contacts."
    assert refusal["meta"] == {"contactId": first["id"], "matchingField": matching, "contactName": "Ann"}


def test_put_refuses_a_duplicate_and_writes_nothing(crm, create):
    first = create(email="a@x.org", phone="+447700900123")
    second = create(email="b@x.org", firstName="Bea")
    answer = crm.put(f"/contacts/{second['id']}", json={"phone": "+447700900123", "firstName": "Beatrice"})
    assert answer.status_code == 400
    assert answer.json()["meta"]["contactId"] == first["id"]
    assert crm.get(f"/contacts/{second['id']}").json()["contact"]["firstName"] == "Bea"
    own = crm.put(f"/contacts/{second['id']}", json={"email": "B@x.org"})
    assert own.status_code == 200


def test_where_duplicates_are_allowed_they_are_created(box, create):
    box.options(location={"allow_duplicates": True})
    first, second = create(email="a@x.org"), create(email="a@x.org")
    assert first["id"] != second["id"]
    assert len(box.contacts()) == 2


def test_put_overwrites_tags_and_merges_custom_fields_by_id(box, crm, create):
    one, two = box.insert("custom_fields", name="One"), box.insert("custom_fields", name="Two")
    fields = [{"id": one["id"], "field_value": "1"}, {"id": two["id"], "field_value": "2"}]
    contact = create(email="a@x.org", tags=["old"], customFields=fields)
    change = {"tags": ["New"], "customFields": [{"key": "two", "fieldValue": "zwei"}]}
    got = crm.put(f"/contacts/{contact['id']}", json=change).json()["contact"]
    assert got["tags"] == ["new"]
    assert got["customFields"] == [{"id": one["id"], "value": "1"}, {"id": two["id"], "value": "zwei"}]
    cleared = crm.put(
        f"/contacts/{contact['id']}", json={"customFields": [{"id": one["id"], "field_value": ""}]}
    )
    assert cleared.json()["contact"]["customFields"] == [{"id": two["id"], "value": "zwei"}]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"id": "FIELD", "value": "7"}, "customFields.0.property value should not exist"),
        ({"field_value": "7"}, "customFields.0.id or key should not be empty"),
        ({"id": "nothing", "field_value": "7"}, "customFields.0.custom field does not exist"),
        ({"key": "contact.nothing", "field_value": "7"}, "customFields.0.custom field does not exist"),
        ({"id": "FIELD"}, "customFields.0.field_value should not be empty"),
        ({"id": "FIELD", "field_value": {"a": 1}}, "customFields.0.field_value has a wrong type"),
        ("x", "customFields.0.must be an object"),
    ],
)
def test_custom_field_items_are_checked(box, create, item, message):
    field = box.insert("custom_fields", name="VoIP id")
    if isinstance(item, dict) and item.get("id") == "FIELD":
        item = {**item, "id": field["id"]}
    assert message in create(422, email="a@x.org", customFields=[item])["message"]


@pytest.mark.parametrize(
    ("data_type", "written", "read"),
    [
        ("TEXT", "Ünï 🎉", "Ünï 🎉"),
        ("NUMERICAL", "12", 12),
        ("MONETORY", "1,234.5", 1234.5),
        ("DATE", "2026-05-04T10:00:00Z", "2026-05-04"),
        ("SINGLE_OPTIONS", "Red", "Red"),
        ("SINGLE_OPTIONS", "red", None),
        ("CHECKBOX", ["Red", "Pink"], ["Red"]),
    ],
)
def test_custom_field_values_are_stored_as_their_type_wants(box, create, data_type, written, read):
    field = box.insert("custom_fields", name="F", dataType=data_type, options=["Red", "Green"])
    contact = create(email="a@x.org", customFields=[{"id": field["id"], "field_value": written}])
    assert contact["customFields"] == ([] if read is None else [{"id": field["id"], "value": read}])


def test_upsert_updates_the_match_of_the_first_field_and_drops_the_other_identifier(box, crm, create):
    ann = create(email="a@x.org", tags=["x"], firstName="Ann")
    bob = create(phone="+447700900123")
    body = {"locationId": box.location_id, "email": "a@x.org", "phone": "+447700900123", "tags": ["Y"]}
    answer = crm.post("/contacts/upsert", json=body).json()
    assert answer["new"] is False
    assert answer["traceId"]
    assert answer["contact"]["id"] == ann["id"]
    assert "phone" not in answer["contact"]
    assert answer["contact"]["tags"] == ["y"]
    assert answer["contact"]["firstName"] == "Ann"
    assert crm.get(f"/contacts/{bob['id']}").json()["contact"]["phone"] == "+447700900123"


def test_upsert_creates_and_the_priority_of_the_location_counts(box, crm, create):
    ann, bob = create(email="a@x.org"), create(phone="+447700900123")
    box.options(location={"priority": ["phone", "email"]})
    body = {"locationId": box.location_id, "email": "a@x.org", "phone": "+447700900123"}
    assert crm.post("/contacts/upsert", json=body).json()["contact"]["id"] == bob["id"]
    new = crm.post("/contacts/upsert", json={"locationId": box.location_id, "email": "c@x.org"}).json()
    assert new["new"] is True
    assert new["contact"]["id"] not in (ann["id"], bob["id"])


def test_upsert_may_create_duplicates_only_where_the_location_allows_them(box, crm, create):
    create(email="a@x.org")
    body = {"locationId": box.location_id, "email": "a@x.org", "createNewIfDuplicateAllowed": True}
    assert crm.post("/contacts/upsert", json=body).json()["new"] is False
    box.options(location={"allow_duplicates": True})
    assert crm.post("/contacts/upsert", json=body).json()["new"] is True
    del body["createNewIfDuplicateAllowed"]
    assert crm.post("/contacts/upsert", json=body).json()["new"] is False


def test_an_unknown_or_deleted_contact_is_a_400_everywhere(crm, create):
    contact = create(email="a@x.org")
    path = f"/contacts/{contact['id']}"
    assert crm.delete(path).json() == {"succeded": True, "succeeded": True}
    for method, tail, body in (
        ("GET", "", None),
        ("PUT", "", {"firstName": "A"}),
        ("DELETE", "", None),
        ("GET", "/notes", None),
        ("POST", "/notes", {"body": "x"}),
        ("POST", "/tags", {"tags": ["x"]}),
        ("GET", "/appointments", None),
    ):
        answer = crm.request(method, path + tail, json=body)
        assert answer.status_code == 400
        assert answer.json()["message"] == f"Contact not found for id:{contact['id']}"


def test_a_deleted_contacts_identifiers_are_free_again(create, crm):
    contact = create(email="a@x.org", phone="+447700900123")
    crm.delete(f"/contacts/{contact['id']}")
    assert create(email="a@x.org", phone="+447700900123")["id"] != contact["id"]


def test_date_updated_advances_and_date_added_stays(crm, create):
    contact = create(email="a@x.org")
    stamps = [contact["dateUpdated"]]
    for name in ("A", "B", "C"):
        got = crm.put(f"/contacts/{contact['id']}", json={"firstName": name}).json()["contact"]
        stamps.append(got["dateUpdated"])
        assert got["dateAdded"] == contact["dateAdded"]
    assert stamps == sorted(set(stamps))


def test_the_older_version_spells_differently(box, crm):
    crm.headers["Version"] = "2021-07-28"
    body = {"locationId": box.location_id, "name": "Ann Lee", "email": "a@x.org", "timezone": "Europe/Paris"}
    created = crm.post("/contacts/", json=body).json()["contact"]
    assert created["deleted"] is False
    assert "name" not in created
    assert (created["firstName"], created["lastName"]) == ("Ann", "Lee")
    put = crm.put(f"/contacts/{created['id']}", json={"dndSettings": {"Call": {"status": "active"}}})
    assert put.json()["succeded"] is True
    assert crm.delete(f"/contacts/{created['id']}").json() == {"succeded": True}


def test_the_deprecated_list_is_paged_by_date_and_id(box, crm, create):
    ids = [create(email=f"p{number}@x.org")["id"] for number in range(5)]
    seen, query = [], {"locationId": box.location_id, "limit": 2}
    while True:
        answer = crm.get("/contacts/", params=query).json()
        assert answer["count"] == 5
        seen += [row["id"] for row in answer["contacts"]]
        if answer["meta"]["nextPageUrl"] is None:
            break
        query |= {name: answer["meta"][name] for name in ("startAfter", "startAfterId")}
    assert sorted(seen) == sorted(ids)
    assert crm.get("/contacts/", params={"locationId": box.location_id, "limit": 101}).status_code == 422
    assert crm.get("/contacts/").status_code == 422


def test_contacts_of_a_business(box, crm, create):
    one = create(email="a@x.org")
    create(email="b@x.org")
    box.edit("contacts", one["id"], businessId="64a1b2c3d4e5f60718293a4b")
    answer = crm.get(
        "/contacts/business/64a1b2c3d4e5f60718293a4b", params={"locationId": box.location_id}
    ).json()
    assert [row["id"] for row in answer["contacts"]] == [one["id"]]


def test_zero_bytes_and_lone_surrogates_cannot_be_stored(crm, create):
    contact = create(email="a@x.org")
    for text in (b'{"firstName": "a\\u0000b"}', b'{"firstName": "\\ud83d"}'):
        headers = {"Content-Type": "application/json"}
        assert crm.put(f"/contacts/{contact['id']}", content=text, headers=headers).status_code == 400
    whole = crm.put(f"/contacts/{contact['id']}", json={"firstName": "🎉"})
    assert whole.json()["contact"]["firstName"] == "🎉"
