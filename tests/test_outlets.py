"""What leaves the process by itself: log records, tracebacks, and what Prefect is given of an exception."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import warnings

import pytest

from tasks import outlets
from tasks.errors import ConfigurationError, VoipsyncError
from tasks.outlets import discreet, presentable, text_of

SAID = "cannot map Jane of j@d.io"


@pytest.fixture(autouse=True)
def guarded():
    before = logging.getLogRecordFactory(), warnings.formatwarning
    logging.setLogRecordFactory(outlets._Redacted)
    yield
    logging.setLogRecordFactory(before[0])
    warnings.formatwarning = before[1]


def test_every_record_is_redacted_whoever_formats_it(caplog):
    caplog.set_level(logging.DEBUG)
    logging.getLogger("httpx").debug("GET %s %d", "https://x/?email=j%40d.io&token=abcdef", 200)
    (record,) = caplog.records
    assert record.getMessage() == record.msg == "GET https://x/?email=[e-mail]&token=[secret] 200"
    assert record.args == ()


def test_a_message_that_does_not_fit_its_arguments_is_still_logged(caplog):
    logging.getLogger("x").warning("%d and %d", "j@d.io")  # noqa: PLE1206 - what is tested
    assert caplog.records[0].getMessage() == "%d and %d"


def test_the_text_of_an_exception_that_may_quote_data_is_withheld(caplog, monkeypatch):
    def fail():
        try:
            {}[SAID]
        except KeyError as inner:
            raise ValueError(SAID) from inner

    def log_it():
        try:
            fail()
        except ValueError as error:
            logging.getLogger("x").exception("it broke: %r", error)  # noqa: TRY401 - as Prefect does

    log_it()
    assert "Jane" not in caplog.text
    for text in ("ValueError: [personal]", "KeyError: [personal]", "in log_it", "direct cause"):
        assert text in caplog.text
    monkeypatch.setenv("VOIPSYNC_SHOW_PERSONAL_DATA", "1")
    caplog.clear()
    log_it()
    assert SAID in caplog.text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConfigurationError("state.url: no"), "state.url: no"),
        (VoipsyncError("j@d.io is taken"), "[e-mail] is taken"),
        (FileNotFoundError(2, "No such file", "x.db"), "[Errno 2] No such file: 'x.db'"),
        (ConnectionError("Bearer abc"), "Bearer [secret]"),
        (ValueError(), "ValueError"),
        (ValueError(SAID), "ValueError: [personal] (VOIPSYNC_SHOW_PERSONAL_DATA=1 shows what it says)"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_what_an_exception_says_as_far_as_anyone_may_read_it(error, text):
    assert text_of(error) == text


def test_a_likeness_keeps_kind_place_and_what_led_to_it():
    with pytest.raises(ExceptionGroup) as caught:
        raise ExceptionGroup(SAID, [ConfigurationError("a"), ValueError(SAID)])
    error = caught.value
    error.__context__, error.exceptions[0].__context__ = error.exceptions[0], error
    shown = presentable(error)
    assert isinstance(shown, BaseExceptionGroup)
    assert [type(one).__name__ for one in shown.exceptions] == ["ConfigurationError", "ValueError"]
    assert isinstance(shown.exceptions[0], VoipsyncError)
    assert "Jane of" not in str(shown.exceptions[1])
    assert shown.__traceback__ is not None


def test_a_task_lets_out_only_what_may_be_read():
    with pytest.raises(Exception, match=r"^\[personal\]") as caught, discreet():
        raise ValueError(SAID)
    assert caught.type.__name__ == "ValueError"
    assert __file__ in {str(entry.path) for entry in caught.traceback}
    ours = ConfigurationError("x")
    with pytest.raises(ConfigurationError) as same, discreet():
        raise ours
    assert same.value is ours
    with pytest.raises(asyncio.CancelledError), discreet():
        raise asyncio.CancelledError


def test_neither_asyncio_nor_sqlalchemy_shows_contents(caplog):
    caplog.set_level(logging.DEBUG, "sqlalchemy.engine.Engine")
    logging.getLogger("asyncio").error("lost: %s", f"<Task finished exception=ValueError({SAID!r})>")
    logging.getLogger("sqlalchemy.engine.Engine").debug("Row %r", ("Jane",))
    assert [record.getMessage() for record in caplog.records] == ["lost: <Task finished exception=…", "a row"]


CRASH = """
import sys, threading, warnings
from tasks.outlets import guard
guard()
guard()
warnings.warn("of j@d.io")
def fail():
    raise ValueError("Jane of j@d.io")
thread = threading.Thread(target=fail)
thread.start()
thread.join()
fail()
"""


def test_what_nobody_catches_is_shown_without_its_text():
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", CRASH],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("ValueError: [personal]") == 2
    assert "UserWarning: of [e-mail]" in done.stderr
    assert "j@d.io" not in done.stderr
