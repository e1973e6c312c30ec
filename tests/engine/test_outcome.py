"""When a refused record is tried again."""

from __future__ import annotations

from tasks.engine import outcome
from tasks.errors import RejectedRecord

NOW = 1_800_000_000.0


def refused(times, fingerprint="same", before=None):
    record = before or outcome.blank("acme", "notes", "7/1", "7", seen=1, at=NOW)
    for _ in range(times):
        record = outcome.sending(record, "create-notes", {"body": "x"}, fingerprint, NOW)
        error = RejectedRecord("no", status=400, reason="http_400")
        record = outcome.rejected(record, error, {"body": "x"}, fingerprint, NOW)
    return record


def minutes_until_next(record):
    return None if record.next_attempt_at is None else round((record.next_attempt_at - NOW) / 60)


def test_every_run_tries_again_until_the_fifth_refusal_then_the_pauses_double():
    assert [minutes_until_next(refused(times)) for times in range(1, 9)] == [None] * 4 + [10, 20, 40, 80]


def test_after_the_last_attempt_it_stays_until_its_source_changes():
    stuck = refused(outcome.LAST_ATTEMPT)
    assert stuck.next_attempt_at == outcome.NEVER
    assert (stuck.state, stuck.payload, stuck.reason, stuck.status) == (
        "rejected",
        {"body": "x"},
        "http_400",
        400,
    )
    changed = refused(1, "other", before=stuck)
    assert (changed.attempts, changed.next_attempt_at) == (1, None)


def test_success_forgets_the_refusals():
    done = outcome.synced(refused(7), "id1", {"body": "x"}, "same", NOW)
    assert (done.state, done.attempts, done.next_attempt_at, done.reason, done.payload) == (
        "synced",
        0,
        None,
        None,
        None,
    )


def test_a_sending_that_no_answer_ended_may_have_left_as_late_as_its_run_could_send():
    new = outcome.blank("acme", "notes", "7/1", "7", seen=1, at=NOW)
    sent = outcome.sending(new, "create-notes", {"body": "x"}, "same", NOW)
    cut_off = outcome.cut_off(sent, NOW + 30, NOW + 60)
    assert cut_off.intent["at"] == NOW + 30
    assert outcome.cut_off(cut_off, NOW + 90, NOW + 120) == cut_off
    lost = outcome.unknown(sent, "no answer", 0, NOW + 5)
    assert outcome.cut_off(lost, NOW + 30, NOW + 60) == lost


def test_nothing_left_later_than_now_whatever_a_clock_said_that_was_set_back():
    new = outcome.blank("acme", "notes", "7/1", "7", seen=1, at=NOW)
    lost = outcome.unknown(outcome.sending(new, "create-notes", {}, "same", NOW), "no answer", 0, NOW)
    assert outcome.cut_off(lost, 0.0, NOW - 3600).intent["at"] == NOW - 3600
