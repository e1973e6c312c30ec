"""Documents that cannot rot: what they name exists, parses, loads and suffices."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from pydantic import BaseModel

from docs import reference
from flows.cli import main
from sandbox.serve import Sandbox
from tasks.engine.report import COUNTS, Report
from tasks.highlevel.operations import OPERATIONS
from tasks.mapping_settings import FieldRule, MappingSettings, Route
from tasks.settings import Settings, load
from tests.scenarios.case import cases
from tests.support.accounts import sync

PROJECT = Path(__file__).parents[1]
README = (PROJECT / "README.md").read_text(encoding="utf-8")
GUIDES = sorted((PROJECT / "docs").glob("*.md"))
PAGES = {
    path: path.read_text(encoding="utf-8")
    for path in (*(PROJECT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")), *GUIDES)
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLACEHOLDERS = {"ACCOUNT": "acme", "ENTITY": "contacts"}
SCOPE = re.compile(r"`([a-zA-Z/]+\.(?:readonly|write))`")


def blocks(language: str) -> list[str]:
    return [
        text
        for path, page in PAGES.items()
        for found, text in BLOCK.findall(page)
        if found == language and path.name != "mapping.md"  # its examples are cases that run
    ]


def lines() -> Iterator[str]:
    """Every ``voipsync …`` command line, in blocks and in prose."""
    for text in blocks("sh"):
        yield from (line for line in text.splitlines() if line.startswith("voipsync"))
    for page in PAGES.values():
        yield from re.findall(r"`(voipsync(?: [^`…\n]+)?)`", BLOCK.sub("", page))


def parse(group: click.Group, arguments: list[str], parent: click.Context | None = None) -> list[str]:
    """Parse a command line as click would before it runs anything; return the names of its commands."""
    if not arguments:
        return []
    context = group.make_context(group.name, arguments, parent=parent)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
    assert command is not None
    if isinstance(command, click.Group):
        return [str(name), *parse(command, rest, context)]
    # a sentence may name a command without its arguments
    with command.make_context(name, rest, parent=context, resilient_parsing=not rest):
        return [str(name)]


def test_every_command_line_in_the_documents_parses() -> None:
    found = set()
    for line in lines():
        words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)[1:]]
        if words:
            found.add(" ".join(parse(main, words)))
    assert {"apply", "auth highlevel connect", "db upgrade", "doctor", "plan", "review", "sync"} <= found


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command, and every group of them, by its whole name."""
    for name, one in group.commands.items():
        yield " ".join((*path, name)), one
        if isinstance(one, click.Group):
            yield from commands(one, (*path, name))


SUMMARY_CHARACTERS = 62
"""What `voipsync --help` shows of a command on 80 columns."""


def test_each_command_says_in_one_line_what_it_does_and_what_each_option_means() -> None:
    found = dict(commands(main))
    assert len(found) > 20
    for name, one in found.items():
        summary = one.get_short_help_str(SUMMARY_CHARACTERS)
        assert not summary.endswith("..."), (name, summary)
        for option in (each for each in one.params if isinstance(each, click.Option)):
            assert option.help, (name, option.name)
            assert option.help[0].isupper() or option.name in ("mode", "template"), (name, option.name)
            shown = "" if option.is_flag else option.make_metavar(click.Context(one))
            assert "RANGE" not in shown, (name, option.name)


def test_a_wrong_command_line_would_be_found() -> None:
    with pytest.raises(click.UsageError):
        parse(main, ["sync", "acme", "--fast"])


def test_operations_and_arguments_in_the_documents_exist() -> None:
    used = [shlex.split(line) for line in lines() if line.startswith("voipsync call ")]
    assert len(used) >= 2
    for _, _, _, operation, *values in (one for one in used if one[3] != "OPERATION"):
        names = {value.partition("=")[0] for value in values if "=" in value}
        OPERATIONS[operation].sort_out(dict.fromkeys(names, "x"))


def test_make_targets_in_the_documents_exist() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    named = {
        name for page in PAGES.values() for name in re.findall(r"(?:^|`)make ([a-z-]+)", page, re.MULTILINE)
    }
    assert named == {"audit", "bench-scale", "demo", "test", "install", "lint", "reference"}
    assert named <= targets


def test_every_toml_block_is_a_configuration(tmp_path: Path) -> None:
    assert blocks("toml") != []
    for text in blocks("toml"):
        path = tmp_path / "voipsync.toml"
        path.write_text(text, encoding="utf-8")
        settings = load(path)
        if "accounts" in tomllib.loads(text):
            assert settings.account("acme").mapping.default_country == "GB"


def test_the_json_in_the_readme_has_the_reports_shape() -> None:
    (shown,) = (json.loads(text) for found, text in BLOCK.findall(README) if found == "json")
    assert list(shown) == list(Report.__dataclass_fields__)
    assert tuple(shown["entities"]["contacts"]) == COUNTS
    counts = shown["entities"]["contacts"]
    assert counts["read"] == sum(counts[name] for name in COUNTS if name not in ("read", "recovered"))


def test_every_count_is_explained() -> None:
    table = README.partition("| count | means |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z]+)`", table)) == set(COUNTS) - {"read", "deleted"}


def test_every_setting_named_in_the_documents_exists() -> None:
    known = set(_keys(Settings))
    named = {"timezone", "calendar_id", "location_id", "search_lag_seconds", "appointment_minutes", "deletes"}
    named |= {"max_deletes"}
    for name in named:
        assert any(re.search(rf"`[^`]*\b{name}\b[^`]*`", page) for page in PAGES.values()), name
    assert named <= known
    assert any(f"`{MappingSettings().phones_field}`" in page for page in PAGES.values())


