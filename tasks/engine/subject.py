"""Which record the work under way is about: who stands between the engine and a service needs to know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Subject:
    """A record, while something is decided and done about it.

    Attributes:
        entity: of the record.
        source_id: of the record.
        seen: what destination records, by id, held when they were first read for it.
        sent: whether a writing request has left for it.
    """

    entity: str
    source_id: str
    seen: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: bool = False


_subject: ContextVar[Subject | None] = ContextVar("subject", default=None)


@contextmanager
def about(entity: str, source_id: str) -> Iterator[Subject]:
    """Whatever is done inside, also by coroutines that are started there, is about this record."""
    subject = Subject(entity, source_id)
    token = _subject.set(subject)
    try:
        yield subject
    finally:
        _subject.reset(token)


def subject() -> Subject | None:
    """The record that the work under way is about, if it is about one."""
    return _subject.get()
