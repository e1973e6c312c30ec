"""Charts of an account's history: figures of plotly, light, with units and their zone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median

import plotly.graph_objects as go

from tasks.engine.chronicle import DAY, HOUR, KINDS, Entry, ages, by_time, steps
from tasks.engine.report import OPEN

COLORS = {
    "created": "#2a9d8f",
    "adopted": "#8ab17d",
    "updated": "#3a7ca5",
    "deleted": "#e76f51",
    "rejected": "#c1121f",
    "ambiguous": "#f4a261",
    "waiting": "#8d99ae",
    "unresolved": "#6a4c93",
}
_BLUE, _GREY, _GRID, _INK = "#3a7ca5", "#8d99ae", "#e9ecef", "#343a40"
_FEW_DAYS = 3 * DAY
_LONG = ((2 * DAY, DAY, "days"), (3 * HOUR, HOUR, "hours"), (180.0, 60.0, "minutes"), (0.0, 1.0, "seconds"))


def charts(found: Sequence[Entry], since: float, until: float, limit: int) -> dict[str, go.Figure]:
    """The charts of an account, by name.

    Args:
        found: its runs.
        since: where the axis of time begins.
        until: and ends.
        limit: requests that the location is allowed a day.
    """
    width = HOUR if until - since <= _FEW_DAYS else DAY
    groups = by_time(found, width)
    made = {
        "written": _written(groups, width),
        "open": _open(found),
        "freshness": _freshness(found, groups, width),
        "requests": _requests(by_time(found, DAY), limit),
        "duration": _duration(groups, width),
    }
    for figure in made.values():
        figure.update_xaxes(range=[_at(since), _at(-(-until // width) * width)])
        figure.update_layout(showlegend=any(trace.name for trace in figure.data))
        if not figure.data:
            there = {"x": 0.5, "y": 0.5, "xref": "paper", "yref": "paper"}
            figure.add_annotation(text="none in this time", showarrow=False, **there)
            figure.update_yaxes(showticklabels=False)
    return made


def _written(groups: Mapping[float, Sequence[Entry]], width: float) -> go.Figure:
    figure = _figure("Records written", f"records each {_word(width)}")
    figure.update_layout(barmode="stack")
    for name in KINDS:
        numbers = [sum(entry.done[name] for entry in group) for group in groups.values()]
        if any(numbers):
            figure.add_bar(**_bars(groups, width, numbers), name=name, marker_color=COLORS[name])
    return figure


def _open(found: Sequence[Entry]) -> go.Figure:
    figure = _figure("Records that are open", "records")
    for state in OPEN:
        points = steps(found, state)
        if any(number for _, number in points):
            figure.add_scatter(
                x=[_at(when) for when, _ in points],
                y=[number for _, number in points],
                name=state,
                mode="lines",
                line={"shape": "hv", "color": COLORS[state], "width": 2},
            )
    return figure


def _freshness(found: Sequence[Entry], groups: Mapping[float, Sequence[Entry]], width: float) -> go.Figure:
    worst = dict.fromkeys(groups, 0.0)
    for when, age in ages(found):
        start = when - when % width
        worst[start] = max(worst.get(start, 0.0), age)
    known = {start: age for start, age in worst.items() if age}
    unit, word = _unit(known.values())
    figure = _figure("How far HighLevel was behind VoIPstudio", f"{word}, the worst of each {_word(width)}")
    if known:
        figure.add_bar(**_bars(known, width, [age / unit for age in known.values()]), marker_color=_BLUE)
    return figure


def _requests(groups: Mapping[float, Sequence[Entry]], limit: int) -> go.Figure:
    figure = _figure("Requests to HighLevel", f"% of the {limit:,} allowed each day")
    numbers = [sum(entry.requests for entry in group) for group in groups.values()]
    if any(numbers):
        shares = [100 * number / limit for number in numbers]
        shown = "%{customdata:,} requests (%{y:.2f} %)<extra></extra>"
        bars = _bars(groups, DAY, shares)
        figure.add_bar(**bars, customdata=numbers, hovertemplate=shown, marker_color=_BLUE)
        figure.update_yaxes(range=[0, max(*shares, 1.0) * 1.1], ticksuffix=" %")
    return figure


def _duration(groups: Mapping[float, Sequence[Entry]], width: float) -> go.Figure:
    took = {start: [entry.finished - entry.started for entry in group] for start, group in groups.items()}
    unit, word = _unit(max(group) for group in took.values())
    figure = _figure("Duration of runs", f"{word}, of the runs of each {_word(width)}")
    middle = [_at(start + width / 2) for start in took]
    for name, pick, color in (("slowest", max, _GREY), ("median", median, _BLUE)):
        if took:
            figure.add_scatter(
                x=middle,
                y=[pick(group) / unit for group in took.values()],
                name=name,
                mode="lines+markers",
                line={"color": color, "width": 2},
            )
    return figure


def _bars(starts: Iterable[float], width: float, numbers: Sequence[float]) -> dict[str, object]:
    """Bars that fill the day or hour that they are about."""
    return {
        "x": [_at(start + width / 2) for start in starts],
        "y": numbers,
        "width": width * 800,  # milliseconds, and some air
    }


def _figure(title: str, unit: str) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        title={"text": f"<b>{title}</b><br><sub>{unit}</sub>", "x": 0, "xref": "paper", "y": 0.93},
        font={"family": "system-ui, sans-serif", "size": 13, "color": _INK},
        margin={"l": 60, "r": 16, "t": 64, "b": 36},
        height=280,
        legend={
            "orientation": "h",
            "x": 1,
            "xanchor": "right",
            "y": 1.02,
            "yanchor": "bottom",
            "traceorder": "normal",
        },
        hovermode="x unified",
        bargap=0.1,
    )
    figure.update_xaxes(type="date", gridcolor=_GRID, linecolor=_GREY, showgrid=False)
    figure.update_yaxes(gridcolor=_GRID, zeroline=False, rangemode="tozero", separatethousands=True)
    return figure


def _unit(seconds: Iterable[float]) -> tuple[float, str]:
    most = max(seconds, default=0.0)
    return next((unit, word) for least, unit, word in _LONG if most >= least)


def _word(width: float) -> str:
    return "hour" if width == HOUR else "day"


def _at(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
