"""What is wrong is told at once, in one line, and looking around needs no Prefect: real processes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.command import TOKEN, Command, Ran

Make = Callable[..., Command]
AT_ONCE = 3.0
"""Seconds within which a mistake is told."""
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


@pytest.mark.parametrize("seconds", ["-1", "nan", "soon"])
def test_a_wait_that_is_no_number_of_seconds_is_exit_code_2(quick: Command, seconds: str) -> None:
    ran = quick.run("sync", "acme", "--wait", seconds)
    assert (ran.code, ran.out) == (2, "")
    assert "Invalid value for '--wait'" in ran.err


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
    says = "unknown account 'acmee': the configuration has acme"
    assert_a_slip(quick.run("sync", "acmee"), says)
    assert_a_slip(quick.run("sync", "acmee", PREFECT_API_URL="", VOIPSYNC_CONFIG=""), says)


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


def test_a_file_that_is_no_ledger_is_told_with_its_setting(quick: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Remember the milk.\n" * 99, encoding="utf-8")
    ran = quick.run("status", "acme", VOIPSYNC_STATE__URL=f"sqlite:///{tmp_path}/notes.txt")
    assert (ran.code, ran.out, ran.err) == (1, "", ran.line + "\n")
    assert ran.line.endswith("(file is not a database): state.url names a file that is no ledger")


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


def test_a_file_that_cannot_be_written_is_told_before_anything_is_done(quick: Command) -> None:
    for command in (("plan", "acme", "--out"), ("undo", "acme", "1", "--out")):
        for path in ("no/such/folder/file", ""):
            ran = quick.run(*command, path)
            assert (ran.code, ran.out) == (2, "")
            assert "there is no folder for it" in ran.err


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
        "operations", "plan", "purge", "report", "review", "sandbox", "sandbox serve", "status", "sync",
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


def test_what_a_terminal_cannot_show_is_escaped(quick: Command, box: Box) -> None:
    contact_id = box.insert("contacts", firstName="Zoe \u2192 \U0001f600", email="zoe@example.com")["id"]
    call = ("call", "acme", "get-contact", f"contactId={contact_id}", "--clear")
    ran = quick.run(*call, alone=True, PYTHONIOENCODING="latin-1")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out)["contact"]["firstName"] == "Zoe \u2192 \U0001f600"


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
