"""``voipsync init``: writes a configuration from a template; asks what it needs, and tries the answers."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flows.cli_connect import connect
from flows.cli_login import login
from tasks import settings as configuration
from tasks.engine.drafts import TEMPLATES, Template, Value, Where, env_name, render
from tasks.errors import ConfigurationError
from tasks.settings import Settings
from tasks.values import resolve_secret

if TYPE_CHECKING:
    from tasks.engine.checks.finding import Finding


@dataclass(frozen=True, slots=True)
class Question:
    """One thing to be asked.

    Attributes:
        where: the key that the answer goes to.
        option: the option, or its environment variable, that answers it.
        text: what is asked.
        default: what holds where nothing is answered; empty: a line is taken out of use.
        needed: whether there must be an answer.
    """

    where: Where
    option: str
    text: str
    default: str = ""
    needed: bool = False


DEFAULT = Path("voipsync.toml")
KEPT = "-: it is kept in the ledger, encrypted"
SOURCE = (
    Question(("source", "base_url"), "source_url", "VoIPstudio's address (empty: the usual one)"),
    Question(("source", "timezone"), "timezone", "Zone of VoIPstudio's times", "UTC"),
    Question(("source", "api_key"), "api_key", f"Reference to the API key ({KEPT})", "${VOIPSTUDIO_API_KEY}"),
)
DESTINATION = (
    Question(("destination", "base_url"), "destination_url", "HighLevel's address (empty: the usual one)"),
    Question(
        ("destination", "location_id"),
        "location_id",
        "Id of the location (Settings, Business Profile)",
        "",
        True,
    ),
    Question(("destination", "token"), "token", f"Reference to the token ({KEPT})", "${HIGHLEVEL_TOKEN}"),
)
CALENDAR = (
    Question(("destination", "calendar_id"), "calendar_id", "Id of the calendar (empty: no appointments)"),
)
MAPPING = (Question(("mapping", "default_country"), "country", "Country of phone numbers without one", "US"),)
ROUNDS = (
    (SOURCE, ("voipstudio credential", "voipstudio streams")),
    (DESTINATION, ("highlevel credential", "highlevel location", "highlevel scopes")),
    (CALENDAR, ("calendar",)),
    (MAPPING, ()),
)
"""What is asked together, and the doctor's checks of that."""
SECRETS = {("source", "api_key"): login, ("destination", "token"): connect}
"""Secrets, each with the command that obtains one and keeps it."""


def _option(name: str, text: str, *, several: bool = True) -> click.Option:
    given = click.Option(
        [f"--{name.replace('_', '-')}", name],
        multiple=several,
        envvar=f"VOIPSYNC_INIT_{name.upper()}",
        help=text + (" One for each account." if several else ""),
    )
    given.show_envvar = True
    return given


@click.command(
    params=[
        click.Option(
            ["--template"],
            type=click.Choice(list(TEMPLATES)),
            help="; ".join(f"{name}: {one.about}" for name, one in TEMPLATES.items()) + ".",
        ),
        click.Option(
            ["--out"],
            type=click.Path(dir_okay=False, path_type=Path),
            default=DEFAULT,
            show_default=True,
            help="File to write.",
        ),
        click.Option(
            ["--account", "accounts"],
            multiple=True,
            help="Name of an account, such as acme; repeat it for several.",
        ),
        _option("state_url", "Where the ledger is: an SQLAlchemy URL.", several=False),
        *(_option(one.option, f"{one.text}.") for asked, _ in ROUNDS for one in asked),
        click.Option(["--no-check"], is_flag=True, help="Do not try the answers at the services."),
        click.Option(
            ["--yes"], is_flag=True, help="Ask nothing: take options, the environment and defaults."
        ),
    ]
)
@click.pass_context
def init(
    context: click.Context,
    /,
    template: str | None,
    out: Path,
    accounts: tuple[str, ...],
    state_url: str | None,
    no_check: bool,
    yes: bool,
    **given: tuple[str, ...],
) -> None:
    """Write a commented voipsync.toml from a template.

    It asks for what it needs, and tries each answer at the services. No secret is asked for or written, only
    references to them. Nothing is written at either service, and no file is overwritten.
    """
    if out.exists():
        raise ConfigurationError(f"{out} is there already: move it away, or give --out FILE")
    interview = Interview(given, asks=not yes, checks=not no_check)
    name = template or interview.choice()
    interview.template = TEMPLATES[name]
    names = accounts or interview.names()
    if wrong := [one for one in names or ("",) if not re.fullmatch(configuration.ACCOUNT_NAME, one)]:
        raise ConfigurationError(f"--account: {wrong[0]!r} is no name: lower-case letters, digits, - and _")
    if len(names) > 1 and not interview.template.several:
        raise ConfigurationError("--account: for several accounts take --template locations")
    text = interview.hold(names, state_url)
    _write(out, text)
    click.echo(f"{out} is written")
    _go_on(context, interview, out)


