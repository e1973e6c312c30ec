"""Options that several commands have."""

from __future__ import annotations

import os
from pathlib import Path

import click


def _configured(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> None:
    """Whatever reads the configuration later, here or in a flow, finds it where the option says."""
    if value is not None:
        os.environ["VOIPSYNC_CONFIG"] = str(value.absolute())


config = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_configured,
    expose_value=False,
    is_eager=True,
    help="Configuration file.  [$VOIPSYNC_CONFIG, else ./voipsync.toml]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _writable(_context: click.Context, _parameter: click.Parameter, value: Path | None) -> Path | None:
    """A file that cannot be written is told before the work is done, not after it."""
    if value is not None and not (value.name and os.access(value.absolute().parent, os.W_OK)):
        raise click.BadParameter(f"cannot write {value}: there is no folder for it that we may write to")
    return value


out_option = click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=_writable,
    help="Also write the plan to a file (0600).",
)
