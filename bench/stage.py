"""A Prefect server on PostgreSQL, a worker, the sync's deployment, a ledger on PostgreSQL, and a sandbox."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bench.deployed import (
    PATIENCE,
    deploy,
    environment,
    free_address,
    prefect_server,
    prefect_worker,
    until_healthy,
)
from bench.postgres import Cluster
from bench.scene import Tell
from bench.supervised import Supervised
from flows.demo import CONFIGURATION
from sandbox.client import Box
from sandbox.serve import Sandbox

PAGE = 200


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
        ledger = Cluster.started(folder, "ledger")
        stack.callback(ledger.process.stop)
        database = Cluster.started(folder, "prefect")
        stack.callback(database.process.stop)
        address = free_address()
        env = environment(folder, address) | _configured(box, folder, ledger)
        env |= {"PREFECT_SERVER_DATABASE_CONNECTION_URL": database.url("postgresql+asyncpg", "prefect")}
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
        stage = Stage(box, api, server, worker, ledger.process, database.process)
        first = stage.new_contact()
        until = time.monotonic() + PATIENCE
        while first not in stage.delivered():
            if time.monotonic() > until:
                raise RuntimeError((folder / "worker.log").read_text(encoding="utf-8")[-3000:])
            time.sleep(1)
        yield stage


def _configured(box: Box, folder: Path, ledger: Cluster) -> dict[str, str]:
    """Write the configuration; return the secrets and settings beside it."""
    configuration = CONFIGURATION.replace("accounts.demo.", "accounts.acme.").format(
        folder=folder,
        source=box.voipstudio_url,
        destination=box.highlevel_url,
        location=box.location_id,
        calendar=box.calendar_id,
    )
    (folder / "voipsync.toml").write_text(configuration, encoding="utf-8")
    return {
        "VOIPSYNC_STATE__URL": ledger.url("postgresql+psycopg", "ledger"),
        "VOIPSYNC_DEMO_API_KEY": box.api_key,
        "VOIPSYNC_DEMO_TOKEN": box.token,
    }
