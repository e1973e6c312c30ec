"""A day at work, shortened: a Prefect server, a supervised worker, a sync every minute, sudden deaths.

Not part of `make bench`, for it takes as long as it is told to: ``python -m bench operate --minutes 30``.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.scene import Sizes, Tell
from bench.stage import (
    PATIENCE,
    deploy,
    environment,
    free_address,
    prefect_server,
    prefect_worker,
    until_healthy,
)
from bench.supervised import RESTART, Supervised
from bench.table import Row
from flows.demo import CONFIGURATION
from sandbox.client import Box
from sandbox.serve import Sandbox

P95, RECOVERY = 75.0, 150.0
"""Seconds within which a new contact must be in the CRM, and after a sudden death."""
ZOMBIE = 150.0
"""Seconds within which a run that died must not be shown as running any more."""
AWAY = 240.0
"""Seconds without a worker."""
LATE = 60.0
"""Seconds after which a run that was due and has not begun is called piled up."""
PAGE = 200


@dataclass(slots=True)
class Stage:
    """A Prefect server, a worker, the sync's deployment, and a sandbox."""

    box: Box
    api: httpx.Client
    server: Supervised
    worker: Supervised
    number: int = 0

    def new_contact(self) -> str:
        """Somebody is entered at the source."""
        self.number += 1
        email = f"new{self.number}@example.com"
        self.box.insert_source("contacts", first_name="New", last_name=str(self.number), email=email)
        return email

    def delivered(self) -> set[str]:
        """E-mail addresses at the destination."""
        return {str(one.get("email")) for one in self.box.contacts()}

    def runs(self) -> list[dict[str, Any]]:
        """The flow runs that were due by now."""
        due = {"expected_start_time": {"before_": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}}
        found: list[dict[str, Any]] = []
        while True:
            body = {"flow_runs": due, "limit": PAGE, "offset": len(found)}
            page = self.api.post("/flow_runs/filter", json=body).raise_for_status().json()
            found += page
            if len(page) < PAGE:
                return found


def live(sizes: Sizes, tell: Tell) -> list[Row]:
    """New contacts while all is well; then the worker dies with its run, then the server."""
    with _stage(tell) as stage:
        tell(f"{sizes.minutes:g} minutes of one-minute schedules")
        took = _arrivals(stage, sizes.minutes * 60, tell)
        rows = [_latency(took, sizes)]
        for what, which in (("worker", stage.worker), ("server", stage.server)):
            tell(f"the {what} dies in the middle of a run")
            rows.append(_death(stage, what, which.kill))
        tell(f"the worker is away for {AWAY / 60:.0f} minutes")
        rows.append(_return(stage))
        tell("what has become of the runs")
        time.sleep(max(0.0, ZOMBIE - 60))
        rows.append(_left(stage))
    return rows


def _arrivals(stage: Stage, seconds: float, tell: Tell) -> list[float]:
    """Enter contacts at odd moments; return how long each took to be delivered."""
    until, after = time.monotonic() + seconds, 0.0
    waiting, took = dict[str, float](), list[float]()
    while (now := time.monotonic()) < until or (waiting and now < until + PATIENCE):
        if now < until and now >= after:
            waiting[stage.new_contact()] = now
            after = now + random.uniform(5, 25)  # noqa: S311 - moments, not secrets
        there = stage.delivered()
        for email in [one for one in waiting if one in there]:
            took.append(time.monotonic() - waiting.pop(email))
            if len(took) % 10 == 0:
                tell(f"{len(took)} contacts, the slowest after {max(took):.0f} s")
        time.sleep(0.5)
    return took + [PATIENCE] * len(waiting)


def _latency(took: list[float], sizes: Sizes) -> Row:
    ordered = sorted(took)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    return Row(
        f"new contacts, {sizes.minutes:g} minutes of one-minute schedules",
        f"≤ {P95:.0f} s for 95 of 100",
        f"{len(took)} contacts: median {statistics.median(took):.0f} s, 95 of 100 within {p95:.0f} s, "
        f"slowest {ordered[-1]:.0f} s",
        "a minute between two runs: half of them within 30 s",
        p95 <= P95,
    )


