from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.voipstudio.times import instant, is_date_only, next_midnight, stamp

LONDON = ZoneInfo("Europe/London")
NEW_YORK = ZoneInfo("America/New_York")
UTC_ZONE = ZoneInfo("UTC")
ZONES = [
    "UTC",
    "Europe/London",
    "Europe/Madrid",
    "America/New_York",
    "America/St_Johns",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "Africa/Casablanca",
]
ANY_ZONE = st.sampled_from(ZONES).map(ZoneInfo)
WALL_CLOCKS = st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(2100, 1, 1))  # noqa: DTZ001 - a wall's


def told(raw, zone=UTC_ZONE):
    moment = instant(raw, zone)
    return None if moment is None else stamp(moment)


@pytest.mark.parametrize(
    ("raw", "zone", "expected"),
    [
        ("2026-01-02 03:04:05", "UTC", "2026-01-02T03:04:05Z"),
        ("2026-07-02 03:04:05", "Europe/London", "2026-07-02T02:04:05Z"),
        ("2026-01-02 03:04:05", "America/New_York", "2026-01-02T08:04:05Z"),
        (" 2026-01-02T03:04 ", "Europe/Madrid", "2026-01-02T02:04:00Z"),
        ("2026-01-02 03:04:05.123456789", "UTC", "2026-01-02T03:04:05Z"),
        ("2026-01-02", "Asia/Kathmandu", "2026-01-01T18:15:00Z"),
        ("2026-01-02T03:04:05Z", "America/New_York", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05z", "America/New_York", "2026-01-02T03:04:05Z"),
        ("2026-01-02 03:04:05 UTC", "America/New_York", "2026-01-02T03:04:05Z"),
        ("2026-01-02T03:04:05+05:30", "America/New_York", "2026-01-01T21:34:05Z"),
        ("2026-01-02T03:04:05-0800", "America/New_York", "2026-01-02T11:04:05Z"),
        ("2026-01-02T03:04:05.000+00", "America/New_York", "2026-01-02T03:04:05Z"),
        (1767323045, "America/New_York", "2026-01-02T03:04:05Z"),
        ("1767323045", "America/New_York", "2026-01-02T03:04:05Z"),
        (1767323045678, "America/New_York", "2026-01-02T03:04:05Z"),
        ("1767323045678", "America/New_York", "2026-01-02T03:04:05Z"),
    ],
)
def test_readable_times(raw, zone, expected):
    assert told(raw, ZoneInfo(zone)) == expected


@pytest.mark.parametrize(
    "raw",
    [None, "", "  ", 0, "0", "0000-00-00 00:00:00", "0000-00-00", "-0001-11-30 00:00:00",
     "0001-01-01T00:00:00Z"],
)  # fmt: skip
def test_times_that_name_nothing(raw):
    assert instant(raw, UTC_ZONE) is None


@pytest.mark.parametrize(
    "raw",
    ["yesterday", "2026-13-01", "2026-02-30 00:00:00", "2026-01-02 25:00:00", "02/01/2026", "20260102",
     "20260102030405", "2026-W01-1", "2026-01-02x03:04", "2026-01-02 03:04:05 EST", "9999-12-31 23:59:59",
     "1:2", "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0660\u0662", -1, 10**13, True],
)  # fmt: skip
def test_unreadable_times_say_so_without_repeating_them(raw):
    with pytest.raises(ValueError, match=r"^not a readable time$"):
        instant(raw, NEW_YORK)


def test_datetimes_are_taken_too():
    naive = datetime(2026, 7, 2, 3, 4, 5)  # noqa: DTZ001 - what a caller without zone would hand over
    assert told(naive, LONDON) == "2026-07-02T02:04:05Z"
    assert told(datetime(2026, 7, 2, 3, 4, 5, tzinfo=UTC), NEW_YORK) == "2026-07-02T03:04:05Z"


@pytest.mark.parametrize(
    ("zone", "raw", "expected"),
    [
        ("Europe/London", "2026-10-25 01:30:00", "2026-10-25T00:30:00Z"),
        ("Europe/Madrid", "2026-10-25 02:30:00", "2026-10-25T00:30:00Z"),
        ("America/New_York", "2026-11-01 01:30:00", "2026-11-01T05:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-05 01:45:00", "2026-04-04T14:45:00Z"),
    ],
)
def test_an_overlap_means_its_first_occurrence(zone, raw, expected):
    assert told(raw, ZoneInfo(zone)) == expected


@pytest.mark.parametrize(
    ("zone", "raw", "as_if"),
    [
        ("Europe/London", "2026-03-29 01:30:00", "2026-03-29 02:30:00"),
        ("America/New_York", "2026-03-08 02:30:00", "2026-03-08 03:30:00"),
        ("Australia/Lord_Howe", "2026-10-04 02:15:00", "2026-10-04 02:45:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04 01:00:00"),
        ("Pacific/Apia", "2011-12-30 12:00:00", "2011-12-31 12:00:00"),
    ],
)
def test_a_gap_moves_the_time_forward_by_its_length(zone, raw, as_if):
    assert told(raw, ZoneInfo(zone)) == told(as_if, ZoneInfo(zone))


@given(WALL_CLOCKS, ANY_ZONE)
def test_every_wall_clock_is_one_instant_and_reads_back_unless_it_never_was(wall, zone):
    wall = wall.replace(microsecond=0)
    moment = instant(f"{wall:%Y-%m-%d %H:%M:%S}", zone)
    assert moment.utcoffset() == timedelta(0)
    back = moment.astimezone(zone)
    if back.replace(tzinfo=None, fold=0) == wall:
        assert back.fold == 0
    else:
        later = wall.replace(tzinfo=zone, fold=0).utcoffset() - wall.replace(tzinfo=zone, fold=1).utcoffset()
        assert back.replace(tzinfo=None) - wall == -later > timedelta(0)


@given(WALL_CLOCKS, ANY_ZONE)
def test_all_spellings_of_an_instant_agree(wall, zone):
    moment = wall.replace(microsecond=0, tzinfo=UTC)
    epoch = int(moment.timestamp())
    spellings = [moment, moment.isoformat(), stamp(moment), moment.astimezone(zone).isoformat()]
    spellings += [epoch, epoch * 1000] if epoch * 1000 >= 10**11 else [epoch]
    assert {instant(raw, zone) for raw in spellings} == {moment}
    assert epoch < 10**8 or instant(str(epoch), zone) == moment


@given(
    st.text() | st.integers() | st.from_regex(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?", fullmatch=True), ANY_ZONE
)
def test_anything_is_a_time_or_none_or_refused(raw, zone):
    try:
        moment = instant(raw, zone)
    except ValueError as error:
        assert str(error) == "not a readable time"  # noqa: PT017 - either outcome is right
    else:
        assert moment is None or moment.tzinfo is UTC


def test_bare_dates():
    assert is_date_only("2026-01-02")
    assert is_date_only(" 2026-01-02 ")
    assert not is_date_only("2026-01-02 00:00:00")
    assert not is_date_only(20260102)
    assert not is_date_only(None)


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [("2026-01-02", LONDON, 24), ("2026-03-29", LONDON, 23), ("2026-10-25", LONDON, 25),
     ("2026-11-01", NEW_YORK, 25)],
)  # fmt: skip
def test_a_day_ends_at_the_next_midnight(day, zone, hours):
    assert next_midnight(day, zone) - instant(day, zone) == timedelta(hours=hours)


@pytest.mark.parametrize("raw", ["9999-12-31", "x"])
def test_a_day_without_end(raw):
    with pytest.raises(ValueError, match="not a readable date"):
        next_midnight(raw, UTC_ZONE)


def test_a_stamp_is_whole_seconds_utc():
    moment = datetime(2026, 7, 2, 3, 4, 5, 999999, tzinfo=LONDON)
    assert stamp(moment) == "2026-07-02T02:04:05Z"
