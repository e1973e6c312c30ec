"""The rooms and who may know whom, as the house is drawn; and the files that name parts of the code."""

from __future__ import annotations

import ast
import functools
import re
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from tasks.mapping_settings import MappingSettings
from tasks.settings import Account, Settings, load

PROJECT = Path(__file__).parents[1]
PACKAGES = ("deployments", "flows", "tasks", "sandbox")
SHELL = frozenset(
    {
        "tasks.alerts",
        "tasks.events",
        "tasks.extract",
        "tasks.fleet",
        "tasks.late",
        "tasks.load",
        "tasks.plan",
        "tasks.backfill",
        "tasks.purge",
        "tasks.report",
        "tasks.transform",
        "tasks.verify",
    }
)
KNOWS_PREFECT = SHELL | {"tasks.blocks"}
"""The only modules under tasks/ that may import Prefect."""
FLOOR = {
    "deployments": 0,
    "flows": 1,
    "shell": 2,
    "tasks.engine": 3,
    "tasks.identity": 4,
    "tasks.mapping": 4,
    "tasks.ledger": 4,
    "tasks.voipstudio": 5,
    "tasks.highlevel": 5,
    "tasks.webhook": 5,
    "tasks.transport": 6,
    "tasks.wire": 7,
    # what everybody may use
    "tasks.options": 7,
    "tasks.settings": 8,
    "tasks.mapping_settings": 9,
    "tasks.values": 10,
    "tasks.blocks": 11,  # a reference to a block is resolved there, and only then is it imported
    "tasks.logs": 9,
    "tasks.telemetry": 8,
    "tasks.outlets": 10,
    "tasks.redaction": 11,
    "tasks.together": 11,
    "tasks.ending": 11,
    "tasks.errors": 12,
}
"""Imports go to a higher number, or stay in the room."""
BESIDE = {("tasks.identity", "tasks.ledger")}
"""Rooms on one floor that may know each other: identity keeps the location's directory in the ledger."""
MODELS = {"tasks.voipstudio.models", "tasks.voipstudio.times"}
"""What the mapping may know of the source: rows and times, never the client."""


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement's target, as far as it is a module of ours; else its top-level package."""

    module: str
    target: str
    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def module_of(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_of(path): path for package in PACKAGES for path in sorted((PROJECT / package).rglob("*.py"))}


def imports_of(module: str, tree: ast.AST) -> Iterator[Import]:
    """Every import anywhere in a module, also within functions and for type checkers only."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}:{node.lineno} imports relatively"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield Import(module, inner if inner in FILES else str(node.module), node.lineno)


@functools.cache
def imports() -> list[Import]:
    return [
        one
        for name, path in FILES.items()
        for one in imports_of(name, ast.parse(path.read_text(encoding="utf-8")))
    ]


def top(name: str) -> str:
    return name.partition(".")[0]


def room(module: str) -> str:
    """The entry of FLOOR that a module belongs to."""
    if module in SHELL:
        return "shell"
    if top(module) != "tasks":
        return top(module)
    return ".".join(module.split(".")[:2])


def test_the_tree_was_read() -> None:
    assert {"flows.sync", "flows.cli", "tasks.engine.run", "tasks.ledger.lease", "sandbox.serve"} <= set(
        FILES
    )
    assert len([one for one in imports() if top(one.target) in PACKAGES]) > 200


def test_every_module_of_ours_has_its_floor() -> None:
    assert {room(module) for module in FILES if top(module) != "sandbox" and module != "tasks"} <= set(FLOOR)


def test_imports_point_one_way() -> None:
    wrong = []
    for one in imports():
        if top(one.module) == "sandbox" or top(one.target) not in ("deployments", "flows", "tasks"):
            continue
        here, there = room(one.module), room(one.target)
        if here != there and FLOOR[there] <= FLOOR[here] and (here, there) not in BESIDE:
            wrong.append(str(one))
    assert wrong == []


def test_the_mapping_takes_models_and_never_clients() -> None:
    services = [
        one
        for one in imports()
        if room(one.module) == "tasks.mapping"
        and room(one.target) in ("tasks.voipstudio", "tasks.highlevel", "tasks.transport")
    ]
    assert services != []
    assert [str(one) for one in services if one.target not in MODELS] == []


def test_the_ledger_knows_neither_service() -> None:
    allowed = {"tasks.ledger", "tasks.settings", "tasks.values", "tasks.redaction", "tasks.errors"}
    ours = [one for one in imports() if room(one.module) == "tasks.ledger" and top(one.target) == "tasks"]
    assert [str(one) for one in ours if room(one.target) not in allowed] == []


CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("date", "today"),
}
"""This machine's clock, as code reads it."""


def clocks_read(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where this machine's clock is read, or handed on to be read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name | ast.Attribute):
            owner = node.value.id if isinstance(node.value, ast.Name) else node.value.attr
            if (owner, node.attr) in CLOCKS:
                yield node.lineno, f"{owner}.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (
                (node.lineno, f"time.{one.name}") for one in node.names if one.name.startswith("time")
            )


