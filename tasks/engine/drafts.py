"""Drafts of a configuration: voipsync.example.toml with values put in, for each template differently.

The example is the one source: it names every key, says what it is for and shows its default. A template is no
more than what it sets otherwise.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

EXAMPLE = "voipsync.example.toml"
_ACME = "acme"
"""The account of the example."""
Value = str | bool | int | float | Mapping[str, str]
Where = tuple[str, str]
"""A table's last word and a key: ("destination", "calendar_id")."""


@dataclass(frozen=True, slots=True)
class Template:
    """A ready-made configuration.

    Attributes:
        about: what it is for.
        first: what stands above it all, in lines.
        values: what it sets otherwise than the example.
        several: whether it has several accounts.
        calendar: whether a calendar is asked for.
    """

    about: str
    first: tuple[str, ...]
    values: Mapping[Where, Value] = field(default_factory=dict)
    several: bool = False
    calendar: bool = True


_OFF = {"notes": "off", "tasks": "off", "appointments": "off"}
TEMPLATES: Mapping[str, Template] = {
    "contacts": Template(
        "contacts only",
        ("Contacts only: notes, tasks and appointments are left alone.",),
        {("source", "streams"): _OFF},
        calendar=False,
    ),
    "activities": Template(
        "contacts with their notes, tasks and appointments",
        ("Contacts with their notes, tasks and appointments.",),
    ),
    "locations": Template(
        "several accounts, each into a location of its own",
        ("Several accounts: each VoIPstudio account goes into a HighLevel location of its own.",),
        several=True,
    ),
    "history": Template(
        "a migration: all that there ever was is brought over first",
        (
            "A migration of history: all activities of all contacts are read, nobody is notified, nothing is",
            "deleted. First `voipsync plan {account}` says what it will be; `voipsync backfill {account}`",
            "then brings history there; then the standing sync goes on, and activity_scan may be removed.",
        ),
        {
            ("source", "activity_scan"): "all",
            ("mapping", "deletes"): "ignore",
            ("mapping", "activity_deletes"): "ignore",
            ("mapping", "notify"): False,
        },
    ),
}


def example() -> str:
    """The example's text: it stands in the project's folder, and in the package where that was installed."""
    here = Path(__file__).parents
    found = next(folder / EXAMPLE for folder in (here[1], here[2]) if (folder / EXAMPLE).is_file())
    return found.read_text(encoding="utf-8")


def render(
    template: Template, accounts: Mapping[str, Mapping[Where, Value | None]], state_url: str | None = None
) -> str:
    """Return a whole configuration.

    Args:
        template: which one.
        accounts: name → what was answered; None takes a line out of use.
        state_url: where the ledger is.
    """
    head, _, account = example().partition(f"[accounts.{_ACME}]")
    lines = head.splitlines()
    tables = lines[lines.index("[state]") - 1 :]
    first = next(iter(accounts))
    top = ["# voipsync's configuration, written by `voipsync init`."]
    top += [f"# {line.format(account=first)}" for line in template.first]
    top += [line for line in lines[1 : lines.index("[state]")] if line] + [""]
    state = _set("\n".join(tables).strip(), "state", {("state", "url"): state_url} if state_url else {})
    written = ["\n".join(top), state, ""]
    for number, (name, answers) in enumerate(accounts.items()):
        text = f"[accounts.{_ACME}]{account}".replace(" <--", "")
        for table in ("source", "destination", "mapping"):
            text = _set(text, f"accounts.{_ACME}.{table}", {**template.values, **answers})
        text = re.sub(rf"\b{_ACME}\b", name, text)
        written.append(text.strip() if number == 0 else _bare(text, first))
        written.append("")
    return "\n".join(written)


def _bare(text: str, first: str) -> str:
    """Only what is in use: what else there is stands with the first account."""
    kept = [line for line in text.splitlines() if line and not line.startswith("#")]
    tables = [f"\n{line}" if line.startswith("[") else line for line in kept[1:]]  # the first is empty
    return f"# Whatever else can be set is shown at {first}.\n" + "\n".join(tables).strip()


def _set(text: str, table: str, values: Mapping[Where, Value | None]) -> str:
    """Set keys of a table where they stand, whether in use or shown as a default; comments stay."""
    start = text.index(f"[{table}]")
    following = re.search(r"^\[", text[start + 1 :], re.MULTILINE)
    end = start + 1 + following.start() if following else len(text)
    part = text[start:end]
    for (where, key), value in values.items():
        if where != table.rpartition(".")[2]:
            continue
        found = re.search(rf"^(?:# )?({re.escape(key)} = )(.*?)([ \t]+#.*)?$", part, re.MULTILINE)
        if not found:
            raise KeyError(f"{table}.{key}")
        said = f"# {found[1]}{found[2]}" if value is None else f"{found[1]}{_toml(value)}"
        made = f"{said:40} {found[3].strip()}" if found[3] else said
        part = part[: found.start()] + made + part[found.end() :]
    return text[:start] + part + text[end:]


def _toml(value: Value) -> str:
    """A value as TOML writes it; its strings are JSON's."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def env_name(account: str, secret: str, accounts: Sequence[str]) -> str:
    """The environment variable of a secret: each account has its own, where there are several."""
    return secret if len(accounts) == 1 else f"{account.upper().replace('-', '_')}_{secret}"
