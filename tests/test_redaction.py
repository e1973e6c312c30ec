"""Secrets and personal data are masked, whatever they stand in; what says which record is meant stays."""

from __future__ import annotations

import base64
import string
from datetime import UTC, datetime
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import redaction
from tasks.redaction import redact, redact_text, remember

HEX = "0123456789abcdef0123456789abcdef01234567"
BASE62 = string.ascii_letters + string.digits


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("email jane.doe+x@example.co.uk is taken", "email [e-mail] is taken"),
        ('duplicate "José@exämple.de".', 'duplicate "[e-mail]".'),
        ("<a@b.io>, c@d.io", "<[e-mail]>, [e-mail]"),
        ("number=%2B447700900123&email=a%40b.io", "number=[number]&email=[e-mail]"),
        ("phone +44 7700 900123 must be valid", "phone [number] must be valid"),
        ("phone (020) 7946-0958", "phone [number]"),
        ("%2B44%207700%20900123", "[number]"),
        ("+44+7700+900123", "[number]"),
        ("0171/2345678, 06.12.34.56.78", "[number], [number]"),
        ("contact 447700900123, id 07700 900123", "contact [number], id [number]"),
        ("1234567", "[number]"),
        ("٠١٢٣٤٥٦٧", "[number]"),
        ("firstName: [type=string_type, input_value='Jane', input_type=str]",
         "firstName: [type=string_type, input_value=[personal], input_type=str]"),
    ],
)  # fmt: skip
def test_masks_what_identifies_a_person(text, shown, monkeypatch):
    assert redact_text(text) == shown
    monkeypatch.setenv("VOIPSYNC_SHOW_PERSONAL_DATA", "1")
    assert redact_text(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Invalid token pit-12345678-abcd-ef00 given", "Invalid token [secret] given"),
        ("Bearer abc.def refused", "Bearer [secret] refused"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln refused", "jwt [secret] refused"),
        (f"key {HEX} refused", "key [secret] refused"),
        (f"DELETE /apitokens/{HEX}", "DELETE /apitokens/[secret]"),
        ("Basic dXNlcjpwYXNz refused; Basic information", "Basic dXNlcjpwYXNz refused; Basic information"),
        ("Basic dXNlcjpwYXNzMQ== refused", "Basic [secret] refused"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: [secret]"),
        ("X-Auth-Token: abc, Version: v3", "X-Auth-Token: [secret] Version: v3"),
        ("(b'x-auth-token', b'abc'), (b'n', b'*')", "(b'x-auth-token', b'[secret]'), (b'n', b'*')"),
        ("Set-Cookie: sid=abc; path=/", "Set-Cookie: [secret]"),
        ("grant_type=refresh_token&client_secret=ab%2Fc&refresh_token=x.y",
         "grant_type=refresh_token&client_secret=[secret]&refresh_token=[secret]"),
        ('{"accessToken": "a\\"b", "expires_in": 3}', '{"accessToken": "[secret]", "expires_in": 3}'),
        ('"{\\"password\\": \\"hunter2\\", \\"n\\": 1}"', '"{\\"password\\": \\"[secret]\\", \\"n\\": 1}"'),
        ("{'api_key': 'abc'}", "{'api_key': '[secret]'}"),
        ("password: hunter2", "password: [secret]"),
        ("Invalid token: access token is invalid", "Invalid token: access token is invalid"),
        ("https://jane:hunter2@example.com/x", "https://[secret]@example.com/x"),
        ("https://l/cb?code=abcdefghijklmnopq&x=1", "https://l/cb?code=[secret]&x=1"),
        ("key g1aBU6vYX_zwyKpdS0rUVdqWZ5dUKE22hJM1rRfqGCk=.", "key [secret]."),
    ],
)  # fmt: skip
def test_masks_what_opens_a_door_always(text, shown, monkeypatch):
    monkeypatch.setenv("VOIPSYNC_SHOW_PERSONAL_DATA", "1")
    assert redact_text(text) == shown
    monkeypatch.delenv("VOIPSYNC_SHOW_PERSONAL_DATA")
    assert redact_text(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "123456 stays",
        "due 2026-01-02 is in the past",
        "Contact not found for id:ocQHyuzHvysMo5N5VsXc",
        "contact 1234567 may be any of: ocQHyuzHvysMo5N5VsXc, 5f8d0d55b54764421b7156c4",
        "GET /contacts/1234567/notes?page=1&limit=100",
        '"contact_id": 1234567, task 1234567/42, note 7/1',
        "run 20260102T030405-123456 of acme: ok",
        "123e4567-1234-1234-1234-426614174000",
        "2026-01-02T03:04:05.678901Z, 2026-01-02 03:04:05,123 | 03:04:05.678901, 1767323045.678",
        "12345678 of 12345678 left; 1234567 contacts",
        "connect_tcp.started host='192.168.100.200' port=5432; took 0.123456789 s",
        "<object at 0x7f1234567890>",
        "accounts.acme.destination.oauth.client_secret: is missing, and none is stored",
        "accounts.acme.destination.token: environment variable HIGHLEVEL_TOKEN is not set",
    ],
)
def test_what_says_which_record_is_meant_stays(text):
    assert redact_text(text) == text


AROUND = st.text(alphabet=" abcXYZ-/.,:;=&?'\"{}[]\n", max_size=12)


@given(st.text(), st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}@[a-z]{1,8}\.[a-z]{2,4}", fullmatch=True), st.text())
def test_no_address_survives_whatever_stands_around_it(before, address, after):
    assert address not in redact_text(f"{before} {address} {after}")


