"""One measured job in a process of its own: ``python -m bench.process JOB``, JOB a JSON object.

Its ``what`` is ``engine`` (a sync without Prefect), ``flow`` (the same as Prefect's flow, with its temporary
API, and timed as Prefect times it), ``fill`` (the ledger becomes as a first sync would leave it),
``requests`` (bare httpx sends what the file ``path`` lists) or ``nothing`` (all is imported, for the memory
that this takes). Account and ledger come from the environment.

What was measured goes to standard output, one JSON object: ``wall``, ``waited`` for the source, ``user`` and
``system`` CPU seconds of the job, ``peak`` memory of the process in MB, the ``startup`` seconds before the
job, and the sync's ``report``.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import selectors
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from tasks import transport
from tasks.engine.report import Report
from tasks.engine.steps import sync_once
from tasks.options import SyncOptions
from tasks.settings import load

ACCOUNT = "demo"
Job = Mapping[str, Any]


class Waiting(selectors.DefaultSelector):
    """Counts the time in which the event loop idles while the source owes an answer.

    What the process works meanwhile is not waiting, and neither is waiting for the ledger or the destination.
    As the source has no quota of its own, its pacer is told of each request's beginning and end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._owed = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events."""
        started = time.perf_counter()
        ready = super().select(timeout)
        if self._owed:
            self.seconds += time.perf_counter() - started
        return ready

    async def permit(self) -> int:
        """A request to the source begins."""
        self._owed += 1
        return 0

    def observe(self, permit: int, status: int, headers: Mapping[str, str]) -> None:
        """It has ended."""
        self._owed -= 1


async def engine(job: Job) -> dict[str, Any]:
    """Sync without Prefect."""
    report = await sync_once(ACCOUNT, SyncOptions(**job.get("options", {})), load())
    return report.as_json()


async def flow(job: Job) -> dict[str, Any]:
    """Sync through Prefect's flow."""
    from prefect.client.orchestration import get_client  # noqa: PLC0415 - imported by `start_prefect`

    from flows.sync import sync  # noqa: PLC0415

    begun = time.perf_counter()
    state: Any = await sync(ACCOUNT, SyncOptions(**job.get("options", {})), return_state=True)
    whole = time.perf_counter() - begun
    made: Report = await state.aresult()
    async with get_client() as client:
        run = await client.read_flow_run(state.state_details.flow_run_id)
    took = run.total_run_time.total_seconds()
    return made.as_json() | {"took": took, "around": whole - took}


def start_prefect() -> None:
    """Import the flow and start Prefect's temporary API."""
    from flows.cli_run import PREFECT  # noqa: PLC0415 - imports Prefect, which takes seconds

    for name, value in PREFECT.items():
        os.environ.setdefault(name, value)
    # Prefect imports its engines at the first flow run
    import prefect.flow_engine  # noqa: PLC0415
    import prefect.task_engine  # noqa: F401, PLC0415
    from prefect.client.orchestration import get_client  # noqa: PLC0415

    import flows.sync  # noqa: F401, PLC0415

    with get_client(sync_client=True) as client:
        client.hello().raise_for_status()  # it listens before it answers: it is up when it has answered


async def requests(job: Job) -> dict[str, Any]:
    """Send what a file lists, as bare httpx does: the first ``alone`` one by one, the rest together."""
    watch = transport.Unpaced()
    listed = json.loads(Path(job["path"]).read_text(encoding="utf-8"))  # noqa: ASYNC240 - nothing runs yet
    queue = deque(listed["requests"])
    limits = httpx.Limits(max_connections=job["concurrency"], max_keepalive_connections=job["concurrency"])

    async def send(client: httpx.AsyncClient, one: dict[str, Any]) -> None:
        permit = await watch.permit()
        answer = await client.request(one["method"], one["url"], json=one.get("body"))
        watch.observe(permit, answer.status_code, answer.headers)
        answer.raise_for_status()
        answer.json()

    async def worker(client: httpx.AsyncClient) -> None:
        while queue:
            await send(client, queue.popleft())

    async with httpx.AsyncClient(headers=listed["headers"], limits=limits, timeout=30) as client:
        for _ in range(job["alone"]):
            await send(client, queue.popleft())
        async with asyncio.TaskGroup() as group:
            for _ in range(job["concurrency"]):
                group.create_task(worker(client))
    return {}


async def fill(_job: Job) -> dict[str, Any]:
    """Fill the ledger as a first sync does."""
    from bench import loader  # noqa: PLC0415 - nobody else needs it

    return (await loader.fill(ACCOUNT)).as_json()


async def nothing(_job: Job) -> dict[str, Any]:
    """Do nothing."""
    return {}


JOBS: dict[str, Callable[[Job], Awaitable[dict[str, Any]]]] = {
    "engine": engine,
    "flow": flow,
    "requests": requests,
    "fill": fill,
    "nothing": nothing,
}


def peak_memory() -> float:
    """The most memory this process has used, MB. Linux counts the parent's into ``ru_maxrss``."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def main() -> None:
    """Do the job that the command line names."""
    job = json.loads(sys.argv[1])
    if job["what"] == "flow":
        start_prefect()
    waiting, kind = Waiting(), transport.Unpaced
    # the source's pacer: the only service without a quota
    permit = mock.patch.object(kind, "permit", waiting.permit)
    observe = mock.patch.object(kind, "observe", waiting.observe)
    with permit, observe, asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(waiting)) as runner:
        runner.get_loop()
        startup, before = time.time() - job["started"], resource.getrusage(resource.RUSAGE_SELF)
        begun = time.perf_counter()
        report = runner.run(_await(JOBS[job["what"]](job)))
        wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_SELF)
    # a flow's time is what Prefect records: from running to ended; making the run is Prefect's start-up
    startup += report.pop("around", 0.0)
    measured = {
        "wall": report.pop("took", wall),
        "waited": waiting.seconds,
        "user": after.ru_utime - before.ru_utime,
        "system": after.ru_stime - before.ru_stime,
        "peak": peak_memory(),
        "startup": startup,
        "report": report,
    }
    sys.stdout.write(json.dumps(measured) + "\n")


async def _await(job: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return await job


if __name__ == "__main__":
    main()