def test_the_ledgers_times_are_told_by_one_clock() -> None:
    found = {
        f"{module}:{line} {what}"
        for module, path in FILES.items()
        if room(module) in ("tasks.engine", "tasks.ledger", "tasks.identity")
        for line, what in clocks_read(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert {one.partition(":")[0] for one in found} == {"tasks.ledger.clock"}, found


def is_of_the_command(module: str) -> bool:
    """Whether it is part of the command, rather than a flow."""
    return module in ("flows", "flows.demo", "flows.terminal") or module.startswith("flows.cli")


def test_only_the_shell_knows_prefect() -> None:
    knowing = {one.module for one in imports() if top(one.target) == "prefect"}
    assert {module for module in knowing if top(module) == "tasks"} == KNOWS_PREFECT
    others = {module for module in knowing if top(module) not in ("tasks", "deployments")}
    assert {module for module in others if is_of_the_command(module)} == {"flows.cli_run", "flows.cli_doctor"}
    assert {top(module) for module in others} == {"flows"}


def test_the_sandbox_stands_alone_and_the_pipeline_does_not_know_it() -> None:
    assert [
        str(one)
        for one in imports()
        if top(one.module) == "sandbox" and top(one.target) in ("tasks", "flows", "deployments", "prefect")
    ] == []
    knowing = {one.module for one in imports() if top(one.target) == "sandbox"}
    assert {module for module in knowing if top(module) != "sandbox"} == {"flows.demo"}


def test_only_the_command_imports_flows() -> None:
    knowing = {one.module for one in imports() if top(one.target) == "flows"}
    assert {one for one in knowing if top(one) != "deployments" and not is_of_the_command(one)} == set()


def test_no_flow_is_named_like_a_module_that_it_would_hide() -> None:
    names = {path.stem for path in (PROJECT / "flows").rglob("*.py")} - {"__init__"}
    assert names & ({"tasks", "flows"} | sys.stdlib_module_names) == set()


def test_a_flow_file_defines_a_flow_and_nothing_else() -> None:
    for module, path in FILES.items():
        if top(module) != "flows" or is_of_the_command(module):
            continue
        source = path.read_text(encoding="utf-8")
        defined = [
            node for node in ast.parse(source).body if isinstance(node, ast.ClassDef | ast.FunctionDef)
        ]
        flows = [node for node in ast.parse(source).body if isinstance(node, ast.AsyncFunctionDef)]
        assert (defined, [node.name for node in flows]) == ([], [path.stem])
        assert len(source.splitlines()) <= 80


# voipsync.example.toml

EXAMPLE = PROJECT / "voipsync.example.toml"
DEFAULT = re.compile(r"^# (?=[a-z_]+ = )", re.MULTILINE)


def keys_of(model: type[BaseModel]) -> Iterator[tuple[str, ...]]:
    """Paths of all keys of a settings model."""
    for name, field in model.model_fields.items():
        tables = (one for one in (field.annotation, *get_args(field.annotation)) if isinstance(one, type))
        inner = next((one for one in tables if issubclass(one, BaseModel)), None)
        if inner is not None and get_origin(field.annotation) not in (dict, list):
            yield from ((name, *path) for path in keys_of(inner))
        else:
            yield (name,)


def keys_in(table: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Paths of all keys of a TOML table."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from ((name, *path) for path in keys_in(value))
        else:
            yield (name,)


def test_the_example_configuration_loads() -> None:
    settings = load(EXAMPLE)
    assert list(settings.accounts) == ["acme"]
    assert settings.account("acme").destination.token == "${HIGHLEVEL_TOKEN}"


def test_the_example_configuration_names_every_key_and_its_default(tmp_path: Path) -> None:
    everything = tmp_path / "everything.toml"
    everything.write_text(DEFAULT.sub("", EXAMPLE.read_text(encoding="utf-8")), encoding="utf-8")
    written = tomllib.loads(everything.read_text(encoding="utf-8"))
    assert set(keys_in(written["accounts"]["acme"])) == set(keys_of(Account))
    assert set(keys_in(written["state"])) == set(keys_of(Settings.model_fields["state"].annotation))
    full, plain = load(everything).account("acme"), load(EXAMPLE).account("acme")
    own = {"cap": 100, "calendar_id": "BqTwX8QFwXzpegMve9EQ", "origin": "acme"}
    assert full.destination.quota.model_copy(update={"cap": None}) == plain.destination.quota
    assert full.destination.quota.cap == own["cap"]
    assert full.source.model_copy(update={"oauth": None}) == plain.source
    assert full.mapping == MappingSettings(**{**plain.mapping.model_dump(), "origin": own["origin"]})
    same = {name: getattr(full.destination, name) for name in ("calendar_id", "quota", "oauth")}
    assert full.destination == plain.destination.model_copy(update=same)
