"""What a scheduled sync costs that finds nothing to do, and what of it is Prefect's."""

from __future__ import annotations

import os
import re
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import yaml

from bench.scene import ROOT, UNLIMITED, Scene, Sizes, Tell, scene
from bench.supervised import Supervised
from bench.table import Row

CONTACTS = 20
PATIENCE = 120.0
QUIET = 8.0
"""Seconds after which all of a run is over: its process, and what Prefect's server records in batches."""
POOL = "bench"
ENDED = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
FLOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "empty": ("bench/empty.py:empty", {}),
    "sync": ("flows/sync.py:sync", {"account": "demo", "options": {"overlap": "skip"}}),
}
"""What is deployed: entrypoint and parameters."""
OURS = "asked-by=bench"
ASKED = re.compile(r'"(?P<method>[A-Z]+|WebSocket) /api(?P<path>/[^\s"]*)')
WORKERS_OWN = ("/work_pools", "/work_queues")
ID = re.compile(r"[0-9a-f]{8}-[0-9a-f-]{27}")


@dataclass(frozen=True, slots=True)
class Cost:
    """What a flow run cost.

    Attributes:
        run: processor seconds of the worker and of all processes that it started.
        server: of Prefect's server.
        wall: seconds from when it was asked for to its end.
        asked: requests to Prefect's API by kind, but for the worker's looking for work.
    """

    run: float
    server: float
    wall: float
    asked: Counter[str]


class Prefect:
    """A server, whose log tells what it was asked, a worker, and the deployments of `FLOWS`."""

    def __init__(self, api: httpx.Client, server: Supervised, worker: Supervised) -> None:
        self._api = api
        self._server = server
        self._worker = worker
        self._deployments = {name: self._deploy(name, *what) for name, what in FLOWS.items()}

    def _deploy(self, name: str, entrypoint: str, parameters: dict[str, Any]) -> str:
        pool = yaml.safe_load((ROOT / "prefect.yaml").read_text(encoding="utf-8"))["definitions"]["pool"]
        step = {"prefect.deployments.steps.set_working_directory": {"directory": str(ROOT)}}
        made = self._post(
            "/deployments/",
            {
                "name": name,
                "flow_id": self._post("/flows/", {"name": name})["id"],
                "entrypoint": entrypoint,
                "parameters": parameters,
                "parameter_openapi_schema": {"type": "object", "properties": {}},
                "work_pool_name": POOL,
                "job_variables": pool["job_variables"],
                "pull_steps": [step],
            },
        )
        return str(made["id"])

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._api.post(path, json=body).raise_for_status().json()
        return answer

    def run(self, name: str) -> Cost:
        """Run a deployment to its end, and let all come to rest.

        Raises:
            RuntimeError: it did not end, or not well.
        """
        at, run, server = self._server.log.stat().st_size, _cpu(self._worker), _cpu(self._server)
        begun, until = time.perf_counter(), time.monotonic() + PATIENCE
        made = self._post(f"/deployments/{self._deployments[name]}/create_flow_run?{OURS}", {})
        while made["state_type"] not in ENDED:
            if time.monotonic() > until:
                raise RuntimeError(f"a run of the flow {name} did not end within {PATIENCE:.0f} s")
            time.sleep(0.5)
            made = self._api.get(f"/flow_runs/{made['id']}?{OURS}").raise_for_status().json()
        wall = time.perf_counter() - begun
        if made["state_type"] != "COMPLETED":
            raise RuntimeError(f"a run of the flow {name} ended: {made['state']['message']}")
        time.sleep(QUIET)
        return Cost(_cpu(self._worker) - run, _cpu(self._server) - server, wall, self._asked(at))

    def _asked(self, at: int) -> Counter[str]:
        with self._server.log.open(encoding="utf-8", errors="replace") as log:
            log.seek(at)
            found = [(one["method"], one["path"]) for one in ASKED.finditer(log.read())]
        return Counter(
            f"{method} {ID.sub('ID', path.partition('?')[0])}"
            for method, path in found
            if not path.endswith(OURS) and not path.startswith(WORKERS_OWN)
        )


