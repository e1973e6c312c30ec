import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.mapping.phones import Number, numbers, read


@pytest.mark.parametrize(
    ("typed", "country", "expected"),
    [
        ("020 7946 0958", "GB", "+442079460958"),
        ("+44 (0)20 7946 0958", "US", "+442079460958"),
        ("441224622312", "GB", "+441224622312"),
        ("34630733730", "GB", "+34630733730"),
        ("34630733730", "US", "+34630733730"),
        ("(34) 630 733 730", "GB", "+34630733730"),
        ("0034 630 733 730", "GB", "+34630733730"),
        ("0034 630 733 730", "US", "+34630733730"),
        ("011 34 630 733 730", "US", "+34630733730"),
        ("(202) 555-0123", "US", "+12025550123"),
        ("12025550123", "US", "+12025550123"),
        ("1-800-FLOWERS", "US", "+18003569377"),
        ("\u0660\u0662\u0660\u0667\u0669\u0664\u0666\u0660\u0669\u0665\u0668", "GB", "+442079460958"),
        ("06 12345678", "IT", "+390612345678"),
    ],
)
def test_readable_numbers(typed, country, expected):
    assert read(typed, country) == Number(expected)


def test_the_national_reading_comes_first():
    assert read("34630733730", "DE") == Number("+4934630733730")


@pytest.mark.parametrize("typed", ["999", "2906123", "12345", "+44", "hello", "", "+" * 300, "1" * 300])
def test_short_codes_and_others_are_no_number(typed):
    assert read(typed, "GB") is None


@pytest.mark.parametrize("typed", ["020 7946 0958 ext. 12", "+442079460958;ext=12", "020 7946 0958 x12"])
def test_extensions(typed):
    assert read(typed, "GB").full == "+442079460958;ext=12"
    found = numbers([typed], "GB")
    assert (found.phone, found.others) == ("+442079460958", "+442079460958;ext=12")


def test_the_first_valid_one_is_the_phone_and_nothing_is_lost():
    found = numbers(["999", None, "34630733730", " ", "020 7946 0958", "+34 630 733 730"], "GB")
    assert found.phone == "+34630733730"
    assert found.others == "999, +442079460958"
    assert not found.unusable


def test_several_numbers_in_one_field():
    found = numbers(["020 7946 0958 / 020 7946 0959 or 34630733730"], "GB")
    assert (found.phone, found.others) == ("+442079460958", "+442079460959, +34630733730")


def test_a_field_that_is_only_partly_readable_stays_as_typed():
    found = numbers(["020 7946 0958 / 9"], "GB")
    assert (found.phone, found.others) == ("", "020 7946 0958 / 9")


def test_what_has_no_digit_is_left_out_and_said():
    found = numbers(["anonymous", "-"], "GB")
    assert (found.phone, found.others, found.unusable) == ("", "", True)


def test_no_number_at_all():
    found = numbers([None, "", " \u00a0"], "GB")
    assert (found.phone, found.others, found.unusable) == ("", "", False)


@given(st.lists(st.none() | st.text() | st.from_regex(r"\+?[0-9 ()/;x-]{3,20}", fullmatch=True), max_size=6),
       st.sampled_from(["GB", "US", "ES", "DE", "IT", "ZZ"]))  # fmt: skip
def test_any_fields_give_a_valid_phone_or_none(fields, country):
    found = numbers(fields, country)
    if found.phone:
        assert read(found.phone, country) == Number(found.phone)
        assert found.phone not in found.others.split(", ")
    assert all(read(field, country) is None for field in fields if field and not found.phone)
