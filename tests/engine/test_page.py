"""The page of charts: what it counts, and that it needs and tells nothing else."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner
from plotly.offline import get_plotlyjs

from flows.cli_report import report
from tasks.engine.charts import charts
from tasks.engine.chronicle import DAY, HOUR, Entry, ages, by_time, entries, steps
from tasks.engine.page import page
from tasks.engine.report import sent
from tasks.ledger.database import opened
from tasks.ledger.sealing import Sealer
from tests.engine.test_identity import person
from tests.support.accounts import settings_of, sync


def ran(started, *, took=60.0, status="ok", kind="sync", created=0, rejected=0, requests=10):
    done = {"created": created, "adopted": 0, "updated": 0, "deleted": 0}
    still = {"rejected": rejected, "waiting": 0, "unresolved": 0, "ambiguous": 0}
    return Entry(kind, status, started, started + took, done, still, requests)


def test_runs_are_grouped_by_the_hour_or_day_they_began_in():
    found = [ran(10.0), ran(HOUR - 1), ran(HOUR), ran(DAY + 5)]
    assert {start: len(group) for start, group in by_time(found, HOUR).items()} == {0: 2, HOUR: 1, DAY: 1}
    assert {start: len(group) for start, group in by_time(found, DAY).items()} == {0: 3, DAY: 1}


def test_how_stale_it_got_is_from_a_good_syncs_beginning_to_the_next_ones_end():
    found = [ran(0), ran(300, status="failed"), ran(400, kind="verify"), ran(600, took=30), ran(700)]
    assert list(ages(found)) == [(630, 630), (760, 160)]


def test_open_records_are_told_where_their_number_changes_and_at_the_end():
    numbers = [0, 0, 2, 2, 1, 1, 1]
    found = [ran(at * 100, took=0, rejected=number) for at, number in enumerate(numbers)]
    assert steps(found, "rejected") == [(0, 0), (200, 2), (400, 1), (600, 1)]
    assert steps([], "rejected") == []


def test_charts_have_titles_units_and_what_happened():
    found = [ran(0, created=5), ran(DAY, created=7, rejected=3, requests=2_000, took=900)]
    made = charts(found, 0, 10 * DAY, 200_000)
    titles = {name: figure.layout.title.text for name, figure in made.items()}
    assert titles == {
        "written": "<b>Records written</b><br><sub>records each day</sub>",
        "open": "<b>Records that are open</b><br><sub>records</sub>",
        "freshness": "<b>How far HighLevel was behind VoIPstudio</b><br>"
        "<sub>hours, the worst of each day</sub>",
        "requests": "<b>Requests to HighLevel</b><br><sub>% of the 200,000 allowed each day</sub>",
        "duration": "<b>Duration of runs</b><br><sub>minutes, of the runs of each day</sub>",
    }
    (created,) = made["written"].data
    assert (created.name, list(created.y)) == ("created", [5, 7])
    assert list(made["requests"].data[0].y) == pytest.approx([0.005, 1.0])
    assert {line.name: list(line.y) for line in made["duration"].data} == {
        "slowest": [1, 15],
        "median": [1, 15],
    }
    assert list(made["open"].data[0].y) == [0, 3]


def test_a_chart_of_nothing_says_so():
    made = charts([ran(0, requests=0)], 0, DAY, 200_000)
    empty = {name for name, one in made.items() if one.layout.annotations}
    assert empty == {"written", "open", "freshness", "requests"}


async def test_the_page_stands_alone_and_names_nobody(box, url):
    for name in ("Ann", "Bob"):
        person(box, name)
    made = await sync(box, url)
    settings = settings_of(box, url)
    with opened(url, Sealer.of_ledger(settings.state)) as database:
        (entry,) = database.now_look(lambda connection: entries(connection, "acme", 0))
    assert (entry.done["created"], entry.requests, entry.good) == (2, sent(made.as_json()), True)
    text = page(settings.state, settings.accounts, days=30).replace(get_plotlyjs(), "")
    assert re.findall(r"\b(?:src|href)=|https?://|@import|url\(", text) == []
    assert "default-src 'none'" in text
    assert text.count("Plotly.newPlot(") == 5
    assert "records each day" in text
    assert [name for name in ("Ann", "Bob", "example.com", box.token) if name in text] == []


def test_the_command_writes_a_file_for_its_owner_alone(box, url, tmp_path, monkeypatch):
    monkeypatch.setattr("tasks.settings.load", lambda: settings_of(box, url))
    path = tmp_path / "report.html"
    path.write_text("old")
    done = CliRunner().invoke(report, ["acme", "--html", str(path)])
    assert (done.exit_code, done.output) == (0, f"wrote {path}: acme, the last 30 days\n")
    assert path.stat().st_mode & 0o777 == 0o600
    assert "No run has ended in this time." in path.read_text(encoding="utf-8")
    assert CliRunner().invoke(report, ["acme", "--html", ""]).exit_code == 2
    failed = CliRunner().invoke(report, ["acme", "--html", str(tmp_path / "no" / "report.html")])
    assert str(failed.exception) == f"cannot write {tmp_path}/no/report.html: No such file or directory"
    assert [one.name for one in tmp_path.iterdir() if one.suffix == ".html"] == ["report.html"]