@dataclass(slots=True)
class Interview:
    """Asks, and tries the answers."""

    given: dict[str, tuple[str, ...]]
    asks: bool
    checks: bool
    template: Template = TEMPLATES["activities"]
    answers: dict[str, dict[Where, Value | None]] = field(default_factory=dict)
    untried: list[str] = field(default_factory=list)
    assumed: dict[str, str] = field(default_factory=dict)

    def choice(self) -> str:
        """Which template."""
        if not self.asks:
            return "activities"
        for name, one in TEMPLATES.items():
            click.echo(f"  {name:11} {one.about}")
        chosen: str = click.prompt("Template", type=click.Choice(list(TEMPLATES)), default="activities")
        return chosen

    def names(self) -> tuple[str, ...]:
        """How the accounts are called."""
        if not self.asks:
            raise ConfigurationError("--account: is missing")
        more = " (several: with spaces between)" if self.template.several else ""
        return tuple(click.prompt(f"Name of the account, such as acme{more}").split())

    def hold(self, names: Sequence[str], state_url: str | None) -> str:
        """Ask everything; return the configuration's text."""
        for number, name in enumerate(names):
            self.answers[name] = {("destination", "location_id"): "unknown"}
            for asked, checks in ROUNDS:
                if asked is not CALENDAR or self.template.calendar:
                    self._round(name, number, names, asked, checks, state_url)
        return render(self.template, self.answers, state_url)

    def _round(
        self,
        name: str,
        number: int,
        names: Sequence[str],
        asked: tuple[Question, ...],
        checks: tuple[str, ...],
        state_url: str | None,
    ) -> None:
        """Ask some questions of one account, until the answers hold or their author insists."""
        again = False
        while True:
            if asked is CALENDAR and self.asks and not again:
                self._show_calendars(name, state_url)
            for one in asked:
                self.answers[name][one.where] = self._answer(one, name, number, names, again=again)
            try:
                settings = self._settings(state_url)
                wrong = self._wrong(settings, name, checks)
            except ConfigurationError as error:
                if not self.asks:
                    raise
                click.echo(f"  {error}")
            else:
                if not wrong:
                    return
                told = "; ".join(f"{one.check}: {one.says}" for one in wrong)
                if not self.asks:
                    raise ConfigurationError(f"accounts.{name}: {told} (--no-check writes it all the same)")
                if not click.confirm("Answer again?", default=True):
                    return
            again = True

    def _answer(
        self, one: Question, name: str, number: int, names: Sequence[str], *, again: bool
    ) -> Value | None:
        default = one.default
        if one.where in SECRETS:
            default = "${" + env_name(name, default[2:-1], names) + "}"
        if again:
            default = str(self.answers[name].get(one.where) or "")
        given = self.given.get(one.option, ())
        if given and not again:
            if len(given) not in (1, len(names)):
                raise ConfigurationError(f"--{one.option.replace('_', '-')}: give one for each account")
            value = given[number] if len(given) > 1 else given[0]
        elif not self.asks:
            value = default
            if default and one.where not in SECRETS:
                self.assumed[one.where[1]] = default
        else:
            value = click.prompt(f"{name}: {one.text}", default=default, show_default=bool(default)).strip()
        value = "" if value == "-" else value
        if one.needed and not value:
            raise ConfigurationError(f"--{one.option.replace('_', '-')}: is missing")
        return value or None

    def _settings(self, state_url: str | None) -> Settings:
        tables = tomllib.loads(render(self.template, self.answers, state_url))
        return configuration.of_tables(tables, "the answers")

    def _wrong(self, settings: Settings, name: str, checks: tuple[str, ...]) -> list[Finding]:
        """Show what the checks say; return those that something is wrong with."""
        if not checks or not self.checks or not self._resolvable(name, checks):
            return []
        from tasks.engine.doctor import try_out  # noqa: PLC0415 - SQLAlchemy, httpx

        found = asyncio.run(try_out(settings, name, checks))
        for one in found:
            click.echo(f"  {one.result:8}{one.check}: {one.says}")
            if one.remedy and one.result != "ok":
                click.echo(f"  {'':8}→ {one.remedy}")
        return [one for one in found if one.result == "wrong"]

    def _resolvable(self, name: str, checks: tuple[str, ...]) -> bool:
        """Whether the secret that checks need can be had here and now."""
        where = ("source", "api_key") if checks[0].startswith("voipstudio") else ("destination", "token")
        reference = self.answers[name].get(where)
        if reference is None:
            return False
        try:
            resolve_secret(str(reference), where=f"accounts.{name}.{'.'.join(where)}")
        except ConfigurationError as error:
            if str(error) not in self.untried:
                self.untried.append(str(error))
                click.echo(f"  not tried: {error}")
            return False
        return True

    def _show_calendars(self, name: str, state_url: str | None) -> None:
        if not self.checks or not self._resolvable(name, ("calendar",)):
            return
        from tasks.engine.doctor import calendars  # noqa: PLC0415

        for identity, called in asyncio.run(calendars(self._settings(state_url), name)).items():
            click.echo(f"  {identity}  {called}")


def _write(out: Path, text: str) -> None:
    """Write a file for its owner alone; one that appeared meanwhile stays."""
    try:
        file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigurationError(f"cannot write {out}: {error.strerror}") from None
    with os.fdopen(file, "w", encoding="utf-8") as opened:
        opened.write(text)


def _go_on(context: click.Context, interview: Interview, out: Path) -> None:
    """Say what is to be done next, and offer to do what can be done here."""
    os.environ["VOIPSYNC_CONFIG"] = str(out.absolute())
    with_it = "" if out == DEFAULT else f" --config {out}"
    for name, answers in interview.answers.items():
        for where, command in SECRETS.items():
            if answers.get(where) is not None:
                continue
            what = "voipstudio login" if command is login else "highlevel connect"
            words = f"voipsync auth {what} {name}{with_it}"
            if interview.asks and sys.stdin.isatty() and click.confirm(f"Run `{words}` now?", default=True):
                context.invoke(command, account=name)
            else:
                click.echo(f"next: {words}")
    for told in interview.untried:
        click.echo(f"next: {told}")
    for name, value in interview.assumed.items():
        click.echo(f"next: {name} = {value} was assumed: change it in {out} where that is wrong")
    click.echo(f"next: voipsync doctor{with_it}")
