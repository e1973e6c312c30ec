"""Structured logs: with ``VOIPSYNC_LOG_FORMAT=json`` stderr has one JSON object a line, redacted as always.

Each says which run of which account it is about, and, where it is about one record, which. People read text:
without the variable everything stays as it is.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType

from tasks.errors import ConfigurationError
from tasks.redaction import redact_text

FORMAT = "VOIPSYNC_LOG_FORMAT"
OURS = ("tasks", "flows")
RECORD = ("entity", "source_id")
"""What a log call gives as ``extra`` where it is about one record."""

_about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))
_known: list[Callable[[], Mapping[str, str]]] = []
_ID = re.compile(r"[A-Za-z0-9_/-]{1,80}")


def as_json() -> bool:
    """Whether logs are to be JSON.

    Raises:
        ConfigurationError: the variable says neither.
    """
    chosen = os.environ.get(FORMAT) or "text"
    if chosen not in ("text", "json"):
        raise ConfigurationError(f"{FORMAT}: must be text or json")
    return chosen == "json"


@contextmanager
def about(**what: str) -> Iterator[None]:
    """Name in every record what is logged from here on, until the end."""
    before = _about.get()
    _about.set({**before, **what})
    try:
        yield
    finally:
        _about.set(before)


def knowing(more: Callable[[], Mapping[str, str]]) -> None:
    """Name in every record, too, what this tells at that moment."""
    if more not in _known:
        _known.append(more)


def arrange() -> None:
    """Show what a run says of itself, to people as text or, if it is to be, with all else on stderr as JSON.

    To be called again once others have set up their logs.

    Raises:
        ConfigurationError: as `as_json`.
    """
    for name in OURS:
        if (logger := logging.getLogger(name)).level == logging.NOTSET:
            logger.setLevel(logging.INFO)
    if not as_json():
        return
    ours = logging.StreamHandler(sys.stderr)
    ours.setFormatter(_Json())
    root = logging.getLogger()
    for logger in (root, *map(logging.getLogger, [*logging.Logger.manager.loggerDict])):
        for handler in [*logger.handlers]:
            if getattr(handler, "stream", None) in (sys.stderr, sys.__stderr__):
                logger.removeHandler(handler)
                logger.addHandler(ours)
    if not root.handlers:
        root.addHandler(ours)


def line(message: str) -> str:
    """An error of the command, as it is shown on stderr."""
    if os.environ.get(FORMAT) != "json":
        return f"voipsync: {message}"
    made = logging.getLogRecordFactory()("voipsync", logging.ERROR, "", 0, message, (), None)
    return _Json().format(made)


class _Json(logging.Formatter):
    """A record as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        shown = {
            "time": f"{datetime.fromtimestamp(record.created, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
            "level": record.levelname,
            "logger": record.name,
            "message": redact_text(record.getMessage()),
            **_about.get(),
        }
        for more in _known:
            shown |= more()
        for name in RECORD:
            if _ID.fullmatch(value := str(getattr(record, name, ""))):
                shown[name] = value
        if record.exc_info and record.exc_info[1] is not None:
            shown["exception"] = redact_text(self.formatException(record.exc_info))
        return json.dumps(shown, ensure_ascii=False)
