import json
import time
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mapping.contact import address, contacts, frame_of
from tasks.mapping.desired import Desired, Skipped
from tasks.mapping.rules import Rules, contact_fields
from tasks.mapping_settings import MappingSettings
from tasks.voipstudio.models import Contact, parse_rows

RULES = Rules("acme", ZoneInfo("Europe/London"), "GB")


def mapped(*rows, rules=RULES):
    good, bad = parse_rows(Contact, [{"id": 7 + n, **row} for n, row in enumerate(rows)])
    assert bad == []
    return contacts(frame_of(good), rules)


def test_a_whole_contact():
    assert mapped(
        {
            "first_name": " Zoë\r\n Ann ",
            "last_name": "O\u2019Neil\x00",
            "email": " Zoe@Example.COM ",
            "company": "Engines",
            "tel": "020 7946 0958",
            "tel_1": "999",
            "mobile": "34630733730",
            "labels": "VIP, hot lead",
            "group_name": "Leads",
            "notes": "not here",
            "next_call_at": "2026-01-02 03:04:05",
        }
    ) == [
        Desired(
            "contacts",
            "7",
            None,
            {
                "firstName": "Zoë Ann",
                "lastName": "O\u2019Neil",
                "email": "zoe@example.com",
                "phone": "+442079460958",
                "companyName": "Engines",
                "source": "VoIPstudio",
                "tags": ["vip", "hot lead", "leads"],
                "id": "7",
                "other_phones": "999, +34630733730",
                "labels": [["VIP", "hot lead"], ["Leads"], ["vip", "hot lead", "leads"]],
            },
        )
    ]


def test_what_is_empty_is_absent():
    [found] = mapped({"email": "a@example.com", "first_name": " ", "labels": [], "tel": ""})
    assert found.content == {
        "email": "a@example.com",
        "source": "VoIPstudio",
        "id": "7",
        "labels": [[], [], []],
    }
    assert found.kept_back == ()


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({}, "no_email_or_phone"),
        ({"first_name": "Ada"}, "no_email_or_phone"),
        ({"email": "not an address", "tel": "999"}, "no_email_or_phone"),
        ({"email": "a@example.com", "internal": True}, "internal"),
        ({"internal": 1}, "internal"),
    ],
)
def test_skipped_by_rule(row, reason):
    assert mapped(row) == [Skipped("contacts", "7", None, reason)]


def test_what_is_kept_back_is_said():
    [found] = mapped({"email": "nobody", "tel": "020 7946 0958", "mobile": "withheld"})
    assert found.kept_back == ("invalid_email", "invalid_phone")
    assert "email" not in found.content
    assert "other_phones" not in found.content


def test_phone_fields_in_their_order():
    fields = ["tel", "tel_1", "tel_2", "mobile", "mobile_1", "mobile_2"]
    [found] = mapped({name: f"020 7946 095{n}" for n, name in reversed(list(enumerate(fields)))})
    assert found.content["phone"] == "+442079460950"
    assert found.content["other_phones"] == ", ".join(f"+44207946095{n}" for n in range(1, 6))


def test_rules_count():
    rules = Rules(
        "acme",
        RULES.zone,
        "US",
        fields=contact_fields(MappingSettings(source_label="Telephone")),
        group_as_tag=False,
        tag_prefix="t-",
    )
    [found] = mapped({"tel": "(202) 555-0123", "labels": "A", "group_name": "G"}, rules=rules)
    labels = [["A"], ["G"], ["t-a"]]
    assert found.content == {
        "phone": "+12025550123",
        "source": "Telephone",
        "tags": ["t-a"],
        "id": "7",
        "labels": labels,
    }


def test_order_and_ids_are_kept():
    found = mapped({"email": "a@example.com"}, {}, {"tel": "020 7946 0958"})
    assert [item.source_id for item in found] == ["7", "8", "9"]


def test_an_empty_page():
    assert contacts(frame_of([]), RULES) == []


def test_frames_that_pandas_has_had_its_way_with():
    frame = pd.DataFrame(
        {
            "id": np.array([7, 8]),
            "email": ["a@example.com", None],
            "first_name": [np.nan, "Ada"],
            "tel": [None, "020 7946 0958"],
            "labels": [["A"], None],
            "internal": [False, False],
        }
    )
    found = contacts(frame, RULES)
    assert found[0].content["tags"] == ["a"]
    assert found[0].content["labels"] == [["A"], [], ["a"]]
    assert found[1].content["firstName"] == "Ada"
    assert type(found[0].source_id) is str
    json.dumps([item.content for item in found], allow_nan=False)


def test_frames_keep_the_values():
    good, _ = parse_rows(Contact, [{"id": 1, "labels": ["a"], "created_at": 5}, {"id": 2, "tel": "1"}])
    frame = frame_of(good)
    assert list(frame.columns) == list(Contact.model_fields)
    assert frame["labels"].tolist() == [("a",), ()]
    assert frame["created_at"].tolist() == [5, None]
    assert frame["tel"].tolist() == [None, "1"]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("A.B+c@Example.COM", "a.b+c@example.com"),
        ("josé@exämple.de", "josé@exämple.de"),
        ("a@localhost", ""),
        ("a b@example.com", ""),
        ("a@example.com, b@example.com", ""),
        ("@", ""),
        ("", ""),
    ],
)
def test_addresses(typed, expected):
    assert address(typed) == expected


TEXT = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["a@example.com", "A@EXAMPLE.com ", "020 7946 0958", "34630733730", "\ufeff", "\x00", "x;ext=5"]
)
NAMES = ["first_name", "last_name", "company", "tel_1", "mobile_2", "group_name"]


ROWS = st.fixed_dictionaries(
    {"email": TEXT, "tel": TEXT},
    optional={name: st.none() | TEXT for name in NAMES}
    | {"labels": st.lists(TEXT), "internal": st.booleans()},
)


@given(st.lists(ROWS, max_size=4))
def test_equal_rows_give_equal_plain_content_whatever_page_they_are_on(rows):
    good, bad = parse_rows(Contact, [{"id": n, **row} for n, row in enumerate(rows)])
    assert bad == []
    page = contacts(frame_of(good), RULES)
    assert page == [item for model in good for item in contacts(frame_of([model]), RULES)]
    for item in page:
        if isinstance(item, Desired):
            assert json.loads(json.dumps(item.content, allow_nan=False)) == item.content
            json.dumps(item.content, ensure_ascii=False).encode()
            assert all(item.content.values())
            assert {type(value) for value in item.content.values()} <= {str, list}
            assert "email" in item.content or "phone" in item.content


def test_a_page_is_mapped_in_well_under_a_second():
    rows = [
        {"email": f"A{n}@Example.com", "tel": f"020 7946 {n:04d}", "mobile": f"34630{n:06d}", "labels": ["x"]}
        for n in range(500)
    ]
    began = time.process_time()
    found = mapped(*rows)
    assert len(found) == 500
    assert time.process_time() - began < 1  # CPU seconds; measured 0.06