def idle(sizes: Sizes, tell: Tell) -> list[Row]:
    """An account without changes is synced alone, and by a worker of Prefect, beside an empty flow."""
    with scene(contacts=CONTACTS, **UNLIMITED) as made:
        tell("the first sync")
        made.sync()
        made.box.reset_counters()
        tell("syncs with nothing to do")
        rows = [_alone(made, [made.sync() for _ in range(sizes.rounds)])]
        if sizes.with_prefect:
            tell("a Prefect server and a worker")
            with _prefect(made) as prefect:
                rows += _scheduled(made, prefect, sizes, tell)
    return rows


def _alone(made: Scene, runs: Sequence[dict[str, Any]]) -> Row:
    asked = int(made.box.counters()["highlevel"]["requests"])
    source = runs[-1]["report"]["requests"]["source"]
    cpu = median(run["user"] + run["system"] for run in runs)
    return Row(
        f"a sync with nothing to do, {CONTACTS} contacts with activities",
        "0 requests to the destination",
        f"{asked} requests; {source} to the source; {cpu:.2f} s CPU once all is imported",
        "to the source: a page, and three lists a contact",
        asked == 0,
    )


def _scheduled(made: Scene, prefect: Prefect, sizes: Sizes, tell: Tell) -> list[Row]:
    for name in FLOWS:  # what a server and a worker do once in their lives
        prefect.run(name)
    costs: dict[str, list[Cost]] = {name: [] for name in FLOWS}
    made.box.reset_counters()
    for number in range(1, sizes.rounds + 1):
        tell(f"round {number} of {sizes.rounds}: an empty flow, and the sync, run by the worker")
        for name, found in costs.items():
            found.append(prefect.run(name))
    asked = int(made.box.counters()["highlevel"]["requests"])
    empty, ours = (min(found, key=lambda one: one.run) for found in costs.values())
    return [
        Row(
            "… as a scheduled flow run, of a worker",
            "0 requests to the destination",
            f"{asked} requests; {_told(ours)}",
            f"an empty flow: {_told(empty)}",
            asked == 0,
        ),
        Row("… what it asks Prefect's API for beyond that", "", _kinds(ours.asked - empty.asked), "", None),
    ]


def _told(cost: Cost) -> str:
    return (
        f"{cost.run:.2f} s CPU, {cost.wall:.1f} s until it has ended, {cost.server:.2f} s CPU of the server, "
        f"{cost.asked.total()} requests to its API"
    )


def _kinds(asked: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in asked.most_common())


def _cpu(process: Supervised) -> float:
    """Processor seconds of a process, and of those that it started and that have ended (Linux)."""
    if process.child is None:
        return 0.0
    stat = Path(f"/proc/{process.child.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, stat[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _prefect(made: Scene) -> Iterator[Prefect]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    program, url = str(Path(sys.executable).parent / "prefect"), f"http://127.0.0.1:{port}/api"
    env = made.environment | {"HOME": str(made.folder), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [program, "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui"]
    server = Supervised([*command, "--log-level", "INFO"], env, made.folder / "server.log")
    asks = env | {"PREFECT_API_URL": url}
    worker = Supervised([program, "worker", "start", "--pool", POOL], asks, made.folder / "worker.log")
    with ExitStack() as stack:
        api = stack.enter_context(httpx.Client(base_url=url, timeout=30))
        stack.callback(server.stop)
        server.start()
        _until(lambda: api.get("/health").is_success, "Prefect's server did not start")
        api.post("/work_pools/", json={"name": POOL, "type": "process"}).raise_for_status()
        stack.callback(worker.stop)
        worker.start()
        online = {"workers": {"status": {"any_": ["ONLINE"]}}}
        there = f"/work_pools/{POOL}/workers/filter"
        _until(lambda: bool(api.post(there, json=online).json()), "Prefect's worker did not start")
        yield Prefect(api, server, worker)


def _until(holds: Callable[[], bool], otherwise: str) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise RuntimeError(otherwise)
