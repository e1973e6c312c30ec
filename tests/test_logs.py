"""Structured logs: one JSON object a line, each saying what it is about, and nothing of anybody."""

from __future__ import annotations

import io
import json
import logging
import sys

import pytest

from sandbox.serve import Sandbox
from tasks import logs, outlets
from tasks.errors import ConfigurationError
from tests.engine.test_identity import person
from tests.support.accounts import sync

SAID = "Jane Doe"


class Told(io.StringIO):
    """What stderr was told, line by line."""

    def __call__(self):
        return [json.loads(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def told(monkeypatch):
    """Everything is arranged as for a process of ours, and as it was afterwards."""
    factory, root, shown = logging.getLogRecordFactory(), logging.getLogger(), Told()
    handlers, levels = [*root.handlers], {name: logging.getLogger(name).level for name in logs.OURS}
    monkeypatch.setenv(logs.FORMAT, "json")
    monkeypatch.setattr(sys, "stderr", shown)
    logging.setLogRecordFactory(outlets._Redacted)
    root.handlers[:] = [logging.StreamHandler()]
    logs.arrange()
    yield shown
    logging.setLogRecordFactory(factory)
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def test_a_line_is_an_object_that_says_what_it_is_about(told):
    with logs.about(account="acme", run="20261123T180705-52c9e7"), logs.about(flow_run="f"):
        about = {"entity": "notes", "source_id": "1234567/12345678"}
        logging.getLogger("tasks.x").info("%s said\nso", "j@d.io", extra=about)
    logging.getLogger("other").warning("outside")
    inside, outside = told()
    assert inside.pop("time").endswith("Z")
    assert inside == {
        "level": "INFO",
        "logger": "tasks.x",
        "message": "[e-mail] said\nso",
        "account": "acme",
        "run": "20261123T180705-52c9e7",
        "flow_run": "f",
        **about,
    }
    assert set(outside) == {"time", "level", "logger", "message"}


def test_an_exception_is_in_its_line_without_what_it_quotes(told):
    try:
        raise ValueError(SAID)  # noqa: TRY301 - to be logged
    except ValueError:
        logging.getLogger("tasks.x").exception("it broke")
    (line,) = told()
    assert "ValueError" in line["exception"]
    assert "Jane" not in str(line)


def test_what_others_show_on_stderr_is_replaced(told, monkeypatch):
    monkeypatch.setattr(sys, "stderr", told)
    logging.getLogger("prefect.x").addHandler(logging.StreamHandler())
    logs.arrange()
    logging.getLogger("prefect.x").propagate = False
    logging.getLogger("prefect.x").warning("once")
    logging.getLogger("prefect.x").handlers.clear()
    assert [line["message"] for line in told()] == ["once"]


def test_an_error_of_the_command_is_a_line_like_the_others(told, monkeypatch):
    assert json.loads(logs.line("unknown account"))["message"] == "unknown account"
    monkeypatch.setenv(logs.FORMAT, "text")
    assert logs.line("unknown account") == "voipsync: unknown account"


def test_another_format_is_refused(monkeypatch):
    monkeypatch.setenv(logs.FORMAT, "xml")
    with pytest.raises(ConfigurationError, match="VOIPSYNC_LOG_FORMAT: must be text or json"):
        logs.arrange()
    assert logs.line("so") == "voipsync: so"


async def test_a_runs_lines_name_it_and_its_account_and_the_record(told, tmp_path):
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        person(box, "Ann", email="ann@example.com")
        box.insert_source("contacts", first_name={"not": "a name"}, email="bob@example.com")
        report = await sync(box, f"sqlite:///{tmp_path}/ledger.db")
    said = [line for line in told() if line["logger"].startswith("tasks.")]
    assert {(line["run"], line["account"]) for line in said} == {(report.run_id, "acme")}
    (refused,) = [line for line in said if "source_id" in line]
    assert (refused["entity"], refused["source_id"], refused["level"]) == ("contacts", "2", "WARNING")
    assert f"run {report.run_id} of acme: degraded" in [line["message"] for line in said]
    assert "example.com" not in str(said)
