"""A Prefect server on PostgreSQL, a worker, the sync's deployment, a ledger on PostgreSQL, and a sandbox."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.postgres import Cluster
from bench.scene import ROOT, Tell
from bench.supervised import Supervised
from flows.demo import CONFIGURATION
from sandbox.client import Box
from sandbox.serve import Sandbox

PATIENCE = 300.0
PAGE = 200
PREFECT = str(Path(sys.executable).with_name("prefect"))


@dataclass(slots=True)
class Stage:
    """What an experiment plays on, each part of which can die."""

    box: Box
    api: httpx.Client
    server: Supervised
    worker: Supervised
    ledger: Supervised
    database: Supervised
    """Of the Prefect server."""
    number: int = 0

    def new_contact(self) -> str:
        """Somebody is entered at the source."""
        self.number += 1
        email = f"new{self.number}@example.com"
        self.box.insert_source("contacts", first_name="New", last_name=str(self.number), email=email)
        return email

    def delivered(self) -> Counter[str]:
        """E-mail addresses at the destination, and how often each is there."""
        return Counter(str(one.get("email")) for one in self.box.contacts())

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


@contextmanager
def staged(tell: Tell) -> Iterator[Stage]:
    """Set it all up, and sync once."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voipsync-operate-")))
        box = stack.enter_context(Sandbox.process(contacts=50, burst=5_000))
        tell("two PostgreSQL servers")
        ledger = Cluster.started(folder, _free_port(), "ledger")
        stack.callback(ledger.process.stop)
        database = Cluster.started(folder, _free_port(), "prefect")
        stack.callback(database.process.stop)
        env, address = _environment(box, folder, ledger, database)
        server = Supervised(
            [
                PREFECT,
                "server",
                "start",
                "--host",
                "127.0.0.1",
                "--port",
                address.rpartition(":")[2],
                "--no-ui",
            ],
            {name: value for name, value in env.items() if name != "PREFECT_API_URL"},
            folder / "server.log",
        )
        worker = Supervised(
            [PREFECT, "worker", "start", "--pool", "voipsync", "--limit", "8"], env, folder / "worker.log"
        )
        stack.callback(server.stop)
        stack.callback(worker.stop)
        tell("a Prefect server")
        server.start()
        api = stack.enter_context(httpx.Client(base_url=f"{address}/api", timeout=30))
        _until_healthy(api)
        for command in (
            [sys.executable, "-m", "deployments", "--no-deploy"],
            [PREFECT, "--no-prompt", "deploy", "--name", "sync"],
        ):
            subprocess.run(command, env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        worker.start()
        tell("the first sync")
        stage = Stage(box, api, server, worker, ledger.process, database.process)
        first = stage.new_contact()
        until = time.monotonic() + PATIENCE
        while first not in stage.delivered():
            if time.monotonic() > until:
                raise RuntimeError((folder / "worker.log").read_text(encoding="utf-8")[-3000:])
            time.sleep(1)
        yield stage


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environment(box: Box, folder: Path, ledger: Cluster, database: Cluster) -> tuple[dict[str, str], str]:
    address = f"http://127.0.0.1:{_free_port()}"
    configuration = CONFIGURATION.replace("accounts.demo.", "accounts.acme.").format(
        folder=folder,
        source=box.voipstudio_url,
        destination=box.highlevel_url,
        location=box.location_id,
        calendar=box.calendar_id,
    )
    (folder / "voipsync.toml").write_text(configuration, encoding="utf-8")
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("VOIPSYNC_", "PREFECT_"))
    }
    env = inherited | {
        "HOME": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"postgresql+asyncpg://{database.address}",
        "VOIPSYNC_STATE__URL": f"postgresql+psycopg://{ledger.address}",
        "VOIPSYNC_CONFIG": str(folder / "voipsync.toml"),
        "VOIPSYNC_DEMO_API_KEY": box.api_key,
        "VOIPSYNC_DEMO_TOKEN": box.token,
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    return env, address


def _until_healthy(api: httpx.Client) -> None:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if api.get("/health").is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise RuntimeError("Prefect's server did not start")
