"""The command as a user meets it: real processes, the sandbox over HTTP, a real Prefect API."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tasks.engine.report import COUNTS
from tasks.settings import ENTITIES
from tests.support.command import TOKEN, Command, Ran, Running
from tests.support.truth import check

Make = Callable[..., Command]
NOWHERE = "http://127.0.0.1:9"


# runs that take long, most of it waiting, go on while other tests run


@dataclass(frozen=True, slots=True)
class Background:
    """Runs under way: one with Prefect's temporary API, and those bound to fail, by what is wrong."""

    alone: Command
    runs: dict[str, Running]


@pytest.fixture(scope="module")
def temporary_home(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Where Prefect's temporary API keeps its database; making it takes some seconds, once."""
    return str(tmp_path_factory.mktemp("temporary"))


@pytest.fixture(scope="module", autouse=True)
def background(prefect_api: str, command: Make, temporary_home: str) -> Iterator[Background]:
    with (
        Sandbox.threaded(contacts=8, burst=5000) as sound,
        Sandbox.threaded(contacts=8, burst=5000) as mute_source,
        Sandbox.threaded(contacts=8, burst=5000) as mute_destination,
    ):
        mute_source.fault("hang", service="voipstudio")
        mute_destination.fault("hang", service="highlevel")

        def start(box: Box, *, env: dict[str, str] | None = None, **changes: str) -> Running:
            made = command(PREFECT_API_URL=prefect_api).configure(box, **changes)
            return made.start("sync", "acme", "--json", **(env or {}))

        lonely = command(PREFECT_API_URL=f"{NOWHERE}/api").configure(sound)
        alone = command("alone", PREFECT_HOME=temporary_home).configure(sound)
        runs = {
            "temporary API": alone.start("sync", "alone", "--json", alone=True),
            "no Prefect": lonely.start("sync", "acme"),
            "source is not there": start(sound, source=f"{NOWHERE}/v1.2/voipstudio"),
            "source never answers": start(mute_source),
            "destination never answers": start(mute_destination),
            "wrong key": start(sound, env={"VOIPSYNC_CHECK_API_KEY": "0" * 40}),
            "wrong token": start(sound, env={TOKEN: "pit-0000"}),
            "wrong location": start(sound, location="another"),
        }
        try:
            yield Background(alone, runs)
        finally:
            for run in runs.values():
                run.child.terminate()  # a run that is killed leaves Prefect's temporary API behind
                run.end(within=300)


def test_a_sync_prints_one_json_document_with_prefects_temporary_api(background: Background) -> None:
    made = background.alone
    ran = background.runs["temporary API"].end(within=200)
    report = ran.json
    assert (ran.code, report["status"], report["account"], report["mode"]) == (
        0,
        "ok",
        "alone",
        "incremental",
    )
    assert set(report["entities"]) == set(ENTITIES)
    for counts in report["entities"].values():
        assert set(counts) == set(COUNTS)
        done = [counts[name] for name in COUNTS if name not in ("read", "recovered")]
        assert sum(done) == counts["read"] > 0
    created = report["entities"]["contacts"]["created"]
    assert set(report["requests"]) == {
        "source", "destination_reads", "destination_writes", "destination_least", "throttled", "retried",
    }  # fmt: skip
    assert report["requests"]["destination_writes"] > created > 0
    assert report["seconds"] > 0
    assert "Traceback" not in ran.err

    status = made.run("status", "--json").json["accounts"]
    assert [one["account"] for one in status] == ["alone"]
    assert status[0]["runs"][0]["run_id"] == report["run_id"]
    assert status[0]["open"] == 0
    shown = made.run("status", "alone").out
    assert report["run_id"] in shown
    assert f"contacts: {created} synced" in shown


def test_what_prefects_temporary_api_keeps_is_for_its_owner_alone(
    background: Background, temporary_home: str
) -> None:
    background.runs["temporary API"].end(within=200)
    kept = list(Path(temporary_home).glob("prefect.db*"))
    assert kept
    assert [path.name for path in kept if path.stat().st_mode & 0o077] == []


def test_a_refused_record_is_exit_code_3(with_a_refusal: Ran) -> None:
    report = with_a_refusal.json
    assert (with_a_refusal.code, report["status"]) == (3, "degraded")
    assert report["entities"]["contacts"]["rejected"] == 1
    assert [one for one in report["warnings"] if one.startswith("contacts: 1 rejected (")]
    assert "Traceback" not in with_a_refusal.err


def test_a_prefect_api_that_is_not_there_is_one_line(background: Background) -> None:
    ran = background.runs["no Prefect"].end()
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == ran.line + "\n"
    assert "check PREFECT_API_URL" in ran.line


@pytest.fixture(scope="module")
def slow() -> Iterator[Box]:
    """A sandbox that takes its time for each answer of the destination, until told otherwise."""
    with Sandbox.threaded(contacts=70, burst=5000) as running:
        running.options(highlevel={"latency": 0.8})
        yield running


@dataclass(frozen=True, slots=True)
class Handover:
    """What happened when three processes wanted one location, and the first was told to stop."""

    stopped: Ran
    stopped_after: float
    refused: Ran
    waited: Ran
    ledger: str


@pytest.fixture(scope="module")
def handover(prefect_api: str, command: Make, slow: Box) -> Handover:
    made = command(PREFECT_API_URL=prefect_api).configure(slow)
    first = made.start("sync", "acme", "--json")
    _until(lambda: slow.writes().get("create-contact", 0) > 0)
    slow.options(highlevel={"latency": 2.0})  # so that it is at work for as long as the others need to start
    refused = made.start("sync", "acme", "--no-wait")
    waiting = made.start("sync", "acme", "--json")
    waiting.says("waiting for run")
    refused_ran = refused.end()
    first.signal(signal.SIGTERM)
    sent = time.monotonic()
    stopped = first.end()
    stopped_after = time.monotonic() - sent
    slow.options(highlevel={"latency": 0.0})
    return Handover(stopped, stopped_after, refused_ran, waiting.end(90), made.ledger)


def _until(condition: Callable[[], bool], within: float = 40.0) -> None:
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_sigterm_ends_a_run_with_a_report(handover: Handover) -> None:
    report = handover.stopped.json
    assert (handover.stopped.code, report["status"]) == (1, "failed")
    assert handover.stopped_after < 30
    assert report["warnings"][0].startswith("stopped by SIGTERM")
    assert report["entities"]["contacts"]["created"] > 0
    assert "Traceback" not in handover.stopped.err


def test_no_wait_names_the_other_run_and_ends(handover: Handover) -> None:
    holder = handover.stopped.json["run_id"]
    assert (handover.refused.code, handover.refused.out) == (1, "")
    assert f"the location is held by run {holder}" in handover.refused.line
    assert "Traceback" not in handover.refused.err


def test_a_second_run_waits_for_the_first_and_finishes_its_work(handover: Handover, slow: Box) -> None:
    holder = handover.stopped.json["run_id"]
    (line,) = [line for line in handover.waited.err.splitlines() if "waiting for" in line]
    assert f"waiting for run {holder}" in line
    assert (handover.waited.code, handover.waited.json["status"]) == (0, "ok")
    assert handover.waited.json["entities"]["contacts"]["unchanged"] > 0
    assert check(slow, handover.ledger) == []


def test_ctrl_c_on_a_terminal_spares_the_temporary_api_and_ends_the_run(
    command: Make, slow: Box, temporary_home: str
) -> None:
    slow.options(highlevel={"latency": 0.5})
    slow.reset_counters()
    made = command(PREFECT_HOME=temporary_home).configure(slow)
    run = made.start("sync", "acme", alone=True)
    _until(lambda: slow.counters()["highlevel"]["requests"] > 2)
    run.signal(signal.SIGINT, group=True)
    sent = time.monotonic()
    ran = run.end()
    assert time.monotonic() - sent < 30
    assert ran.code == 1
    assert "stopped by SIGINT" in ran.out
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_before_the_run_has_begun_is_exit_code_1(
    command: Make, slow: Box, prefect_api: str, number: signal.Signals
) -> None:
    made = command(PREFECT_API_URL=prefect_api).configure(slow)
    run = made.start("sync", "acme", alone=True)
    _until((made.folder / "ledger.db").exists)
    time.sleep(0.3)  # Prefect is being imported
    run.signal(number)
    ran = run.end()
    assert ran.code == 1
    if "Beginning flow run" not in ran.err:  # the machine was fast enough
        assert ran.line == "voipsync: stopped"
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("what", "parts"),
    [
        ("source is not there", ("VoIPstudio", "gives no useful answer", "check base_url")),
        ("source never answers", ("VoIPstudio", "gives no useful answer (no answer (time-out))")),
        ("destination never answers", ("HighLevel", "gives no useful answer (no answer (time-out))")),
        ("wrong key", ("VoIPstudio refuses the key of accounts.acme.source.api_key", "HTTP 401")),
        ("wrong token", ("HighLevel refuses", "HTTP 401", "destination.token")),
        ("wrong location", ("HighLevel refuses", "HTTP 403", "check destination.location_id")),
    ],
)
def test_a_service_that_does_not_work_ends_the_run_with_one_clear_line(
    background: Background, what: str, parts: tuple[str, ...]
) -> None:
    ran = background.runs[what].end()
    report = ran.json
    assert (ran.code, report["status"]) == (1, "failed")
    for part in parts:
        assert part in report["warnings"][0]
    assert "\n" not in report["warnings"][0]
    assert report["requests"]["destination_writes"] == 0
    assert "Traceback" not in ran.err
