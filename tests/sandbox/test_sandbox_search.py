"""Search at the modelled destination: lag, filters, sorting, both paging modes, the duplicate look-up."""

import pytest


@pytest.fixture
def find(box, crm):
    def search(expect=200, **body):
        answer = crm.post("/contacts/search", json={"locationId": box.location_id, "pageLimit": 100, **body})
        assert answer.status_code == expect, answer.text
        return answer.json()

    return search


def names(answer):
    return sorted(row["firstName"] for row in answer["contacts"])


def test_search_lags_while_get_does_not(box, crm, create, find):
    box.options(highlevel={"lag": 10})
    contact = create(email="a@x.org", firstName="Ann")
    assert crm.get(f"/contacts/{contact['id']}").status_code == 200
    assert find()["total"] == 0
    box.advance(10.1)
    assert names(find()) == ["Ann"]
    crm.put(f"/contacts/{contact['id']}", json={"firstName": "Anna"})
    (stale,) = find()["contacts"]
    assert (stale["firstName"], stale["dateUpdated"]) == ("Ann", contact["dateUpdated"])
    box.advance(10.1)
    assert names(find()) == ["Anna"]
    crm.delete(f"/contacts/{contact['id']}")
    assert find()["total"] == 1
    box.advance(10.1)
    assert find()["total"] == 0


@pytest.fixture
def people(box, create):
    field = box.insert("custom_fields", name="VoIP id")
    create(firstName="Ann", email="Ann@x.org", phone="+447700900001", tags=["vip", "new"], city="Leeds",
           customFields=[{"id": field["id"], "field_value": "7"}])  # fmt: skip
    create(firstName="Bob", email="bob@x.org", tags=["vip"], companyName="Acme Ltd")
    create(firstName="Cid", phone="+447700900003", source="import")
    return field["id"]


@pytest.mark.parametrize(
    ("field", "operator", "value", "found"),
    [
        ("email", "eq", "ann@X.org", ["Ann"]),
        ("email", "not_eq", "ann@x.org", ["Bob", "Cid"]),
        ("email", "exists", None, ["Ann", "Bob"]),
        ("email", "not_exists", None, ["Cid"]),
        ("phone", "eq", "+447700900003", ["Cid"]),
        ("phone", "contains", "7700900", ["Ann", "Cid"]),
        ("tags", "eq", "vip", ["Ann", "Bob"]),
        ("tags", "eq", ["new"], ["Ann"]),
        ("tags", "not_exists", None, ["Cid"]),
        ("companyName", "contains", "acme", ["Bob"]),
        ("firstNameLowerCase", "eq", "cid", ["Cid"]),
        ("source", "eq", "import", ["Cid"]),
        ("dateAdded", "range", {"gte": "2020-01-01T00:00:00Z"}, ["Ann", "Bob", "Cid"]),
        ("dateAdded", "range", {"lte": "2020-01-01T00:00:00Z"}, []),
        ("dnd", "eq", False, ["Ann", "Bob", "Cid"]),
        ("customFields.ID", "eq", "7", ["Ann"]),
        ("customFields.ID", "exists", None, ["Ann"]),
    ],
)
def test_filters(people, find, field, operator, value, found):
    item = {"field": field.replace("ID", people), "operator": operator}
    assert names(find(filters=[item if value is None else {**item, "value": value}])) == found


def test_groups_nest(people, find):
    leeds = {"field": "city", "operator": "eq", "value": "leeds"}
    imported = {"field": "source", "operator": "eq", "value": "import"}
    either = {"group": "OR", "filters": [leeds, imported]}
    assert names(find(filters=[either])) == ["Ann", "Cid"]
    phones = {"field": "phone", "operator": "eq", "value": "+447700900003"}
    assert names(find(filters=[either, phones])) == ["Cid"]
    assert names(find(query="acme")) == ["Bob"]


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"filters": [{"field": "nothing", "operator": "eq", "value": 1}]}, 400, "Invalid field: nothing"),
        (
            {"filters": [{"field": "dateAdded", "operator": "gt", "value": 1}]},
            422,
            ["Invalid Operator gt for field dateAdded"],
        ),
        (
            {"filters": [{"field": "email", "operator": "contains", "value": "x"}]},
            422,
            ["Invalid Operator contains for field email"],
        ),
        (
            {"filters": [{"field": "email", "operator": "eq", "value": "x" * 76}]},
            422,
            ["value must be shorter than or equal to 75 characters"],
        ),
        ({"pageLimit": 501}, 422, ["pageLimit must not be greater than 500"]),
        ({"pageLimit": None}, 422, None),
        ({"locationId": None}, 422, None),
        ({"sort": [{"field": "city", "direction": "asc"}]}, 400, "Invalid sort field: city"),
        ({"page": 101, "pageLimit": 100}, 400, None),
        ({"page": 2, "searchAfter": [1, "x"]}, 400, "page and searchAfter cannot be used together"),
        ({"query": "x" * 76}, 422, None),
        ({"limit": 3}, 422, ["property limit should not exist"]),
    ],
)
def test_bad_searches_are_refused(find, body, status, message):
    answer = find(expect=status, **body)
    assert message is None or answer["message"] == message


@pytest.mark.parametrize(
    "sort",
    [
        None,
        [{"field": "email", "direction": "asc"}],
        [{"field": "firstNameLowerCase", "direction": "desc"}, {"field": "dateAdded", "direction": "asc"}],
    ],
)
def test_both_paging_modes_see_everybody_once_and_in_the_same_order(box, find, sort):
    for number in range(23):
        box.insert("contacts", firstName=f"P{number % 4}", email=f"p{number}@x.org")
    more = {} if sort is None else {"sort": sort}
    pages, cursor = [], None
    while rows := find(pageLimit=5, **more, **({"searchAfter": cursor} if cursor else {}))["contacts"]:
        pages += [row["id"] for row in rows]
        cursor = rows[-1]["searchAfter"]
    assert len(set(pages)) == 23
    numbered = [row["id"] for page in range(1, 6) for row in find(pageLimit=5, page=page, **more)["contacts"]]
    assert numbered == pages


def test_the_duplicate_look_up_reads_the_store_at_once(box, crm, create):
    box.options(highlevel={"lag": 60})
    ann = create(email="Ann@x.org", firstName="Ann")
    bob = create(phone="+447700900123")

    def look_up(**query):
        return crm.get("/contacts/search/duplicate", params={"locationId": box.location_id, **query}).json()[
            "contact"
        ]

    assert look_up(email="ann@X.org")["id"] == ann["id"]
    assert look_up(number="+447700900123")["id"] == bob["id"]
    assert look_up(number="+447700900123", email="ann@x.org")["id"] == ann["id"]
    box.options(location={"priority": ["phone", "email"]})
    assert look_up(number="+447700900123", email="ann@x.org")["id"] == bob["id"]
    assert look_up(email="nobody@x.org") is None
    assert crm.get("/contacts/search/duplicate", params={"locationId": box.location_id}).status_code == 422
