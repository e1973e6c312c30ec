from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mapping.rules import Rules
from tasks.mapping.tags import tags
from tasks.settings import Account

UTC = ZoneInfo("UTC")
RULES = Rules("acme", UTC, "GB")


def ruled(**mapping):
    """The rules of an account with this mapping."""
    places = {
        "source": {"base_url": "https://x", "api_key": "${X}", "timezone": "UTC"},
        "destination": {"base_url": "https://x", "location_id": "l", "token": "${X}"},
    }
    return Rules.of("acme", Account.model_validate({**places, "mapping": mapping}))


def test_lower_case_each_once_labels_first():
    assert tags(["VIP", " vip ", "Hot  Lead"], ["Leads", "vip", None], RULES) == ["vip", "hot lead", "leads"]


def test_groups_only_where_they_are_tags():
    assert tags(["a"], ["g"], Rules("acme", UTC, "GB", group_as_tag=False)) == ["a"]


def test_prefix():
    assert tags(["A"], ["G"], Rules("acme", UTC, "GB", tag_prefix="VoIP: ")) == ["voip: a", "voip: g"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({}, ["vip", "hot lead", "cold-1", "cold-2", "team [a]"]),
        (
            {"tag_rename": {"vip": "Gold Customer"}},
            ["gold customer", "hot lead", "cold-1", "cold-2", "team [a]"],
        ),
        ({"tag_rename": {"HOT  lead": "VIP"}}, ["vip", "cold-1", "cold-2", "team [a]"]),
        ({"tag_rename": {"vip": " "}}, ["hot lead", "cold-1", "cold-2", "team [a]"]),
        ({"tag_allow": ["cold*"]}, ["cold-1", "cold-2"]),
        ({"tag_allow": ["COLD-?", "vip"]}, ["vip", "cold-1", "cold-2"]),
        ({"tag_deny": ["Cold-*", "team*"]}, ["vip", "hot lead"]),
        ({"tag_deny": ["team [a]"]}, ["vip", "hot lead", "cold-1", "cold-2"]),
        ({"tag_allow": ["cold*"], "tag_deny": ["*-2"]}, ["cold-1"]),
        ({"tag_allow": ["vip"], "tag_rename": {"vip": "gold"}, "tag_prefix": "v:"}, ["v:gold"]),
        (
            {"tag_deny": ["gold"], "tag_rename": {"vip": "gold"}},
            ["gold", "hot lead", "cold-1", "cold-2", "team [a]"],
        ),
        ({"tag_deny": ["*"]}, []),
        ({"tag_allow": ["cold"]}, []),
    ],
)
def test_renamed_allowed_and_denied(rules, expected):
    assert tags(["VIP", "Hot Lead"], ["Cold-1", "cold-2", "Team [A]"], ruled(**rules)) == expected


def test_the_order_in_which_a_mapping_is_written_changes_no_rules():
    first = ruled(tag_rename={"a": "1", "b": "2"}, tag_deny=["x", "y"])
    second = ruled(tag_rename={"b": "2", "a": "1"}, tag_deny=["y", "x"])
    assert repr(first) == repr(second)


def test_nothing():
    assert tags([], [None, "", " "], RULES) == []


@given(st.lists(st.text(st.characters(exclude_categories=()))))
def test_tags_of_tags_are_the_same_tags(labels):
    once = tags(labels, [], RULES)
    assert tags(once, [], RULES) == once
    assert len(set(once)) == len(once)
    assert "" not in once
