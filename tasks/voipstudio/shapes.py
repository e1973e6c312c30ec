"""The types of source fields: a reader per meaning, tolerant of every shape that the descriptions allow.

A reader raises a ``wrong_type`` error that says what it expected and never what it found: values are personal
data.
"""

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainValidator
from pydantic_core import PydanticCustomError

_SURROGATES = re.compile("[\ud800-\udfff]")
_WHOLE_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_FLAGS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_NAME_KEYS = ("name", "label", "title", "tagName", "tag_name", "text", "value")
_LARGEST = 10**18


def _wrong(expected: str) -> PydanticCustomError:
    return PydanticCustomError("wrong_type", "expected {expected}", {"expected": expected})


def text(value: object) -> str | None:
    """Text; numbers become text. Lone surrogates go here, because nothing later could encode them."""
    if isinstance(value, str):
        return value if value.isascii() else _SURROGATES.sub("", value)
    return None if value is None else str(_number(value, "text"))


def whole(value: object) -> int:
    """A whole number, not negative; digits are one too."""
    number: object = value
    if isinstance(value, str):
        digits = value.strip()
        number = int(digits) if _WHOLE_NUMBER.fullmatch(digits) else None
    number = _number(number, "a whole number")
    if isinstance(number, float) or number < 0:
        raise _wrong("a whole number")
    return number


def reference(value: object) -> int | None:
    """The id of something else, where there is one."""
    return None if value is None or value == "" else whole(value)


def flag(value: object) -> bool | None:
    """True or false, also as 1/0 and in words."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _FLAGS or not word:
            return _FLAGS.get(word)
    elif value in (0, 1):
        return bool(value)
    raise _wrong("true or false")


def raw_time(value: object) -> str | int | None:
    """A timestamp as sent; whether it is one is found out where the zone is known."""
    if value is None or isinstance(value, str):
        return text(value)
    return int(_number(value, "a time"))


def labels(value: object) -> tuple[str, ...]:
    """Labels: null, "a, b", ["a"] or [{"name": "a"}]; an element that cannot be shown is of a wrong type."""
    return tuple(name for item in _items(value) if (name := _name(item)))


def groups(value: object) -> tuple[str, ...]:
    """Groups, like labels; but a bare number or a nameless object is a mere reference, and is passed over."""
    return tuple(name for item in _items(value) if not _is_reference(item) and (name := _name(item)))


def _number(value: object, expected: str) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise _wrong(expected)  # infinities and what is no number fall here too
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _items(value: object) -> list[object]:
    if value is None or value == {}:
        return []
    if isinstance(value, str):
        return list(value.split(","))
    return list(value) if isinstance(value, list | tuple) else [value]


def _name(item: object) -> str:
    if isinstance(item, dict):
        given = [item[key] for key in _NAME_KEYS if item.get(key) is not None]
        if not given or isinstance(given[0], dict):
            raise _wrong("names")
        return _name(given[0])
    if isinstance(item, list | bool):
        raise _wrong("names")
    return (text(item) or "").strip()


def _is_reference(item: object) -> bool:
    if isinstance(item, dict):
        return all(item.get(key) is None for key in _NAME_KEYS)
    return isinstance(item, int | float) and not isinstance(item, bool)


Whole = Annotated[int, PlainValidator(whole)]
Reference = Annotated[int | None, PlainValidator(reference)]
Text = Annotated[str | None, PlainValidator(text)]
Flag = Annotated[bool | None, PlainValidator(flag)]
Time = Annotated[str | int | None, PlainValidator(raw_time)]
Labels = Annotated[tuple[str, ...], BeforeValidator(labels)]
Groups = Annotated[tuple[str, ...], BeforeValidator(groups)]
