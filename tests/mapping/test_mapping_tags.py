from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from tasks.mapping.rules import Rules
from tasks.mapping.tags import tags

UTC = ZoneInfo("UTC")
RULES = Rules("acme", UTC, "GB")


def test_lower_case_each_once_labels_first():
    assert tags(["VIP", " vip ", "Hot  Lead"], ["Leads", "vip", None], RULES) == ["vip", "hot lead", "leads"]


def test_groups_only_where_they_are_tags():
    assert tags(["a"], ["g"], Rules("acme", UTC, "GB", group_as_tag=False)) == ["a"]


def test_prefix():
    assert tags(["A"], ["G"], Rules("acme", UTC, "GB", tag_prefix="VoIP: ")) == ["voip: a", "voip: g"]


def test_nothing():
    assert tags([], [None, "", " "], RULES) == []


@given(st.lists(st.text(st.characters(exclude_categories=()))))
def test_tags_of_tags_are_the_same_tags(labels):
    once = tags(labels, [], RULES)
    assert tags(once, [], RULES) == once
    assert len(set(once)) == len(once)
    assert "" not in once
