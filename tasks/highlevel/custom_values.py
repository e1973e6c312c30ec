"""Values of custom fields: as text in our contents, and as the API takes and shows them for each data type.

Which type takes what stands in HighLevel's OpenAPI files; that a date is shown as a day or as epoch
milliseconds, and a number with or without a fraction, was measured by integrators.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

NUMBERS = frozenset({"NUMERICAL", "MONETORY"})
LISTS = frozenset({"CHECKBOX", "MULTIPLE_OPTIONS", "TEXTBOX_LIST"})
SEPARATOR = ", "
DAY = len("2026-01-02")
"""What is kept of a date's text."""


def to_api(kind: str | None, text: str) -> Any:  # noqa: ANN401 - any JSON
    """A text as a field of this data type takes it; a text that is no number is left to the API to refuse."""
    if kind in LISTS:
        return [part.strip() for part in text.split(",") if part.strip()]
    if kind in NUMBERS:
        try:
            number = float(text.replace(",", ""))
        except ValueError:
            return text
        return int(number) if number.is_integer() else number
    return text


def as_text(kind: str | None, value: Any) -> str:  # noqa: ANN401 - any JSON
    """What the API shows, as text."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return SEPARATOR.join(map(str, value))
    if kind == "DATE" and isinstance(value, int | float):
        return datetime.fromtimestamp(value / 1000, UTC).date().isoformat()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def as_stored(kind: str | None, text: str) -> str:
    """A text in the form in which a field of this data type shows it after it was written."""
    return text[:DAY] if kind == "DATE" else as_text(kind, to_api(kind, text))
