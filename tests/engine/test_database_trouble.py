"""The ledger's database fails in the middle of a run: one clear line, nothing lost, the next run finishes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.truth import check
from tests.support.workers import QUICK, Worker, Workers, wait_for

SCENARIO: dict[str, Any] = {"contacts": 30, "burst": 400, "interval": 0.3, "latency": 0.02}
POSTGRESQL = pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)


def assert_failed_clearly(worker: Worker, *words: str) -> None:
    """It ended soon, with exit code 1 and one line that says what is wrong with the ledger."""
    assert worker.end(30) == 1
    said = [worker.report["error"]] if "error" in worker.report else worker.report["warnings"]
    assert said
    assert "\n" not in said[0]
    for word in ("ledger", *words):
        assert word in said[0]


def assert_the_next_run_finishes(workers: Workers) -> None:
    last = workers.start()
    assert (last.end(), last.report["status"]) == (0, "ok")
    assert check(workers.box, workers.url, **QUICK) == []


def end_connections(server: str, url: str) -> int:
    """What an administrator, or a server that restarts, does."""
    with psycopg.connect(server, autocommit=True) as connection:
        ended = connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'voipsync' AND datname = %s",
            (make_url(url).database,),
        )
        return len(ended.fetchall())


@POSTGRESQL
def test_dropped_connections_are_made_anew(box, ledger_url, postgres_url, tmp_path):
    workers = Workers(box, ledger_url, tmp_path, QUICK)
    worker, ended = workers.start(), 0
    for _ in range(4):
        wait_for(box, worker, 20)
        ended += end_connections(postgres_url, ledger_url)
    assert ended
    assert (worker.end(), worker.report["status"]) == (0, "ok")
    assert check(box, ledger_url, **QUICK) == []


@POSTGRESQL
def test_a_database_that_is_gone_ends_the_run(box, ledger_url, postgres_url, tmp_path):
    workers = Workers(box, ledger_url, tmp_path, QUICK)
    name = make_url(ledger_url).database
    worker = workers.start()
    wait_for(box, worker, 30)
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        end_connections(postgres_url, ledger_url)
        assert_failed_clearly(worker)
        connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert_the_next_run_finishes(workers)


@pytest.mark.parametrize("pages", [5, 26, 32])
def test_a_full_disk_ends_the_run(box, url, tmp_path, pages):
    workers = Workers(box, url, tmp_path, QUICK)
    worker = workers.start(trouble={"max_pages": pages})
    assert_failed_clearly(worker, "full", "make room on the disk")
    assert_the_next_run_finishes(workers)


def test_a_disk_that_becomes_full_later_ends_the_run(box, url, tmp_path):
    workers = Workers(box, url, tmp_path, QUICK)
    assert workers.start().end() == 0
    for row in box.source("contacts"):
        box.insert_source("notes", row["id"], body="Word " * 800)
    pages = Path(url.removeprefix("sqlite:///")).stat().st_size // 4096
    worker = workers.start(trouble={"max_pages": pages + 10})
    assert_failed_clearly(worker, "full", "make room on the disk")
    assert_the_next_run_finishes(workers)


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Another program has the SQLite file to itself."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None, timeout=20)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.rollback()
        connection.close()


def test_a_locked_ledger_keeps_a_run_from_beginning(box, url, tmp_path):
    workers = Workers(box, url, tmp_path, QUICK)
    with locked(url):
        assert_failed_clearly(workers.start(trouble={"busy_seconds": 0.5}), "locked", "another program")
    assert box.counters()["highlevel"]["requests"] == 0
    assert_the_next_run_finishes(workers)


def test_a_ledger_that_is_locked_in_the_middle_ends_the_run(box, url, tmp_path):
    workers = Workers(box, url, tmp_path, QUICK)
    worker = workers.start(trouble={"busy_seconds": 0.5})
    wait_for(box, worker, 30)
    with locked(url):
        assert_failed_clearly(worker, "locked", "another program")
    assert_the_next_run_finishes(workers)


def test_a_short_lock_is_waited_for(box, url, tmp_path):
    workers = Workers(box, url, tmp_path, QUICK)
    worker = workers.start()
    wait_for(box, worker, 30)
    with locked(url):
        time.sleep(1.0)
    assert (worker.end(), worker.report["status"]) == (0, "ok")
    assert check(box, url, **QUICK) == []
