import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.voipstudio.models import Appointment, BadRow, Contact, CrmTask, Note, parse_rows

MODELS = [Contact, Note, CrmTask, Appointment]
SECRETIVE = "Ottoline Secretive"


def one(model, **row):
    good, bad = parse_rows(model, [{"id": 7, **row}])
    assert bad == []
    return good[0]


def refused(model, **row):
    good, bad = parse_rows(model, [{"id": 7, **row}])
    assert good == []
    return bad[0]


def test_published_contact_row():
    contact = one(
        Contact,
        first_name="Ada",
        last_name="Lovelace",
        email="ada@example.com",
        company="Engines",
        tel="441224622312",
        mobile_2="34630733730",
        notes="likes tea",
        labels=["vip"],
        group_name="Leads",
        internal=False,
        user_id=10002,
        next_call_at="2026-01-02 03:04:05",
        type=1,
        nb_call_attempts=3,
    )
    assert contact.id == 7
    assert (contact.first_name, contact.last_name, contact.company) == ("Ada", "Lovelace", "Engines")
    assert (contact.tel, contact.tel_1, contact.mobile_2) == ("441224622312", None, "34630733730")
    assert (contact.labels, contact.group_name, contact.groups) == (("vip",), "Leads", ())
    assert (contact.internal, contact.user_id, contact.next_call_at) == (False, 10002, "2026-01-02 03:04:05")


@pytest.mark.parametrize(
    ("model", "given_row", "expected"),
    [
        (Contact, {"firstName": "A", "tel1": "1", "mobile2": "2", "groupName": "g", "tagName": "t"},
         {"first_name": "A", "tel_1": "1", "mobile_2": "2", "group_name": "g", "labels": ("t",)}),
        (Contact, {"companyName": "C", "nextCallAt": "x"}, {"company": "C", "next_call_at": "x"}),
        (Note, {"contactId": "9", "createdAt": "x"}, {"contact_id": 9, "created_at": "x"}),
        (Note, {"date": "x"}, {"created_at": "x"}),
        (CrmTask, {"dueDate": "x"}, {"due_at": "x"}),
        (CrmTask, {"dueAt": "x"}, {"due_at": "x"}),
        (Appointment, {"startsAt": "x", "endsAt": "y"}, {"starts_at": "x", "ends_at": "y"}),
        (Appointment, {"date": "x"}, {"starts_at": "x"}),
    ],
)  # fmt: skip
def test_spellings(model, given_row, expected):
    row = one(model, **given_row)
    assert {name: getattr(row, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("model", "spelling"), [(Note, "noteId"), (CrmTask, "taskId"), (Appointment, "appointmentId")]
)
def test_id_spellings(model, spelling):
    good, bad = parse_rows(model, [{spelling: "12"}])
    assert ([row.id for row in good], bad) == ([12], [])


def test_a_null_spelling_does_not_hide_another():
    assert one(CrmTask, due_at=None, dueDate="2026-01-02").due_at == "2026-01-02"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ({}, ()),
        ("a, b,,c ", ("a", "b", "c")),
        (["a", "b, c"], ("a", "b, c")),
        ([{"name": "a"}, {"label": "b"}, {"title": "c"}, {"tagName": "d"}], ("a", "b", "c", "d")),
        ({"name": "a"}, ("a",)),
        ([None, "a", "", " "], ("a",)),
        ([3, "a"], ("3", "a")),
    ],
)
def test_label_shapes(raw, expected):
    assert one(Contact, labels=raw).labels == expected


@pytest.mark.parametrize("raw", [[{"id": 3}], [["a"]], [True], True, {"name": {"name": "a"}}])
def test_labels_that_cannot_be_shown_reject_the_row(raw):
    assert refused(Contact, labels=raw).message == "labels: expected names"


@pytest.mark.parametrize(
    ("raw", "expected"), [("a,b", ("a", "b")), ([1, {"id": 2}, {"name": "a"}, "b"], ("a", "b")), (4, ())]
)
def test_groups_pass_over_references(raw, expected):
    assert one(Contact, groups=raw).groups == expected


@pytest.mark.parametrize(
    ("raw", "expected"), [(441224622312, "441224622312"), (3.0, "3"), (2.5, "2.5"), ("", ""), (None, None)]
)
def test_numbers_where_text_is_meant(raw, expected):
    assert one(Contact, tel=raw).tel == expected


def test_lone_surrogates_do_not_survive():
    raw = json.loads(r'{"id": 7, "firstName": "A\ud800b \ud83d\ude00"}')
    good, _ = parse_rows(Contact, [raw])
    assert good[0].first_name == "Ab 😀"
    assert good[0].model_dump_json()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [(True, True), (1, True), ("true", True), (0, False), ("0", False), ("", None), (None, None)],
)
def test_flags(raw, expected):
    assert one(Contact, internal=raw).internal is expected