def _keys(model: Any) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield name
        inner = field.annotation
        if getattr(inner, "__origin__", None) is dict:
            inner = inner.__args__[1]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _keys(inner)


def test_links_lead_somewhere() -> None:
    for path, page in PAGES.items():
        for target, place in re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]*))?\)", page):
            to = path.parent / target if target else path
            assert to.exists(), (path.name, target)
            if place:
                titles = re.findall(r"^#+ (.*)$", to.read_text(encoding="utf-8"), re.MULTILINE)
                anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
                assert place in anchors, (path.name, target, place)


def test_every_guide_is_reached_from_the_front_page() -> None:
    assert [path.name for path in GUIDES if f"(docs/{path.name})" not in README] == []


@pytest.mark.parametrize("name", reference.PAGES)
def test_a_page_that_is_made_from_the_code_is_what_the_code_says(name: str) -> None:
    kept = (reference.HERE / name).read_text(encoding="utf-8")
    assert kept == reference.PAGES[name](), "run: make reference"


def test_the_configuration_reference_has_every_key() -> None:
    told = reference.configuration()
    assert [name for name in _keys(Settings) if f"`{name}`" not in told] == ["state"]
    for told_of in ("a reference", "`2021-07-28`", "at most 64", "*needed*", "## sync"):
        assert told_of in told


def scopes(*rows: str) -> list[str]:
    """The scopes that the README's table gives for some of its rows."""
    table = README.partition("| stream | scopes |")[2].partition("\n\n")[0]
    return [scope for line in table.splitlines() if line.split("|")[1:2] for scope in _scopes(line, rows)]


def _scopes(line: str, rows: tuple[str, ...]) -> list[str]:
    return SCOPE.findall(line) if line.split("|")[1].strip() in rows else []


@pytest.mark.parametrize("appointments", [True, False])
async def test_the_scopes_in_the_readme_suffice(tmp_path: Path, *, appointments: bool) -> None:
    given = scopes("always", "notes, tasks", *(["appointments"] if appointments else []))
    assert len(given) == (8 if appointments else 5)
    with Sandbox.threaded(contacts=20, burst=5000) as box:
        box.token = box.new_token(scopes=given)
        sections: dict[str, Any] = {} if appointments else {"destination": {"calendar_id": None}}
        first = await sync(box, f"sqlite:///{tmp_path}/one.db", **sections)
        assert (first.status, first.entities["notes"]["created"] > 0) == ("ok", True)
        assert (first.entities["appointments"]["created"] > 0) is appointments
        # with an empty ledger everything is looked up, and with another source everything is read and changed
        box.advance(3600)
        again = await sync(box, f"sqlite:///{tmp_path}/two.db", **sections)
        assert (again.status, again.entities["contacts"]["adopted"] > 0) == ("ok", True)
        for entity in ("notes", "tasks", "appointments")[: 3 if appointments else 2]:
            row = box.source(entity)[0]
            change = {
                "notes": {"body": "Edited"},
                "tasks": {"title": "Edited"},
                "appointments": {"title": "Edited"},
            }
            box.edit_source(entity, row["id"], row["contact_id"], **change[entity])
        changed = await sync(box, f"sqlite:///{tmp_path}/two.db", **sections)
        assert (changed.status, changed.requests["destination_writes"]) == ("ok", 3 if appointments else 2)


async def test_a_scope_that_is_not_in_the_readme_would_be_missed(tmp_path: Path) -> None:
    with Sandbox.threaded(contacts=3, burst=5000) as box:
        given = scopes("always", "appointments")
        box.token = box.new_token(scopes=[one for one in given if one != "locations.readonly"])
        report = await sync(box, f"sqlite:///{tmp_path}/ledger.db")
        assert report.status == "failed"
        assert "locations.readonly" in report.warnings[0]


MAPPING = (PROJECT / "docs" / "mapping.md").read_text(encoding="utf-8")
EXAMPLE = re.compile(r"^```toml\n(.*?)^```\n(?:\*([^\n*]+)\*$)?", re.MULTILINE | re.DOTALL)
EXAMPLES = [(tomllib.loads(text), sentence) for text, sentence in EXAMPLE.findall(MAPPING)]


def example(table: dict[str, Any]) -> dict[str, Any]:
    """An example's keys of the mapping."""
    inner: dict[str, Any] = table["accounts"]["acme"]["mapping"] if "accounts" in table else table
    return inner


def test_every_key_of_the_mapping_stands_in_its_page_with_an_example() -> None:
    for model in (MappingSettings, FieldRule, Route):
        assert [
            name for name in model.model_fields if f"`{name}`" not in MAPPING and f"{name} =" not in MAPPING
        ] == []
    shown = {name for table, _ in EXAMPLES for name in example(table)}
    assert set(MappingSettings.model_fields) - shown == set()


def test_the_examples_of_the_mapping_are_cases_that_run() -> None:
    proven = {case.name: case for case in cases(PROJECT / "tests" / "scenarios" / "manual.yaml")}
    for table, sentence in EXAMPLES:
        written = MappingSettings.model_validate(example(table))
        if sentence:
            assert written == MappingSettings.model_validate(proven.pop(sentence).settings["mapping"]), (
                sentence
            )
    assert proven == {}
