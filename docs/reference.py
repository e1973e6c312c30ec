"""Writes the pages that are made from the code: ``python -m docs.reference``."""  # noqa: INP001 - pages

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from flows.cli import main
from tasks import options
from tasks.engine.remedies import REASONS
from tasks.settings import Settings
from tasks.values import SecretReference

HERE = Path(__file__).parent
HEAD = """\
# Configuration reference

<!-- made by `python -m docs.reference` from the models that read the configuration: do not edit -->

The configuration is a TOML file, `voipsync.toml`: found by `--config`, else by the environment variable
`VOIPSYNC_CONFIG`, else in the current folder. `voipsync.example.toml` is one to begin with, and
`voipsync doctor` checks yours.

- An unknown key, a wrong value or a missing secret ends a command with exit code 2 and one line that names
  the key.
- **Secrets are references**, never the secret itself: `${NAME}` is an environment variable, `file:PATH` a
  file, `block:secret/NAME` a Prefect Secret block.
- Every key can be overridden from the environment: `VOIPSYNC_` and its path in capitals, with two
  underscores between the parts, such as `VOIPSYNC_STATE__URL` or `VOIPSYNC_ACCOUNTS__ACME__SOURCE__TIMEZONE`.
- *needed* in the column "default" says that there is none.
"""
FORMS = """
# Options of the flows

The same models are the forms in the Prefect UI and, one by one, the options of the commands.
"""
NAMES = {str: "text", int: "a number", float: "a number", bool: "`true` or `false`"}
REASON_CODES = """\
# Reason codes: what each means, and what to do

<!-- made by `python -m docs.reference` from tasks/engine/remedies.py: do not edit -->

Reports, `voipsync status` and the account's page in Prefect name a reason in brackets for whatever was not
simply brought to HighLevel, such as `contacts: 5 skipped (no_email_or_phone)`. Where nothing stands under
"what to do", nothing need be done. `duplicate_` with another field's name is what `duplicate_email` is, and
`http_` with a number that HighLevel refused a record with that status: correct what its message names, and
the next sync tries again.

| code | means | what to do |
| --- | --- | --- |
"""
COMMANDS = """\
# Commands

<!-- made by `python -m docs.reference` from the commands themselves: do not edit -->

The report goes to standard output, logs and progress to standard error. Exit codes: 0 all well; 3 finished,
but some records are rejected or unresolved; 1 failed; 2 usage or configuration. Every command takes `--help`,
and those that read the configuration `--config FILE`.
"""


def configuration() -> str:
    """Every key of the file, and every option of the flows."""
    parts = [HEAD, *_tables("", Settings), FORMS]
    for name in sorted(vars(options)):
        model = getattr(options, name)
        if isinstance(model, type) and issubclass(model, BaseModel) and name.endswith("Options"):
            parts.append(
                f"\n## {name.removesuffix('Options').lower()}\n\n{_summary(model)}\n\n{_rows(model)}"
            )
    return "".join(parts)


def commands() -> str:
    """Every command with its options."""
    return COMMANDS + "".join(_commands("voipsync", main))


def _commands(path: str, command: click.Command) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from _commands(f"{path} {name}", command.commands[name])
        return
    context = click.Context(command, info_name=path)
    shown = " ".join(piece.removeprefix("[OPTIONS]") for piece in command.collect_usage_pieces(context))
    needed = (
        f" {one.opts[0]}{_metavar(one, context)}"
        for one in command.params
        if isinstance(one, click.Option) and one.required
    )
    yield f"\n## `{f'{path} {shown.strip()}'.strip()}{''.join(needed)}`\n\n"
    yield re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.cleandoc(command.help or "")) + "\n"
    rows = [
        f"| `{', '.join(one.opts)}{_metavar(one, context)}` | {_default_of(one)} | {_help(one)} |"
        for one in command.params
        if isinstance(one, click.Option) and "--config" not in one.opts and not one.hidden
    ]
    if rows:
        yield "\n| option | default | means |\n| --- | --- | --- |\n"
        yield "".join(row + "\n" for row in rows)


def _help(option: click.Option) -> str:
    return (option.help or "").rstrip(".").replace("|", "\\|")


