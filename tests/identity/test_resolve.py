"""Who is who: never guessed, and the same whatever the order in which candidates come."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tasks.identity.resolve import (
    CREATING,
    Adopt,
    Ambiguous,
    Candidate,
    Create,
    linked_by,
    linking,
    name_of,
    resolve,
    settled,
)

EMAILS, PHONES, NAMES = (None, "a@x", "b@x"), (None, "+1", "+2"), ("", "ann", "bob")


def contact(contact_id="c", email=None, phone=None, source_id=None, name="", **more):
    return Candidate(contact_id, email, phone, source_id, name, **more)


def wanted(**values):
    return {"id": "7", **{name: value for name, value in values.items() if value}}


people = st.builds(
    contact,
    email=st.sampled_from(EMAILS),
    phone=st.sampled_from(PHONES),
    source_id=st.sampled_from((None, "7", "8")),
    name=st.sampled_from(NAMES),
    also=st.frozensets(st.sampled_from(("a@x", "b@x", "+1", "+2")), max_size=1),
    linked=st.lists(
        st.builds(
            wanted,
            email=st.sampled_from(EMAILS),
            phone=st.sampled_from(PHONES),
            firstName=st.sampled_from(NAMES),
        ),
        max_size=1,
    ).map(tuple),
)
populations = st.lists(people, max_size=5).map(
    lambda found: [
        Candidate(f"c{number}", *(getattr(one, name) for name in Candidate.__slots__[1:]))
        for number, one in enumerate(found)
    ]
)
contents = st.builds(
    wanted, email=st.sampled_from(EMAILS), phone=st.sampled_from(PHONES), firstName=st.sampled_from(NAMES)
)


def evidence(one, content):
    """All that is known of a candidate, beside its id at the destination."""
    return tuple(getattr(one, name) for name in Candidate.__slots__[1:])


@given(contents, populations, st.randoms())
def test_the_order_of_candidates_changes_nothing(content, population, random):
    shuffled = random.sample(population, len(population))
    assert resolve(content, shuffled) == resolve(content, population)


@given(contents, populations)
def test_never_one_of_two_who_fit_equally(content, population):
    verdict = resolve(content, population)
    if isinstance(verdict, Adopt):
        chosen = next(one for one in population if one.contact_id == verdict.contact_id)
        equal = [one for one in population if evidence(one, content) == evidence(chosen, content)]
        assert equal == [chosen]
        assert any(chosen.holds(key, content.get(key)) for key in ("id", "email", "phone"))


@given(contents, populations)
def test_a_second_one_like_the_chosen_makes_it_nobodys_guess(content, population):
    verdict = resolve(content, population)
    if isinstance(verdict, Adopt):
        chosen = next(one for one in population if one.contact_id == verdict.contact_id)
        twin = Candidate("another", *evidence(chosen, content))
        again = resolve(content, [*population, twin])
        assert isinstance(again, Ambiguous)
        assert {"another", chosen.contact_id} <= set(again.candidates)


@given(contents, populations)
def test_who_is_ambiguous_is_named_with_what_they_share(content, population):
    verdict = resolve(content, population)
    if isinstance(verdict, Ambiguous):
        assert verdict.reason
        assert verdict.candidates
        by_id = {one.contact_id: one for one in population}
        for contact_id, keys in verdict.matched.items():
            assert keys
            assert all(by_id[contact_id].holds(key, content[key]) for key in keys)
        assert tuple(verdict.matched) == verdict.candidates


@given(contents, populations)
def test_a_key_of_somebody_else_is_never_written(content, population):
    verdict = resolve(content, population)
    if isinstance(verdict, Create | Adopt):
        chosen = verdict.contact_id if isinstance(verdict, Adopt) else None
        others = [one for one in population if one.contact_id != chosen]
        held = any(one.holds("email", content.get("email")) for one in others)
        assert not (verdict.with_email and held)
        if isinstance(verdict, Create):
            assert not (
                verdict.with_phone and any(one.holds("phone", content.get("phone")) for one in others)
            )


@given(contents, populations, st.booleans())
def test_a_decision_is_followed_and_takes_nothing_from_others(content, population, allows):
    for one in population:
        verdict = settled(linking(one.contact_id), content, population, allows_duplicates=allows)
        assert isinstance(verdict, Adopt)
        assert verdict.contact_id == one.contact_id
    verdict = settled(CREATING, content, population, allows_duplicates=allows)
    assert isinstance(verdict, Create)
    assert verdict.with_phone is not any(one.holds("phone", content.get("phone")) for one in population)


def test_a_decision_names_its_contact():
    assert (linked_by(linking("create")), linked_by(CREATING)) == ("create", None)


def test_names_are_compared_without_case_and_spacing():
    assert name_of({"firstName": " ANN ", "lastName": "Le  e"}) == "ann le e"


def test_an_additional_address_is_a_persons_own():
    merged = contact(email="new@x", also=frozenset({"a@x"}))
    assert resolve(wanted(email="a@x"), [merged]) == Adopt("c")


def test_the_contact_of_another_person_is_not_taken_over():
    linked = contact(email="a@x", linked=({"id": "1", "email": "b@x"},))
    verdict = resolve(wanted(email="a@x"), [linked])
    assert isinstance(verdict, Ambiguous)
    assert verdict.candidates == ("c",)


def test_another_entry_of_the_same_person_shares_the_contact():
    linked = contact(email="a@x", linked=({"id": "1", "email": "a@x"},))
    assert resolve(wanted(email="a@x"), [linked]) == Adopt("c")


def test_our_id_wins_and_an_email_that_is_anothers_is_not_written():
    ours, other = contact("ours", source_id="7"), contact("other", email="a@x")
    assert resolve(wanted(email="a@x"), [ours, other]) == Adopt("ours", with_email=False)
