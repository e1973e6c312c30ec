"""What a run takes of PostgreSQL: few connections, and no transaction while it waits for the services."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from tasks.ledger.database import opened
from tests.support.accounts import sync

LATENCY = 0.6
SEEN = text("""
    SELECT count(*), max(extract(epoch FROM clock_timestamp() - xact_start)) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'voipsync' AND pid <> pg_backend_pid()
""")


@pytest.mark.parametrize("ledger_url", ["postgresql"], indirect=True)
async def test_a_run_has_two_connections_at_most_and_no_transaction_open_while_it_waits(
    box, database, ledger_url
):
    box.reset(contacts=20, burst=5000, latency=LATENCY)
    connections, oldest = [], 0.0
    with opened(f"{ledger_url}&application_name=watcher") as watcher:
        running = asyncio.create_task(sync(box, ledger_url))
        while not running.done():
            number, age = await watcher.look(lambda c: c.execute(SEEN).one())
            connections.append(number)
            oldest = max(oldest, float(age or 0.0))
            await asyncio.sleep(0.02)
    report = await running
    assert report.entities["contacts"]["created"] > 10
    assert 0 < max(connections) <= 2
    assert oldest < LATENCY
