import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.redaction import redact_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("email jane.doe+x@example.co.uk is taken", "email [e-mail] is taken"),
        ('duplicate "José@exämple.de".', 'duplicate "[e-mail]".'),
        ("<a@b.io>, c@d.io", "<[e-mail]>, [e-mail]"),
        ("number=%2B447700900123&email=a%40b.io", "number=[number]&email=[e-mail]"),
        ("phone +44 7700 900123 must be valid", "phone [number] must be valid"),
        ("phone (020) 7946-0958", "phone [number]"),
        ("1234567", "[number]"),
        ("٠١٢٣٤٥٦٧", "[number]"),
        ("123456 stays", "123456 stays"),
        ("due 2026-01-02 is in the past", "due 2026-01-02 is in the past"),
        ("Invalid token pit-12345678-abcd-ef00 given", "Invalid token [secret] given"),
        ("Bearer abc.def refused", "Bearer [secret] refused"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln refused", "jwt [secret] refused"),
        ("Contact not found for id:ocQHyuzHvysMo5N5VsXc", "Contact not found for id:ocQHyuzHvysMo5N5VsXc"),
        ("", ""),
    ],
)
def test_masks_what_identifies_a_person_or_opens_a_door(text, shown):
    assert redact_text(text) == shown


@given(st.text(), st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}@[a-z]{1,8}\.[a-z]{2,4}", fullmatch=True), st.text())
def test_no_address_survives_whatever_stands_around_it(before, address, after):
    assert address not in redact_text(f"{before} {address} {after}")


@given(st.text(alphabet=" abc", max_size=20), st.from_regex(r"\+?[1-9][0-9]{6,14}", fullmatch=True))
def test_no_phone_number_survives(around, number):
    assert number not in redact_text(f"{around}{number}{around}")


@given(st.text())
def test_twice_is_once(text):
    once = redact_text(text)
    assert redact_text(once) == once