@given(st.text(alphabet=" abc", max_size=20), st.from_regex(r"\+?[1-9][0-9]{6,14}", fullmatch=True))
def test_no_phone_number_survives(around, number):
    assert number not in redact_text(f"{around}{number}{around}")


NO_SECRETS = {redaction.SECRET, redaction.EMAIL, redaction.NUMBER, redaction.PERSONAL}
SECRETS = st.text(alphabet=[chr(code) for code in range(33, 127)], min_size=8, max_size=60).filter(
    lambda text: text not in NO_SECRETS and not redaction._CALL.fullmatch(text)
)


@given(SECRETS, AROUND, AROUND, st.binary(max_size=5))
def test_no_secret_that_was_given_survives_in_any_form(secret, before, after, ahead):
    remember(secret)
    encoded = base64.b64encode(ahead + secret.encode() + ahead).decode()
    told = redact_text(" ".join((secret, quote(secret, safe=""), quote(secret), quote_plus(secret), encoded)))
    assert secret not in told
    assert quote(secret, safe="") not in told
    inner = base64.b64encode(b"\0" * (len(ahead) % 3) + secret.encode()).decode()[4:-4]
    assert len(inner) < 8 or inner not in told
    assert secret not in redact_text(f"{before}{secret}{after}")


@pytest.mark.parametrize(
    "shape",
    [
        *("pit-{}", "Bearer {}", "password={}", '"client_secret": "{}"'),
        *("X-Auth-Token: {}", "https://me:{}@host/", "(b'authorization', b'{}')"),
    ],
)
@given(st.text(alphabet=BASE62, min_size=24, max_size=40), AROUND)
def test_no_shape_of_a_secret_survives(shape, value, around):
    assert value not in redact_text(f"{around} {shape.format(value)} {around}")


@st.composite
def ids(draw):
    """An id of the destination: twenty letters and digits, drawn as the service draws them."""
    random = draw(st.randoms(use_true_random=True))
    return "".join(random.choice(BASE62) for _ in range(20))


INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2099, 1, 1))  # noqa: DTZ001 - both kinds are wanted
KEPT = st.one_of(
    ids(),
    st.uuids().map(str),
    st.integers(1, 999_999).map(str),
    st.tuples(st.integers(1, 999), st.integers(1, 999)).map("{0[0]}/{0[1]}".format),
    st.integers(1, 999_999_999).map("contact {}".format),
    st.tuples(st.integers(1, 999_999_999), st.integers(1, 999_999_999)).map("task {0[0]}/{0[1]}".format),
    st.integers(1, 999_999_999).map("/contacts/{}/notes".format),
    st.integers(0, 999_999_999).map("{} contacts".format),
    INSTANTS.map(datetime.isoformat),
    INSTANTS.map(lambda at: at.replace(tzinfo=UTC).isoformat()),
    INSTANTS.map("{:%Y%m%dT%H%M%S}-123456".format),
)


@given(st.lists(KEPT, min_size=1, max_size=4))
def test_ids_instants_and_counts_survive(parts):
    text = f"run of acme: {', '.join(parts)}."
    assert redact_text(text) == text


@given(st.text())
def test_twice_is_once_and_nothing_crashes(text):
    once = redact_text(text)
    assert redact_text(once) == once


FIELDS = st.sampled_from(
    [
        *("password=", "token", "'", '"', "\\", ":", " ", "Bearer", "https://", "@", "cookie"),
        *("authorization", "[secret]", "secret", "1234567", "%40", "=", "2026-01-02"),
    ]
)


@given(st.lists(st.one_of(FIELDS, st.text(max_size=3)), max_size=20).map("".join))
def test_twice_is_once_for_what_looks_like_secrets(text):
    remember("cookie")
    once = redact_text(text)
    assert redact_text(once) == once


def test_a_word_that_says_what_a_value_is_hides_no_name_of_a_field():
    remember("token")
    assert redact_text("?token=abcdef") == "?token=[secret]"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "unit", ["a", "1", "1 ", "a1", "token=", '"token": "', "\\", "@", "x@", "(", "Basic ", "eyJ", "://"]
)
def test_a_long_text_takes_no_time(unit):
    redact_text(unit * (200_000 // len(unit)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(JSON)
def test_no_json_crashes_and_twice_is_once(value):
    once = redact(value)
    assert redact(once) == once


def test_json_is_masked_by_names_too(monkeypatch):
    remember("abcd-verbatim")
    record = {
        "id": "ocQHyuzHvysMo5N5VsXc",
        "contactId": "1234567",
        "firstName": "Jane",
        "phone": 447700900123,
        "additionalEmails": ["j@d.io"],
        "tags": ["vip", "j@d.io"],
        "apiKey": "abc",
        "refreshToken": "def",
        "url": "https://x/abcd-verbatim",
        "dateAdded": "2026-01-02T03:04:05.000Z",
        "j@d.io": {"address": {"city": "York"}},
        "dnd": False,
    }
    shown = {
        "id": "ocQHyuzHvysMo5N5VsXc",
        "contactId": "1234567",
        "firstName": "[personal]",
        "phone": "[personal]",
        "additionalEmails": ["[personal]"],
        "tags": ["vip", "[e-mail]"],
        "apiKey": "[secret]",
        "refreshToken": "[secret]",
        "url": "https://x/[secret]",
        "dateAdded": "2026-01-02T03:04:05.000Z",
        "[e-mail]": {"address": {"city": "[personal]"}},
        "dnd": False,
    }
    assert redact(record) == shown
    clear = record | {name: shown[name] for name in ("apiKey", "refreshToken", "url")}
    assert redact(record, clear=True) == clear
    monkeypatch.setenv("VOIPSYNC_SHOW_PERSONAL_DATA", "1")
    assert redact(record) == clear
