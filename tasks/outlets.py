"""What leaves the process by itself is redacted: log records, tracebacks, and what Prefect keeps of an error.

Every log record is redacted where it is made, whichever logger, handler and formatter it belongs to. An
exception is shown with its type and where it was raised; its text only where it is ours, or of a kind that
speaks of the machine and not of data: any other may quote a name or a note, which have no shape.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.errors import VoipsyncError
from tasks.redaction import PERSONAL, SHOW, redact_text, shows_personal_data

_PLAIN = (OSError, ImportError, NameError, AttributeError, RecursionError, MemoryError, EOFError)
_PLAIN_PACKAGES = ("anyio", "asyncio", "click", "h11", "httpcore", "httpx", "prefect", "websockets")
"""Whose exceptions speak of the machine."""
_WITHHELD = f"{PERSONAL} ({SHOW}=1 shows what it says)"
_REPR = re.compile(r"\b(exception|result)=.*", re.DOTALL)
"""How asyncio shows what a task ended with."""


def text_of(error: BaseException) -> str:
    """What an exception says, or else what it is called, as far as anyone may read it."""
    said, name = _said(error), type(error).__name__
    return f"{name}: {said}" if said == _WITHHELD else said or name


def _said(error: BaseException) -> str:
    package = type(error).__module__.partition(".")[0]
    plain = isinstance(error, (VoipsyncError, *_PLAIN)) or package in _PLAIN_PACKAGES
    return redact_text(str(error)) if plain or shows_personal_data() or not str(error) else _WITHHELD


def presentable(error: BaseException) -> BaseException:
    """Return a likeness of an exception, with all that led to it, that anyone may read."""
    return _likeness(error, set())


def _likeness(error: BaseException, known: set[int]) -> BaseException:
    known.add(id(error))
    kind = type(error)
    made: BaseException
    if isinstance(error, BaseExceptionGroup):
        inner = [_likeness(one, known) for one in error.exceptions]
        made = BaseExceptionGroup(redact_text(error.message), inner)
    else:
        base = next(one for one in (VoipsyncError, Exception, BaseException) if isinstance(error, one))
        names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
        made = type(kind.__name__, (base,), names)(_said(error))
    before = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    made.__cause__ = _likeness(before, known) if before is not None and id(before) not in known else None
    return made.with_traceback(error.__traceback__)


@contextmanager
def discreet() -> Iterator[None]:
    """Let out of a Prefect task or flow only what may be read: Prefect keeps it as the state's message."""
    try:
        yield
    except VoipsyncError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it goes on
        broken = presentable(error)
    else:
        return
    raise broken


class _Redacted(logging.LogRecord):
    """A log record that holds nothing else than what may be read."""

    def __init__(self, *given: Any, **more: Any) -> None:  # noqa: ANN401 - as LogRecord's
        super().__init__(*given, **more)
        if isinstance(self.args, tuple):
            self.args = tuple(
                presentable(one) if isinstance(one, BaseException) else one for one in self.args
            )
        try:
            said = self.getMessage()
        except Exception:  # noqa: BLE001 - a message that does not fit its arguments
            said = str(self.msg)
        self.msg, self.args = redact_text(_without_contents(self.name, said)), ()
        if self.exc_info and self.exc_info[1] is not None:
            shown = presentable(self.exc_info[1])
            self.exc_info = (type(shown), shown, shown.__traceback__)


def _without_contents(logger: str, said: str) -> str:
    if shows_personal_data():
        return said
    if logger == "asyncio":
        return _REPR.sub(r"\1=…", said)
    if logger.startswith("sqlalchemy.engine") and "Row (" in said:
        return "a row"  # hide_parameters hides what is sent, not what is read
    return said


def guard() -> None:
    """Redact from now on whatever this process logs, and the exceptions that nobody catches."""
    if logging.getLogRecordFactory() is _Redacted:
        return
    logging.setLogRecordFactory(_Redacted)
    last, in_thread, as_warning = sys.excepthook, threading.excepthook, warnings.formatwarning

    def redacted_last(_kind: object, error: BaseException, trace: Any) -> None:  # noqa: ANN401
        shown = presentable(error)
        last(type(shown), shown, trace)

    def redacted_in_thread(args: threading.ExceptHookArgs) -> None:
        shown = presentable(args.exc_value) if args.exc_value else None
        kind = type(shown) if shown else args.exc_type
        in_thread(threading.ExceptHookArgs((kind, shown, args.exc_traceback, args.thread)))

    def redacted_warning(*given: Any, **more: Any) -> str:  # noqa: ANN401
        return redact_text(as_warning(*given, **more))

    sys.excepthook, threading.excepthook = redacted_last, redacted_in_thread
    warnings.formatwarning = redacted_warning
