"""``voipsync init``: what it writes, what it asks, and what it does with a wrong answer."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from flows.cli import main
from sandbox.client import Box
from sandbox.serve import Sandbox
from tasks.engine.drafts import TEMPLATES, example, render
from tasks.settings import load

KEY, TOKEN = "VOIPSYNC_CHECK_API_KEY", "VOIPSYNC_CHECK_TOKEN"


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Sandbox.threaded(contacts=2, burst=5000) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box: Box) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(KEY, box.api_key)
    monkeypatch.setenv(TOKEN, box.token)
    monkeypatch.setenv("VOIPSYNC_CONFIG", "")  # what the command sets is taken back
    return tmp_path / "voipsync.toml"


def run(box: Box, *arguments: str, given: str | None = None, **env: str) -> Result:
    services = ["--source-url", box.voipstudio_url, "--destination-url", box.highlevel_url]
    return CliRunner().invoke(main, ["init", *services, *arguments], input=given, env=env)


def answers(box: Box, **changes: str) -> list[str]:
    told = {
        "--account": "acme",
        "--location-id": box.location_id,
        "--calendar-id": box.calendar_id,
        "--api-key": f"${{{KEY}}}",
        "--token": f"${{{TOKEN}}}",
        "--timezone": "Europe/London",
        "--country": "GB",
    }
    told |= {f"--{name.replace('_', '-')}": value for name, value in changes.items()}
    return [part for pair in told.items() for part in pair]


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_a_configuration_with_all_its_comments(name: str, tmp_path: Path) -> None:
    template = TEMPLATES[name]
    accounts: dict[str, Any] = {"north": {("destination", "location_id"): "abc"}}
    if template.several:
        accounts["south"] = {("destination", "location_id"): "def", ("source", "api_key"): None}
    (tmp_path / "c.toml").write_text(render(template, accounts), encoding="utf-8")
    settings = load(tmp_path / "c.toml")
    assert set(settings.accounts) == set(accounts)
    for (table, key), value in template.values.items():
        found = getattr(getattr(settings.account("north"), table), key)
        assert (found.model_dump() if hasattr(found, "model_dump") else found) == value
    text = (tmp_path / "c.toml").read_text(encoding="utf-8")
    assert "acme" not in text.replace("ACME", "")
    shown = [line for line in example().splitlines() if line.startswith("# ") and " = " in line]
    lost = [line for line in shown if line.split(" = ")[0].strip("# ") not in text]
    assert lost == []


def test_an_answer_takes_no_other_line_with_it() -> None:
    where = {("destination", "location_id"): "abc"}
    urls = {(table, "base_url"): "https://example.com" for table in ("source", "destination")}
    answered = {**where, **urls, ("destination", "calendar_id"): "def"}
    template = TEMPLATES["activities"]
    plain = render(template, {"north": where}).splitlines()
    made = render(template, {"north": answered}, "postgresql+psycopg://user@host/voipsync").splitlines()
    assert len(made) == len(plain)
    changed = [new for old, new in zip(plain, made, strict=True) if old != new]
    assert [line.split(" = ")[0] for line in changed] == ["url", "base_url", "calendar_id", "base_url"]


def test_all_by_options_and_nothing_is_asked(place: Path, box: Box) -> None:
    ran = run(box, "--yes", *answers(box))
    assert ran.exit_code == 0, ran.output
    assert "was assumed" not in ran.output
    assert "ok      highlevel location: the credential is for location" in ran.output
    assert "ok      calendar: the calendar is there" in ran.output
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    text = place.read_text(encoding="utf-8")
    assert box.api_key not in text
    assert box.token not in text
    account = load(place).account("acme")
    assert account.source.api_key == f"${{{KEY}}}"
    assert account.destination.calendar_id == box.calendar_id
    before = place.read_bytes()
    again = run(box, "--yes", *answers(box))
    assert (again.exit_code, "is there already" in again.output) == (2, True)
    assert place.read_bytes() == before


def test_the_environment_answers_too(place: Path, box: Box) -> None:
    env = {"VOIPSYNC_INIT_LOCATION_ID": box.location_id, "VOIPSYNC_INIT_TOKEN": f"${{{TOKEN}}}"}
    ran = run(box, "--yes", "--template", "contacts", "--account", "acme", "--api-key", f"${{{KEY}}}", **env)
    assert ran.exit_code == 0, ran.output
    assert load(place).account("acme").source.streams.notes == "off"
    assert "next: timezone = UTC was assumed: change it in voipsync.toml where that is wrong" in ran.output
    assert "next: default_country = US was assumed" in ran.output


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"location_id": "another"}, "highlevel location"),
        ({"token": "${VOIPSYNC_CHECK_WRONG}"}, "highlevel credential"),
        ({"calendar_id": "nowhere"}, "calendar"),
        ({"timezone": "Europe/Londn"}, "accounts.acme.source.timezone: is no IANA time zone"),
        ({"api_key": "0123456789abcdef0123"}, "a reference, ${NAME}, file:PATH"),
        ({"location_id": ""}, "--location-id: is missing"),
        ({"account": "Acme"}, "--account: 'Acme' is no name"),
    ],
)
def test_a_wrong_answer_writes_nothing(place: Path, box: Box, changes: dict[str, str], told: str) -> None:
    ran = run(box, "--yes", *answers(box, **changes), VOIPSYNC_CHECK_WRONG="pit-0")
    assert (ran.exit_code, told in ran.output) == (2, True), ran.output
    assert "0123456789abcdef0123" not in ran.output
    assert not place.exists()


def test_without_checks_nobody_is_asked(place: Path) -> None:
    nowhere = ["--source-url", "http://127.0.0.1:9", "--destination-url", "http://127.0.0.1:9"]
    told = ["--yes", "--no-check", "--account", "acme", "--location-id", "abc"]
    ran = CliRunner().invoke(main, ["init", *nowhere, *told])
    assert (ran.exit_code, place.exists()) == (0, True), ran.output


def test_a_person_is_asked_again_until_it_holds(place: Path, box: Box) -> None:
    said = [
        "history",
        "acme",
        "UTC",
        "${NOT_SET_ANYWHERE}",
        "wrong",
        f"${{{TOKEN}}}",
        "y",
        "",
        box.location_id,
        "",
        box.calendar_id,
        "GB",
    ]
    ran = run(box, given="\n".join(said) + "\n")
    assert ran.exit_code == 0, ran.output
    assert "not tried: accounts.acme.source.api_key: environment variable NOT_SET_ANYWHERE" in ran.output
    assert "wrong   highlevel location" in ran.output
    assert f"  {box.calendar_id}  " in ran.output
    account = load(place).account("acme")
    assert account.source.activity_scan == "all"
    assert account.destination.location_id == box.location_id


def test_several_accounts_have_secrets_of_their_own(place: Path, box: Box) -> None:
    told = ["--yes", "--no-check", "--template", "locations", "--account", "north", "--account", "south"]
    ran = run(box, *told, "--location-id", "abc", "--location-id", "def", "--token", "-")
    assert ran.exit_code == 0, ran.output
    settings = load(place)
    assert settings.account("south").destination.location_id == "def"
    assert settings.account("south").source.api_key == "${SOUTH_VOIPSTUDIO_API_KEY}"
    assert "next: voipsync auth highlevel connect north\n" in ran.output
    assert ran.output.endswith("next: voipsync doctor\n")
    ran = run(box, *told[:2], "--account", "a", "--location-id", "abc", "--token", "-", "--out", "other.toml")
    assert "next: voipsync auth highlevel connect a --config other.toml\n" in ran.output
    assert ran.output.endswith("next: voipsync doctor --config other.toml\n")
    place.with_name("other.toml").unlink()
    refused = run(box, *told[:2], "--account", "a", "--account", "b", "--out", "other.toml")
    assert (refused.exit_code, "--template locations" in refused.output) == (2, True)
