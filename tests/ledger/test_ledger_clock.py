"""The ledger's time is the database's, on all machines, and costs no question a time."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import event, select

from tasks.ledger import clock, facts
from tasks.ledger.clock import ServerClock, ask
from tasks.ledger.database import Database, opened
from tasks.ledger.history import Deed, History
from tasks.ledger.retention import DAY, Terms, let_go
from tasks.ledger.scratch import scratch
from tasks.ledger.tables import history

HOUR = 3600.0
on_a_server = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


@pytest.fixture(params=[HOUR, -HOUR], ids=["ahead", "behind"])
def wrong(request, monkeypatch):
    """This machine's clock is an hour wrong; returns the true time."""
    true = time.time
    monkeypatch.setattr(time, "time", lambda: true() + request.param)
    return true


@on_a_server
def test_a_wrong_clock_of_this_machine_is_nothing_to_a_servers_ledger(database, wrong):
    assert abs(time.time() - wrong()) == pytest.approx(HOUR, abs=1)
    assert database.now() == pytest.approx(wrong(), abs=1)
    database.now_do(lambda c: facts.put(c, "acme", "walk", 1))
    assert database.now_look(lambda c: facts.get(c, "acme", "walk"))[1] == pytest.approx(wrong(), abs=1)
    with scratch(database, "acme") as copy:
        assert copy.now() == pytest.approx(wrong(), abs=1)
        copy.now_do(lambda c: facts.put(c, "acme", "walk", 2))
        assert copy.now_look(lambda c: facts.get(c, "acme", "walk"))[1] == pytest.approx(wrong(), abs=1)


@on_a_server
def test_young_history_is_kept_and_old_history_goes(database, wrong):
    def kept() -> set[str]:
        return set(database.now_look(lambda c: list(c.execute(select(history.c.source_id)).scalars())))

    ages = {"young": DAY - HOUR / 2, "old": DAY + HOUR / 2}
    deeds = [
        Deed(account="acme", entity="contacts", source_id=name, action="updated", at=wrong() - age)
        for name, age in ages.items()
    ]
    now = Deed(account="acme", entity="contacts", source_id="now", action="updated")
    its = History("acme", "r1", 1)
    database.now_do(lambda c: its.write(c, [*deeds, now]))
    terms = Terms(history_days=1, runs_days=1)
    assert database.now_do(lambda c: let_go(c, "writes", "acme", database.now(), terms)) == 1
    assert kept() == {"young", "now"}


def test_an_embedded_ledger_has_this_machines_clock(tmp_path, wrong):
    with opened(f"sqlite:///{tmp_path}/ledger.db") as database:
        assert database.now() == pytest.approx(time.time(), abs=1)
        assert database.now_look(ask) == pytest.approx(time.time(), abs=1)


@on_a_server
def test_the_database_is_asked_once(database):
    said = []
    event.listen(database.engine, "before_cursor_execute", lambda *told: said.append(told[2]))
    before = [database.now() for _ in range(100)]
    for number in range(3):
        database.now_do(lambda c, number=number: facts.put(c, "acme", "walk", number))
    assert before == sorted(before)
    assert len([one for one in said if "clock_timestamp" in one]) == 1


class Boot:
    """The seconds since the machine's start, moved by the test."""

    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@on_a_server
def test_time_goes_on_while_the_machine_sleeps(database: Database, monkeypatch):
    first = database.now()
    slept = clock.boot_clock() + HOUR
    monkeypatch.setattr(clock, "boot_clock", lambda: slept)
    assert database.now() == pytest.approx(first + HOUR, abs=1)


@pytest.fixture
def server(monkeypatch):
    """A server's clock that was asked at second 1000 and said 5000, within a tenth of a second."""
    monkeypatch.setattr(clock, "boot_clock", Boot())
    known = ServerClock()
    assert not known.known
    known.learn(5000.0, 999.95, 1000.05)
    assert known.now() == pytest.approx(5000.0)
    return known


@pytest.mark.parametrize(
    ("told", "asked", "answered", "now"),
    [
        (5010.0, 1009.99, 1010.01, 5000.0),  # as expected
        (5015.0, 1010.0, 1020.0, 5000.0),  # an answer that took ten seconds fits, and spoils nothing
        (5010.03, 1009.99, 1010.01, 5000.02),  # it drifts: no further than is certain
        (5009.97, 1009.99, 1010.01, 4999.98),
        (5070.0, 1009.99, 1010.01, 5059.99),  # it was set
        (4950.0, 1009.99, 1010.01, 4940.01),
    ],
)
def test_what_is_learnt_of_a_servers_clock(server, told, asked, answered, now):
    server.learn(told, asked, answered)
    assert server.now() == pytest.approx(now, abs=1e-6)
