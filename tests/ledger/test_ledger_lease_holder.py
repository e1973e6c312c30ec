"""Whose holder is gone: a real process that takes a lease and dies, and what only looks like it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import select, update

from tasks.errors import Busy
from tasks.ledger import lease as module
from tasks.ledger import processes
from tasks.ledger.lease import hold
from tasks.ledger.tables import leases

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks Linux's /proc")

ROOT = Path(__file__).parents[2]
HOLDER = """
import asyncio, sys
from tasks.ledger.database import opened
from tasks.ledger.lease import hold

async def main():
    with opened(sys.argv[1]) as database:
        about, usage = {"run": "child"}, {"by": "child"}
        async with hold(database, "location", "child", wait=0, usage=lambda: usage, tell=print, about=about):
            print("held", flush=True)
            await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""


@pytest.fixture
def child(database, ledger_url) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, ledger_url],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


def end(child, number):
    """Send a signal and wait for its effect, but don't collect what remains."""
    child.send_signal(number)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WSTOPPED | os.WNOWAIT)


def state(child):
    return Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]


def taking(database):
    return hold(
        database,
        "location",
        "ours",
        wait=0,
        usage=dict,
        tell=lambda _said: None,
        about={"run": "ours"},
    )


async def is_held(database):
    try:
        async with taking(database):
            return False
    except Busy:
        return True


def holder(database):
    return database.now_look(lambda c: c.execute(select(leases.c.holder)).scalar_one())


def rewrite(database, **values):
    known = {**holder(database), **values}
    database.now_do(lambda c: c.execute(update(leases).values(holder=known)))


async def test_a_holder_that_lives_is_respected_and_gives_it_back(child, database):
    with pytest.raises(Busy, match=rf"run child \(process {child.pid} on "):
        async with taking(database):
            pytest.fail("held twice")
    child.communicate("\n", timeout=30)
    assert child.returncode == 0
    async with taking(database) as lease:
        assert (lease.predecessor, lease.sent_until) == ({"by": "child"}, None)


async def test_a_holder_that_was_killed_is_replaced_at_once(child, database):
    child.kill()
    child.wait(30)
    before = time.time()
    async with taking(database) as lease:
        assert lease.sent_until == pytest.approx(before, abs=5)
        assert lease.sent_until <= time.time()


async def test_a_zombie_is_gone(child, database):
    end(child, signal.SIGKILL)
    assert state(child) == "Z"
    assert not await is_held(database)


async def test_a_stopped_holder_lives(child, database):
    end(child, signal.SIGSTOP)
    assert state(child) == "T"
    assert await is_held(database)


@pytest.fixture
def left(database):
    """A lease that a process of this machine holds, which has ended since."""
    ended = subprocess.Popen(["true"])
    ended.wait(30)
    database.now_do(lambda c: module._try(c, "location", "theirs", {"run": "theirs"}))
    return partial(rewrite, database, pid=ended.pid)


async def test_a_holder_that_ended_is_gone(left, database):
    left()
    assert not await is_held(database)


@pytest.mark.parametrize("where", ["host", "boot", "pids"])
async def test_a_holder_elsewhere_is_not_judged_from_here(left, database, where):
    left(**{where: "elsewhere"})
    assert await is_held(database)


async def test_a_machine_without_a_boot_id_judges_nobody(left, database, monkeypatch):
    left(boot=None)
    monkeypatch.setattr(processes, "_boot_id", lambda: None)
    assert await is_held(database)


async def test_another_run_of_our_own_process_lives(left, database):
    left(pid=os.getpid())
    assert await is_held(database)


async def test_a_number_given_to_another_process_is_gone(left, database):
    left(pid=os.getpid(), started="1")
    assert not await is_held(database)
