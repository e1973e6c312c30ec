"""From an answer of status 200 to 299 to its model."""

from __future__ import annotations

import copy
import logging
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from tasks.errors import ApiError, Effect, OutcomeUnknown, RejectedRecord
from tasks.highlevel.answers import Done, Duplicate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasks.highlevel.operations import Operation
    from tasks.transport import Answer

log = logging.getLogger(__name__)
_drifted: set[tuple[str, str]] = set()
_MAY_BE_EMPTY = (Done, Duplicate)


def parse(operation: Operation, answer: Answer, path: Mapping[str, str]) -> BaseModel:
    """Return the answer's model.

    A property of a type that was not expected is left out, with one warning per property: the record it
    belongs to is worth more.

    Raises:
        OutcomeUnknown: the answer to a write does not say what came of it; for a creation, it has no id.
        RejectedRecord: the answer says itself that the write did not succeed.
        ApiError: the answer to a read lacks what was asked for.
    """
    data = answer.data
    if operation.writes and _denied(data):
        raise RejectedRecord(
            f"{operation.name}: the answer says that it did not succeed",
            status=answer.status,
            reason="not_succeeded",
        )
    if data is None and operation.answer in _MAY_BE_EMPTY:
        return operation.answer()
    record = _record(operation, data, path)
    try:
        return operation.answer.model_validate(record)
    except ValidationError as error:
        mended = _without(record, error, operation.answer.__name__)
    try:
        return operation.answer.model_validate(mended)
    except ValidationError:
        missing = "what was asked for" if not operation.writes else "what came of it"
        text = f"{operation.name}: the answer (HTTP {answer.status}) does not say {missing}"
        if operation.writes:
            raise OutcomeUnknown(
                text, status=answer.status, reason="bad_answer", effect=Effect.DONE
            ) from None
        raise ApiError(text, status=answer.status, reason="bad_answer") from None


def _denied(data: object) -> bool:
    return isinstance(data, dict) and (data.get("succeeded") is False or data.get("succeded") is False)


def _record(operation: Operation, data: object, path: Mapping[str, str]) -> object:
    """Take the record out of its envelope; what was updated has the id by which it was addressed."""
    if not operation.under or not isinstance(data, dict):
        return data
    record = next((inner for key in operation.under if isinstance(inner := data.get(key), dict)), data)
    if operation.method == "PUT" and not record.get("id"):
        return {**record, "id": path[operation.path_names[-1]]}
    return record


def _without(record: object, error: ValidationError, model: str) -> object:
    """A copy without the properties of unexpected types, and without list items that have no id."""
    mended = copy.deepcopy(record)
    useless: list[tuple[list[Any], Any]] = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        _mend(mended, problem["loc"], useless)
        field = ".".join(str(part) for part in problem["loc"] if not isinstance(part, int))
        if field and (model, field) not in _drifted:
            _drifted.add((model, field))
            log.warning(
                "HighLevel's answer is not as documented, left out: %s.%s (%s)", model, field, problem["type"]
            )
    for items, item in useless:
        items[:] = [one for one in items if one is not item]
    return mended


def _mend(record: object, location: Sequence[int | str], useless: list[tuple[list[Any], Any]]) -> None:
    """Follow a problem's location as far as it leads, and leave out what stands there."""
    here: Any = record
    steps: list[tuple[Any, Any]] = []
    for part in location:
        if not _leads_on(here, part):
            break
        steps.append((here, part))
        here = here[part]
    if not steps:
        return
    holder, part = steps[-1]
    if isinstance(holder, list):
        useless.append((holder, here))
    elif part not in ("id", "_id"):
        del holder[part]
    elif len(steps) > 1 and isinstance(steps[-2][0], list):
        useless.append((steps[-2][0], holder))


def _leads_on(here: object, part: int | str) -> bool:
    if isinstance(here, dict):
        return part in here
    return isinstance(here, list) and isinstance(part, int) and part < len(here)
