"""Whatever the services say: no parser of it crashes, and none shows more than it should."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from email.utils import formatdate
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.errors import VoipsyncError
from tasks.highlevel.operations import OPERATIONS
from tasks.highlevel.parse import parse
from tasks.highlevel.quota import Quota
from tasks.highlevel.refusals import may_be_expired, refusal, server_message
from tasks.mapping import marker
from tasks.settings import Quota as QuotaSettings
from tasks.transport import Answer
from tasks.voipstudio.client import server_message as source_message
from tasks.wire import retry_after

LATIN = st.text(alphabet=st.characters(max_codepoint=255, exclude_characters="\0\r\n"), max_size=40)
NUMBERS = st.one_of(
    st.integers(), st.floats(), st.sampled_from(["inf", "nan", "1e999", "-0", "٣", "1_0", " 7 "])
)
DATES = st.from_regex(
    r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,12} \d{1,3}:\d\d:\d\d [+-]?\w{1,12}", fullmatch=True
)
HEADER = st.one_of(NUMBERS.map(str), DATES, LATIN).map(lambda text: text.encode("latin-1", "ignore"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["message", "error", "errors", "meta", "contactId", "detail", "contact", "id", "succeeded"]
            )
            | st.text(max_size=8),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(HEADER)
@example(b"Mon, 01 Jan 99999999999 00:00:00 GMT")
@example(b"Mon, 01 Jan 0001 00:00:00 +9999")
@example(b"Mon, 99 Jan 2026 99:99:99 -99999999999")
@example(b"nan")
def test_any_retry_after_is_a_time_to_wait_or_none(value):
    seconds = retry_after(httpx.Headers([(b"retry-after", value)]))
    assert seconds is None or (seconds >= 0 and not math.isnan(seconds))


@pytest.mark.parametrize("ours", [-3600, 0, 3600])
def test_a_date_to_wait_for_is_taken_by_the_services_own_clock(ours):
    service = time.time() + ours
    headers = {"date": formatdate(service, usegmt=True), "retry-after": formatdate(service + 7, usegmt=True)}
    assert retry_after(httpx.Headers(headers)) == 7.0
    assert retry_after(httpx.Headers({"retry-after": formatdate(time.time() + 7, usegmt=True)})) <= 7.0


NAMES = ("max", "remaining", "interval-milliseconds", "limit-daily", "daily-remaining", "daily-reset")


@given(st.lists(st.tuples(st.sampled_from([200, 400, 401, 429, 500]),
                          st.dictionaries(st.sampled_from(NAMES), HEADER)), max_size=4))  # fmt: skip
async def test_any_rate_limit_headers_leave_a_pacer_that_grants(answers):
    clock = SimpleNamespace(now=0.0)
    pacer = Quota(QuotaSettings(), where="quota", clock=lambda: clock.now, wall=lambda: 1e9 + clock.now)
    for number, (status, headers) in enumerate(answers):
        named = [(f"x-ratelimit-{name}".encode(), value) for name, value in headers.items()]
        pacer.observe(number, status, httpx.Headers(named))
    assert 1 <= pacer.limit <= 1_000_000
    assert 0 < pacer.window <= 3600
    assert math.isfinite(pacer.day_left)


MARKED = st.sampled_from(
    [
        *("— VoIPstudio note ", "— VoIPstudio", "#", "·", "<p>", "</p>", "&lt;", "\n", "12", "abcdef"),
        *(" · acme · ", "2026-01-02 03:04 UTC"),
    ]
)


@given(st.lists(MARKED | st.text(max_size=6), max_size=30).map("".join))
def test_any_text_has_a_marker_or_none(text):
    found = marker.find(text)
    rest = marker.unmarked(text)
    assert (found is None) <= (rest == text)
    marker.untouched(text)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("unit", ["<p>", "— VoIPstudio note 1 · a · #abcdef\n", "&amp;", "\n ", "· "])
def test_a_long_text_is_searched_for_a_marker_in_no_time(unit):
    text = unit * (200_000 // len(unit))
    marker.find(text)
    marker.unmarked(text)


@given(JSON)
def test_any_message_of_a_service_is_one_short_line(data):
    for text in (server_message(data), source_message(data)):
        assert len(text) <= 300
        assert not set(text) & set("\r\n")


@given(st.sampled_from(sorted(OPERATIONS)), st.integers(400, 499), JSON)
def test_any_refusal_is_one_of_ours(name, status, data):
    answer = Answer(status, {}, data)
    error = refusal(OPERATIONS[name], answer)
    assert isinstance(error, VoipsyncError)
    assert "\n" not in str(error)
    may_be_expired(answer)


@given(st.sampled_from(sorted(OPERATIONS)), JSON)
def test_any_answer_is_a_model_or_one_of_our_errors(name, data):
    path = dict.fromkeys(OPERATIONS[name].path_names, "x")
    with suppress(VoipsyncError):
        parse(OPERATIONS[name], Answer(200, {}, data), path)
