"""``voipsync report``: an account's history as a page of charts."""

from __future__ import annotations

import os
from pathlib import Path

import click

from flows.cli_options import config
from tasks import settings as configuration
from tasks.errors import ConfigurationError


@click.command()
@click.argument("account", required=False)
@click.option(
    "--html",
    "path",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the page goes; a file that is there is replaced.",
)
@click.option(
    "--days",
    type=click.IntRange(1, 366),
    metavar="N",
    default=30,
    show_default=True,
    help="Days that it looks back.",
)
@config
def report(account: str | None, path: Path, days: int) -> None:
    """Write the history of ACCOUNT as one page of charts.

    Without ACCOUNT, of every account: what was written, open and spent, and how fresh HighLevel was. It needs
    no network, holds no personal data, and only its owner can read it.
    """
    if not path.name:
        raise click.UsageError("--html names no file")
    settings = configuration.load()
    names = [account] if account else sorted(settings.accounts)
    chosen = {name: settings.account(name) for name in names}
    from tasks.engine.page import page  # noqa: PLC0415 - SQLAlchemy and plotly, after all is checked

    _write(path, page(settings.state, chosen, days=days))
    click.echo(f"wrote {path}: {', '.join(names)}, the last {days} days")


def _write(path: Path, text: str) -> None:
    """Replace a file at once, for its owner alone."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(
            os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigurationError(f"cannot write {path}: {error.strerror}") from None