@pytest.mark.parametrize(
    ("raw", "expected"), [(1767323045, 1767323045), (1767323045.9, 1767323045), ("x", "x"), (None, None)]
)
def test_timestamps_stay_raw(raw, expected):
    assert one(Note, created_at=raw).created_at == expected


@pytest.mark.parametrize(
    ("model", "field", "value", "message"),
    [
        (Contact, "email", [SECRETIVE], "email: expected text"),
        (Contact, "first_name", {"x": SECRETIVE}, "first_name: expected text"),
        (Contact, "tel", True, "tel: expected text"),
        (Contact, "tel", float("nan"), "tel: expected text"),
        (Contact, "internal", SECRETIVE, "internal: expected true or false"),
        (Contact, "user_id", SECRETIVE, "user_id: expected a whole number"),
        (Contact, "created_at", [SECRETIVE], "created_at: expected a time"),
        (Note, "body", [SECRETIVE], "body: expected text"),
        (CrmTask, "completed", [SECRETIVE], "completed: expected true or false"),
        (CrmTask, "due_at", False, "due_at: expected a time"),
        (Appointment, "location", {"x": SECRETIVE}, "location: expected text"),
    ],
)
def test_a_wrong_type_names_field_and_type_and_no_value(model, field, value, message):
    assert refused(model, **{field: value}) == BadRow("7", "wrong_type", message)


@pytest.mark.parametrize("raw", ["x", "\u0667", "1e3", "-1", -1, 1.5, True, [], "", 10**18])
def test_unreadable_ids(raw):
    good, bad = parse_rows(Contact, [{"id": raw}])
    assert good == []
    assert bad == [BadRow(None, "wrong_type", "id: expected a whole number")]


@pytest.mark.parametrize(("raw", "expected"), [("12", 12), (" 12 ", 12), (12.0, 12), (0, 0)])
def test_readable_ids(raw, expected):
    assert parse_rows(Contact, [{"id": raw}])[0][0].id == expected


def test_rows_without_id_and_what_is_no_row():
    good, bad = parse_rows(Contact, [{"first_name": "A"}, {"id": None}, "x", None, [1]])
    assert good == []
    assert [row.reason for row in bad] == ["missing_id"] * 2 + ["not_an_object"] * 3
    assert {row.source_id for row in bad} == {None}


def test_one_bad_row_leaves_the_others_in_order():
    good, bad = parse_rows(Contact, [{"id": 1}, {"id": 2, "email": []}, {"id": 3}])
    assert [row.id for row in good] == [1, 3]
    assert bad == [BadRow("2", "wrong_type", "email: expected text")]


def test_all_problems_of_a_row_are_told():
    assert refused(Contact, email=[], tel={}).message == "email: expected text; tel: expected text"


def test_rows_are_frozen_and_comparable():
    contact = one(Contact, labels=["a"])
    assert hash(contact) == hash(one(Contact, labels="a"))
    with pytest.raises(ValidationError):
        contact.email = "x"


FIELDS = sorted(
    {spelling for model in MODELS for field in model.model_fields for spelling in (
        field, field.title().replace("_", ""), field[:1] + field.title().replace("_", "")[1:])}
    | {"dueDate", "date", "noteId", "taskId", "appointmentId", "tagName"}
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**4000)
    | st.floats()
    | st.text(st.characters(exclude_categories=())),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.just("name"), inner, max_size=3)
    ),
    max_leaves=8,
)
ROWS = st.dictionaries(st.sampled_from(FIELDS) | st.text(), JSON, max_size=6)


@given(st.sampled_from(MODELS), st.lists(ROWS | JSON, max_size=4))
def test_no_row_crashes_and_none_is_lost(model, rows):
    good, bad = parse_rows(model, rows)
    assert len(good) + len(bad) == len(rows)


@given(
    st.sampled_from(MODELS),
    st.sampled_from(FIELDS).filter(lambda name: name != "id"),
    JSON,
    st.integers(0, 10**9),
)
def test_what_is_read_can_be_written(model, field, value, number):
    good, bad = parse_rows(model, [{"id": number, field: value}])
    assert [row.source_id for row in bad] in ([], [str(number)])
    for row in good:
        assert model.model_validate_json(row.model_dump_json().encode()) == row


@given(st.sampled_from(MODELS), st.data())
def test_messages_never_hold_values(model, data):
    row = {name: data.draw(st.sampled_from([[SECRETIVE], {"k": SECRETIVE}, SECRETIVE])) for name in FIELDS}
    for bad in parse_rows(model, [row])[1]:
        assert SECRETIVE not in bad.message
        assert "Secretive" not in repr(bad)
