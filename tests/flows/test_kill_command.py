"""SIGKILL to ``voipsync sync``, Prefect and all; then it is run once more: nothing twice, nothing lost."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.command import Command, Running
from tests.support.truth import check

DESTINATION = {"SETTLE_SECONDS": "0.5", "QUOTA__REQUESTS": "400", "QUOTA__SECONDS": "0.3"}
ENVIRONMENT = {f"VOIPSYNC_ACCOUNTS__ACME__DESTINATION__{name}": value for name, value in DESTINATION.items()}


def requests(box: Box) -> int:
    return int(box.counters()["highlevel"]["requests"])


def wait_for(box: Box, running: Running, number: int) -> None:
    until = time.monotonic() + 60
    while requests(box) < number:
        assert running.child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until, "it did not get so far"
        time.sleep(0.01)


@pytest.mark.timeout(180)
def test_three_kills_of_the_command(prefect_api: str, command: Callable[..., Any]) -> None:
    with Sandbox.process(contacts=40, burst=400, interval=0.3, latency=0.02) as box:
        made: Command = command(PREFECT_API_URL=prefect_api, **ENVIRONMENT).configure(box)
        for moment in (5, 60, 110):
            running = made.start("sync", "acme", "--json")
            wait_for(box, running, moment)
            running.signal(signal.SIGKILL, group=True)
            assert running.end().code == -signal.SIGKILL
        ran = made.run("sync", "acme", "--json")
        assert (ran.code, ran.json["status"]) == (0, "ok")
        assert check(box, made.ledger) == []
        box.reset_counters()
        assert made.run("sync", "acme").code == 0
        assert box.writes() == {}
