"""The command as a user meets it: real processes, the sandbox over HTTP, a real Prefect API."""

from __future__ import annotations

import json
import re
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
AT_ONCE = 3.0
"""Seconds within which a mistake is told."""
NOWHERE = "http://127.0.0.1:9"
ANNE = {"firstName": "Anne", "lastName": "Hall", "email": "anne@example.com", "phone": "+442071838750"}


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Sandbox.threaded(contacts=12, burst=5000) as running:
        yield running


@pytest.fixture(scope="module")
def no_prefect(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder for PYTHONPATH in front of which importing Prefect fails."""
    folder = tmp_path_factory.mktemp("no_prefect")
    (folder / "prefect").mkdir()
    (folder / "prefect" / "__init__.py").write_text('raise SystemExit("Prefect was imported")\n')
    return str(folder)


@pytest.fixture
def quick(command: Make, box: Box, no_prefect: str) -> Command:
    """A configured command that cannot import Prefect."""
    return command(PYTHONPATH=no_prefect).configure(box)


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
            "no Prefect": lonely.start("sync", "acme", alone=True),
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


# mistakes in the configuration and in arguments

SECTIONS = {"source": "[accounts.acme.source]", "mapping": "[accounts.acme.mapping]"}
MISTAKES = {
    "unknown key": (
        (SECTIONS["source"], SECTIONS["source"] + '\ntimezome = "UTC"'),
        ("accounts.acme.source.timezome: unknown key", "did you mean 'timezone'?", "allowed: activity_scan"),
    ),
    "unknown section": (
        ("[state]", "[stat]\nx = 1\n[state]"),
        ("stat: unknown key", "did you mean 'state'?"),
    ),
    "a secret in clear": (
        ('"${VOIPSYNC_CHECK_TOKEN}"', '"pit-secret-0123"'),
        ("accounts.acme.destination.token: is a secret", "file:PATH"),
    ),
    "http to another machine": (
        ('base_url = "http://127.0.0.1', 'base_url = "http://10.0.0.1'),
        ("accounts.acme.source.base_url: must be https://",),
    ),
    "no time zone": (
        ('timezone = "Europe/London"', 'timezone = "Europe/Londn"'),
        ("accounts.acme.source.timezone: is no IANA time zone", "did you mean 'Europe/London'?"),
    ),
    "no country": (
        ('default_country = "GB"', 'default_country = "UK"'),
        ("accounts.acme.mapping.default_country: is no ISO 3166 country code",),
    ),
    "deletes, in a word of their own": (
        (SECTIONS["mapping"], SECTIONS["mapping"] + '\ndeletes = "remove"'),
        ("accounts.acme.mapping.deletes: input should be 'ignore', 'tag' or 'delete'",),
    ),
    "a field rule with two origins": (
        (
            SECTIONS["mapping"],
            SECTIONS["mapping"] + '\nfields = { website = { source = "id", template = "{id}" } }',
        ),
        ("accounts.acme.mapping.fields.website: takes source or template, not both",),
    ),
    "a template of unknown fields": (
        (SECTIONS["mapping"], SECTIONS["mapping"] + '\nfields = { website = { template = "{url}" } }'),
        ("accounts.acme.mapping.fields.website.template: names {url}, which is none of id, first_name",),
    ),
    "a route without an action": (
        (SECTIONS["mapping"], SECTIONS["mapping"] + '\nroutes = [{ tag = "vip" }]'),
        ("accounts.acme.mapping.routes.0: needs exactly one of workflow, event, webhook",),
    ),
    "malformed TOML": (
        ("[state]", "[state"),
        ("is not valid TOML", "line 1"),
    ),
    "no database URL": (
        ('url = "sqlite:///', 'url = "ledger.db?'),
        ("state.url is no database URL",),
    ),
    "another database": (
        ('url = "sqlite:///', 'url = "mysql:///'),
        ("state.url: mysql is not supported; use sqlite or postgresql",),
    ),
}


def assert_a_slip(ran: Ran, *parts: str) -> None:
    """Exit code 2 and one line that says what is wrong, at once."""
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == ran.line + "\n"
    for part in parts:
        assert part in ran.line


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_the_configuration_is_one_line_and_exit_code_2(quick: Command, mistake: str) -> None:
    (right, wrong), parts = MISTAKES[mistake]
    text = quick.path.read_text(encoding="utf-8")
    quick.path.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    assert quick.path.read_text(encoding="utf-8") != text
    ran = quick.run("sync", "acme")
    assert_a_slip(ran, *parts)
    assert "pit-secret" not in ran.err


def test_a_mistake_is_told_at_once(quick: Command) -> None:
    assert min(quick.run("sync", "nobody", alone=True).seconds for _ in range(3)) < AT_ONCE


def test_two_accounts_in_one_location_need_different_id_fields(quick: Command) -> None:
    text = quick.path.read_text(encoding="utf-8")
    quick.path.write_text(text + text[text.index("[acc") :].replace("acme", "beta"), encoding="utf-8")
    assert_a_slip(quick.run("sync", "beta"), "share a location", "accounts.beta.mapping.id_field")
    more = "id_field = 'VoIPstudio ID of beta'\n"
    quick.path.write_text(quick.path.read_text(encoding="utf-8") + more, encoding="utf-8")
    assert quick.run("status").code == 0


def test_a_missing_file_names_the_place_and_the_example(quick: Command) -> None:
    assert_a_slip(
        quick.run("sync", "acme", "--config", "no.toml"), "no configuration at", "voipsync.example.toml"
    )


def test_an_unknown_account_is_told_with_those_there_are(quick: Command) -> None:
    assert_a_slip(quick.run("sync", "acmee"), "unknown account 'acmee': the configuration has acme")


@pytest.mark.parametrize("value", ["", "  ", "pit-smart\u2019quote"])
def test_a_secret_that_is_missing_or_no_secret_is_named_by_its_key(quick: Command, value: str) -> None:
    ran = quick.run("sync", "acme", **{TOKEN: value})
    assert_a_slip(ran, "accounts.acme.destination.token: environment variable", TOKEN)
    assert "smart" not in ran.err


def test_a_ledger_in_a_folder_that_is_not_there_fails_at_once(quick: Command) -> None:
    ran = quick.run("sync", "acme", VOIPSYNC_STATE__URL="sqlite:////no/such/folder/ledger.db")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == ran.line + "\n"
    assert "state.url: cannot open /no/such/folder/ledger.db" in ran.line


def test_the_environment_overrides_the_file(quick: Command) -> None:
    ran = quick.run("sync", "acme", VOIPSYNC_ACCOUNTS__ACME__SOURCE__TIMEZONE="Mars")
    assert_a_slip(ran, "accounts.acme.source.timezone: is no IANA time zone")
    quick.run("db", "upgrade", VOIPSYNC_STATE__URL=f"sqlite:///{quick.folder}/other.db")
    assert (quick.folder / "other.db").exists()
    assert not (quick.folder / "ledger.db").exists()


@pytest.mark.parametrize("before", [True, False])
def test_config_is_taken_before_and_after_the_command(
    quick: Command, tmp_path: Path, *, before: bool
) -> None:
    elsewhere = quick.path.rename(tmp_path / "elsewhere.toml")
    option = ("--config", str(elsewhere))
    ran = quick.run(*option, "status") if before else quick.run("status", *option)
    assert (ran.code, ran.out, ran.err) == (0, "acme: never synced\n", "")


def test_a_wrong_argument_is_exit_code_2(quick: Command) -> None:
    ran = quick.run("sync", "acme", "--only", "contacts,calls")
    assert ran.code == 2
    assert "calls: choose from contacts, notes, tasks, appointments" in ran.err
    assert quick.run("sync", "acme", "--mode", "everything").code == 2
    assert quick.run("sing").code == 2


def test_every_command_explains_itself_without_prefect(quick: Command) -> None:
    def commands(*above: str) -> Iterator[tuple[str, ...]]:
        ran = quick.run(*above, "--help")
        assert (ran.code, ran.err) == (0, ""), above
        assert len(ran.out.splitlines()) >= 4, above
        yield above
        if "Commands:\n" in ran.out:
            for line in ran.out.partition("Commands:\n")[2].splitlines():
                yield from commands(*above, line.split()[0])

    found = {" ".join(one) for one in commands()}
    assert found == {
        "", "apply", "auth", "auth highlevel", "auth highlevel connect", "auth rotate", "auth status",
        "auth voipstudio", "auth voipstudio login", "call", "db", "db upgrade", "demo", "doctor", "link",
        "operations", "plan", "report", "review", "sandbox", "sandbox serve", "status", "sync",
        "explain", "undo", "verify", "retry", "backfill", "init",
    }  # fmt: skip


# looking around, without Prefect


def test_operations_lists_method_path_and_scope(quick: Command) -> None:
    ran = quick.run("operations")
    rows = [line.split() for line in ran.out.splitlines()]
    assert rows[0] == ["name", "method", "path", "scope"]
    assert ["create-note", "POST", "/contacts/{contactId}/notes", "contacts.write"] in rows
    listed = json.loads(quick.run("operations", "--json").out)
    assert [row["name"] for row in listed] == [row[0] for row in rows[1:]]
    assert len(listed) >= 36


def test_call_prints_the_answer_without_personal_data(quick: Command, box: Box) -> None:
    contact_id = box.insert("contacts", **ANNE)["id"]
    ran = quick.run("call", "acme", "get-contact", f"contactId={contact_id}")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["contact"]["id"] == contact_id
    for value in ANNE.values():
        assert value.lower() not in ran.out.lower()
    clear = quick.run("call", "acme", "get-contact", f"contactId={contact_id}", "--clear")
    assert ANNE.items() <= json.loads(clear.out)["contact"].items()
    assert box.token not in clear.out


def test_call_sends_json_values_as_json_and_others_as_text(quick: Command, box: Box) -> None:
    contact_id = box.insert("contacts", firstName="Bob", email="bob@example.com")["id"]
    ran = quick.run("call", "acme", "add-tags", f"contactId={contact_id}", 'tags=["vip", "07"]')
    assert ran.code == 0
    assert set(box.contact(contact_id)["tags"]) == {"vip", "07"}
    assert quick.run("call", "acme", "update-contact", f"contactId={contact_id}", "lastName=12").code == 0
    assert box.contact(contact_id)["lastName"] == "12"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("get-nothing",), "unknown operation 'get-nothing': `voipsync operations` lists them"),
        (("get-contact",), "get-contact needs contactId"),
        (("get-contact", "contactId"), "'contactId' is not key=value"),
        (("get-contact", "contactId=1", "colour=red"), "takes no colour (it takes: contactId)"),
        (("add-tags", "contactId=1", "tags=vip"), "add-tags: tags: "),
    ],
)
def test_a_call_that_cannot_be_made_is_exit_code_2(
    quick: Command, arguments: tuple[str, ...], part: str
) -> None:
    assert_a_slip(quick.run("call", "acme", *arguments), part)


def test_a_call_that_is_refused_is_exit_code_1(quick: Command) -> None:
    ran = quick.run("call", "acme", "get-contact", "contactId=nobody")
    assert (ran.code, ran.err) == (1, ran.line + "\n")
    assert "get-contact: " in ran.line
    ran = quick.run("call", "acme", "get-contact", "contactId=nobody", **{TOKEN: "pit-0000"})
    assert (ran.code, ran.err) == (1, ran.line + "\n")
    assert "HTTP 401" in ran.line
    assert "pit-0000" not in ran.err


def test_db_upgrade_says_whether_it_did_anything(quick: Command) -> None:
    first, second = quick.run("db", "upgrade"), quick.run("db", "upgrade")
    assert re.fullmatch(r"the ledger is at revision \w+\n", first.out)
    assert second.out == first.out.replace("\n", " already\n")
    assert (first.code, second.code, first.err + second.err) == (0, 0, "")
    assert (quick.folder / "ledger.db").stat().st_mode & 0o777 == 0o600


# real runs


def test_a_sync_prints_one_json_document_with_prefects_temporary_api(background: Background) -> None:
    made = background.alone
    ran = background.runs["temporary API"].end(within=110)
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
    background.runs["temporary API"].end(within=110)
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
    ran = background.runs[what].end(within=60)
    report = ran.json
    assert (ran.code, report["status"]) == (1, "failed")
    for part in parts:
        assert part in report["warnings"][0]
    assert "\n" not in report["warnings"][0]
    assert report["requests"]["destination_writes"] == 0
    assert "Traceback" not in ran.err
