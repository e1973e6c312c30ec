"""VoIPstudio's timestamps, read into instants.

The API prints wall-clock times without an offset ("2026-01-02 03:04:05", VoIPstudio docs) and, for live
calls, epoch seconds. No public source says which zone the former are in, so the account's configuration does.
The destination is told UTC only.

A wall-clock time is not always one instant. The rule here, the same on every machine and in every run:

* in an overlap (clocks go back, an hour happens twice) the first occurrence is meant;
* in a gap (clocks go forward, the time never happened) the time moves forward by the length of the gap, as on
  a clock that nobody had put forward yet: 02:30 in a gap of one hour is 03:30.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

RawTime: TypeAlias = str | int | None
"""A timestamp as the source sent it."""

_UNSET = re.compile(r"0*|(?:0000-00-00|-0001-11-30|0001-01-01)(?:[T ].*)?", re.ASCII | re.DOTALL)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_EPOCH = re.compile(r"\d{9,13}", re.ASCII)
_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)[T ](?P<time>\d\d:\d\d(?::\d\d(?:[.,]\d{1,9})?)?)"
    r" ?(?P<zone>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII | re.IGNORECASE,
)
_MILLISECONDS_FROM = 10**11
_EPOCH_END = 10**13


def instant(raw: RawTime | datetime, zone: ZoneInfo) -> datetime | None:
    """The instant (aware, UTC) that ``raw`` names; None where it names none.

    Empty text, 0 and the zero dates that databases print ("0000-00-00 00:00:00") name none. An offset or Z in
    the text is respected; without one the time is the wall clock of ``zone``, and a bare date its midnight.
    Whole numbers, also as 9 to 13 digits of text, are epoch seconds, from 10^11 on milliseconds.

    Raises:
        ValueError: What stands there is no time. The message does not repeat it.
    """
    if raw is None:
        return None
    try:
        if isinstance(raw, str):
            return _from_text(raw.strip(), zone)
        moment = raw if isinstance(raw, datetime) else _from_epoch(raw)
        return None if moment is None else _resolved(moment, zone)
    except (ValueError, OverflowError):
        raise ValueError("not a readable time") from None


def is_date_only(raw: object) -> bool:
    """Whether ``raw`` is a day without a time of day ("2026-01-02")."""
    return isinstance(raw, str) and _DATE.fullmatch(raw.strip()) is not None


def next_midnight(raw: str, zone: ZoneInfo) -> datetime:
    """The end of the bare date ``raw``: the local midnight that follows, however many hours the day has.

    Raises:
        ValueError: ``raw`` is no date, or the calendar's last one.
    """
    try:
        following = date.fromisoformat(raw.strip()) + timedelta(days=1)
        return _resolved(datetime.fromisoformat(following.isoformat()), zone)
    except (ValueError, OverflowError):
        raise ValueError("not a readable date") from None


def stamp(moment: datetime) -> str:
    """An instant as the destination is told it: UTC, whole seconds, "2026-01-02T03:04:05Z"."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def _from_text(text: str, zone: ZoneInfo) -> datetime | None:
    if _UNSET.fullmatch(text):
        return None
    if _EPOCH.fullmatch(text):
        return _from_epoch(int(text))
    if _DATE.fullmatch(text):
        return _resolved(datetime.fromisoformat(text), zone)
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(text)
    offset = (match["zone"] or "").upper().replace("UTC", "Z").replace("GMT", "Z")
    return _resolved(datetime.fromisoformat(f"{match['date']}T{match['time']}{offset}"), zone)


def _from_epoch(number: int) -> datetime | None:
    if number == 0:
        return None
    if isinstance(number, bool) or not 0 < number < _EPOCH_END:
        raise ValueError(number)
    seconds = number // 1000 if number >= _MILLISECONDS_FROM else number
    return datetime.fromtimestamp(seconds, tz=UTC)


def _resolved(moment: datetime, zone: ZoneInfo) -> datetime:
    local = moment if moment.tzinfo else moment.replace(tzinfo=zone, fold=0)
    return local.astimezone(UTC)