def _metavar(option: click.Option, context: click.Context) -> str:
    shown = re.sub("(?:FLOAT|INTEGER)(?: RANGE)?", "N", option.make_metavar(context))
    return "" if option.is_flag else f" {shown}".replace("|", "\\|")


def _default_of(option: click.Option) -> str:
    return f"`{option.default}`" if option.show_default else ""


def reasons() -> str:
    """Every reason code."""
    rows = (f"| `{code}` | {one.means} | {one.remedy} |\n" for code, one in sorted(REASONS.items()))
    return REASON_CODES + "".join(rows)


PAGES = {"configuration.md": configuration, "commands.md": commands, "reasons.md": reasons}


def _tables(path: str, model: type[BaseModel]) -> Iterator[str]:
    """A table for a section and for each one within it."""
    if path:
        shown = f"[[{path}]]" if path.endswith("routes") else f"[{path}]"
        yield f"\n## `{shown}`\n\n{_summary(model)}\n\n{_rows(model)}"
    for name, field in model.model_fields.items():
        inner, many = _section(field.annotation)
        if inner is not None:
            yield from _tables(".".join(filter(None, (path, name, "NAME" if many else ""))), inner)


def _rows(model: type[BaseModel]) -> str:
    rows = ["| key | value | default | means |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        inner, _ = _section(field.annotation)
        means = field.description or (_summary(inner) if inner else "")
        if not means:
            raise ValueError(f"{model.__name__}.{name} has no description")
        below = inner and model.__module__ != options.__name__
        kind = "a table, see below" if below else _kind(field.annotation, field)
        means = means.rstrip(".").replace("<", "&lt;").replace("|", "\\|")
        rows.append(f"| `{name}` | {kind} | {_default(field)} | {means} |")
    return "\n".join(rows) + "\n"


def _summary(model: type[BaseModel]) -> str:
    """The first paragraph of a model's docstring."""
    return re.sub(r"\s+", " ", (model.__doc__ or "").partition("\n\n")[0]).strip().replace("``", "`")


def _section(kind: Any) -> tuple[type[BaseModel] | None, bool]:  # noqa: ANN401 - any annotation
    """The model of a table, and whether there may be several, each under a name."""
    if get_origin(kind) is dict:
        return _section(get_args(kind)[1])[0], True
    if get_origin(kind) is list:
        return _section(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        found = [_section(one) for one in get_args(kind)]
        return next((one for one in found if one[0]), (None, False))
    if get_origin(kind) is Annotated:
        return _section(get_args(kind)[0])
    is_model = isinstance(kind, type) and issubclass(kind, BaseModel)
    return (kind, False) if is_model else (None, False)


def _kind(kind: Any, field: FieldInfo | None = None) -> str:  # noqa: ANN401 - any annotation
    """What may stand there, in words."""
    if kind == SecretReference or (field and set(get_args(SecretReference)[1:]) & set(field.metadata)):
        return "a reference"
    origin, inner = get_origin(kind), [one for one in get_args(kind) if one is not NoneType]
    if origin is Literal:
        return ", ".join(f"`{one}`" for one in inner)
    if origin in (list, tuple):
        return f"a list: {_kind(inner[0])}"
    if origin is dict:
        return "a table"
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_kind, inner)))
    if origin is Annotated:
        return _kind(inner[0])
    return NAMES.get(kind, "a table") + (_bounds(field) if field else "")


def _bounds(field: FieldInfo) -> str:
    signs = (("ge", "at least"), ("gt", "more than"), ("le", "at most"))
    told = [
        f"{word} {getattr(one, sign):g}"
        for one in field.metadata
        for sign, word in signs
        if getattr(one, sign, None) is not None
    ]
    return f", {', '.join(told)}" if told else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "*needed*"
    value = field.get_default(call_default_factory=True)
    match value:
        case None | "" | () | [] | {} | BaseModel():
            return ""
        case bool():
            return f"`{str(value).lower()}`"
        case _:
            return f"`{value}`"


if __name__ == "__main__":
    for name, made in PAGES.items():
        (HERE / name).write_text(made(), encoding="utf-8")