def _death(stage: Stage, what: str, kill: Callable[[], int]) -> Row:
    """Kill while a run is under way; time until a contact that was entered just before is delivered."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and not any(one["state_type"] == "RUNNING" for one in stage.runs()):
        time.sleep(0.1)
    email, killed, at = stage.new_contact(), kill(), time.monotonic()
    while email not in stage.delivered() and time.monotonic() < at + PATIENCE:
        time.sleep(0.5)
    took = time.monotonic() - at
    return Row(
        f"kill -9 of the {what} and all below it, mid-run",
        f"≤ {RECOVERY:.0f} s until a new contact is delivered",
        f"{took:.0f} s ({killed} processes killed, started again after {RESTART:.0f} s)",
        "the next minute",
        took <= RECOVERY,
    )


def _return(stage: Stage) -> Row:
    """No worker for some minutes: one of the runs that came due meanwhile does the work of them all."""
    stage.worker.stop()
    email, before = stage.new_contact(), {one["id"] for one in stage.runs()}
    time.sleep(AWAY)
    stage.worker.start()
    at = time.monotonic()
    while email not in stage.delivered() and time.monotonic() < at + PATIENCE:
        time.sleep(0.5)
    took = time.monotonic() - at
    time.sleep(LATE / 2)
    names = Counter(one["state_name"] for one in stage.runs() if one["id"] not in before)
    return Row(
        f"no worker for {AWAY / 60:.0f} minutes",
        f"≤ {P95:.0f} s after its return; late runs are collapsed",
        f"{took:.0f} s; " + ", ".join(f"{number} {name}" for name, number in names.most_common()),
        "the start of a worker and of one run",
        took <= P95 and names["Collapsed"] + names["Skipped"] > 0,
    )


def _left(stage: Stage) -> Row:
    """What the server shows of all runs: none may run for ever, or wait though it was due long ago."""
    found, now = stage.runs(), time.time()
    names = Counter(one["state_name"] for one in found)
    late = [
        one
        for one in found
        if one["state_type"] in ("SCHEDULED", "PENDING") and now - _seconds(one["expected_start_time"]) > LATE
    ]
    stuck = [
        one
        for one in found
        if one["state_type"] in ("RUNNING", "CANCELLING") and now - _seconds(one["start_time"]) > ZOMBIE
    ]
    told = ", ".join(f"{number} {name}" for name, number in names.most_common())
    return Row(
        "flow runs at the end",
        "none stuck, none piled up",
        f"{len(stuck)} stuck, {len(late)} waiting for more than a minute; {told}",
        "",
        not stuck and not late,
    )


def _seconds(moment: str | None) -> float:
    from datetime import datetime  # noqa: PLC0415

    return datetime.fromisoformat(moment).timestamp() if moment else time.time()


@contextmanager
def _stage(tell: Tell) -> Iterator[Stage]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voipsync-operate-")))
        box = stack.enter_context(Sandbox.process(contacts=50, burst=5_000))
        address = free_address()
        env = _environment(box, folder, address)
        server = prefect_server(env, address, folder / "server.log")
        worker = prefect_worker(env, folder / "worker.log", limit=8)
        stack.callback(server.stop)
        stack.callback(worker.stop)
        tell("a Prefect server")
        server.start()
        api = stack.enter_context(httpx.Client(base_url=f"{address}/api", timeout=30))
        until_healthy(api, folder / "server.log")
        deploy(env, "sync")
        worker.start()
        tell("the first sync")
        stage = Stage(box, api, server, worker)
        first = stage.new_contact()
        until = time.monotonic() + PATIENCE
        while first not in stage.delivered():
            if time.monotonic() > until:
                raise RuntimeError((folder / "worker.log").read_text(encoding="utf-8")[-3000:])
            time.sleep(1)
        yield stage


def _environment(box: Box, folder: Path, address: str) -> dict[str, str]:
    configuration = CONFIGURATION.replace("accounts.demo.", "accounts.acme.").format(
        folder=folder,
        source=box.voipstudio_url,
        destination=box.highlevel_url,
        location=box.location_id,
        calendar=box.calendar_id,
    )
    (folder / "voipsync.toml").write_text(configuration, encoding="utf-8")
    return environment(folder, address) | {
        "VOIPSYNC_DEMO_API_KEY": box.api_key,
        "VOIPSYNC_DEMO_TOKEN": box.token,
    }
