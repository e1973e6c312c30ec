"""Many accounts on one machine: a fleet, several workers, one Prefect server, all state in PostgreSQL."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import Connection, select

from bench.cost import recorded
from bench.deployed import deploy, environment, free_address, prefect_server, prefect_worker, until_healthy
from bench.postgres import Cluster
from bench.scene import UNLIMITED, Sizes, Tell, contacts_delivered, duplicates, scene
from bench.supervised import Supervised
from bench.table import Row
from flows.demo import CONFIGURATION
from sandbox.client import Box
from sandbox.serve import Sandbox
from tasks.ledger import migrate
from tasks.ledger.database import opened
from tasks.ledger.tables import runs

USE = 0.95
"""Of an account's quota, while it is synced."""
PART = 0.6
"""Of what bare httpx writes a second from as many processes, where the processor is the limit."""
WORKERS = 4
TURN = 60.0
"""Seconds between two runs of the fleet."""
RUNS = {False: WORKERS, True: 10 * WORKERS}
"""Flow runs at a time; where workers die, those of the dead count until Prefect has noticed."""


@dataclass(slots=True)
class Fleet:
    """Accounts, a Prefect server on PostgreSQL, and workers that are not started yet."""

    box: Box
    ledger: str
    api: httpx.Client
    server: Supervised
    workers: list[Supervised]
    base: Cluster
    connections: int = 0
    kills: int = 0

    def accounts(self) -> dict[str, dict[str, Any]]:
        """The accounts whose sync has ended well, with when that began and ended, and what it asked."""
        query = select(runs).where(runs.c.status == "ok").order_by(runs.c.started_at.desc())

        def look(connection: Connection) -> dict[str, dict[str, Any]]:
            return {row.account: dict(row._mapping) for row in connection.execute(query)}  # noqa: SLF001

        with opened(self.ledger) as database:
            return database.now_look(look)

    def turn(self, options: dict[str, Any]) -> None:
        """Start the fleet's flow, as its schedule would."""
        deployment = self.api.get("/deployments/name/fleet/fleet").raise_for_status().json()["id"]
        parameters = {"parameters": {"options": options}}
        self.api.post(f"/deployments/{deployment}/create_flow_run", json=parameters).raise_for_status()

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by who spent them."""
        return {
            "workers and flow runs": sum(one.cpu for one in self.workers),
            "Prefect's server": self.server.cpu,
            "PostgreSQL": self.base.process.cpu,
            "sandbox": self.box.cpu_seconds(),
        }


def alive(sizes: Sizes, tell: Tell) -> list[Row]:
    """The first sync of many accounts, each under its own quota."""
    rate, expected = _bare(sizes, tell)
    with _fleet(sizes, tell) as fleet:
        before, began = fleet.cpu(), time.monotonic()
        done = _until_done(fleet, sizes, tell, kill=False)
        took, after = time.monotonic() - began, fleet.cpu()
        told, sound = _found(fleet, sizes, expected)
    uses = sorted(_use(one, sizes) for one in done.values())
    first, last = (
        pick(one[at] for one in done.values()) for pick, at in ((min, "started_at"), (max, "finished_at"))
    )
    ours = len(done) * len(expected) / (last - first)
    spent = ", ".join(f"{who} {after[who] - before[who]:.0f} s" for who in after)
    median = statistics.median(uses)
    return [
        Row(
            _name(sizes),
            f"all done, no duplicate, no 429; {USE:.0%} of each quota, or {PART:.0%} of bare httpx",
            f"{len(done)} accounts done, {told}; quotas used: median {median:.0%}, least {uses[0]:.0%}; "
            f"{ours:.0f} records/s ({ours / rate:.0%} of bare httpx); {took:.0f} s in all; CPU: {spent}; "
            f"{fleet.connections} connections to the ledger",
            f"bare httpx, {WORKERS} processes, no quota: {rate:.0f} records/s",
            sound and len(done) == sizes.accounts and (uses[0] >= USE or ours >= PART * rate),
        )
    ]


def killed(sizes: Sizes, tell: Tell) -> list[Row]:
    """The same, while one worker after the other dies with all that it started."""
    _, expected = _bare(sizes, tell)
    with _fleet(sizes, tell) as fleet:
        began = time.monotonic()
        done = _until_done(fleet, sizes, tell, kill=True)
        took = time.monotonic() - began
        told, sound = _found(fleet, sizes, expected)
    return [
        Row(
            f"… and a worker killed every {sizes.kills:g} s",
            "all done, 0 duplicates, 0 lost",
            f"{len(done)} accounts done, {told}; {fleet.kills} kills, {took:.0f} s in all",
            f"0, 0; {_ideal(len(expected), sizes):.0f} s an account",
            sound and len(done) == sizes.accounts,
        )
    ]


def _name(sizes: Sizes) -> str:
    return (
        f"{sizes.accounts} accounts of {sizes.members} contacts, {sizes.burst} per "
        f"{sizes.interval:g} s each, {WORKERS} workers, Prefect on PostgreSQL"
    )


def _ideal(requests: int, sizes: Sizes) -> float:
    """Until the last of so many requests may leave."""
    return (requests - 1) // sizes.burst * sizes.interval


def _use(run: dict[str, Any], sizes: Sizes) -> float:
    """What part of the possible an account's sync made of its quota: the shortest time against its own."""
    asked = run["report"]["requests"]
    requests = asked["destination_reads"] + asked["destination_writes"]
    return _ideal(requests, sizes) / float(run["finished_at"] - run["started_at"])


def _until_done(fleet: Fleet, sizes: Sizes, tell: Tell, *, kill: bool) -> dict[str, dict[str, Any]]:
    """Run the fleet, turn after turn, until every account was synced; return those that were."""
    options: dict[str, Any] = {
        "every_seconds": 120.0 if kill else 3_600.0,
        "most_runs": RUNS[kill],
        "at_once": sizes.at_once,
        "sync": {"only": ["contacts"]},
    }
    for worker in fleet.workers:
        worker.start()
    until, turn, death = time.monotonic() + sizes.patience, 0.0, time.monotonic() + sizes.kills
    victims, told = cycle(fleet.workers), -1
    while (now := time.monotonic()) < until:
        done = fleet.accounts()
        fleet.connections = max(fleet.connections, fleet.base.connections())
        if len(done) == sizes.accounts:
            return done
        if len(done) // 10 > told:
            told = len(done) // 10
            tell(f"{len(done)} of {sizes.accounts} accounts, {fleet.kills} kills")
        if now >= turn:
            fleet.turn(options)
            turn = now + TURN
        if kill and now >= death:
            next(victims).kill()
            fleet.kills += 1
            death = now + sizes.kills
        time.sleep(1.0)
    return fleet.accounts()


def _found(fleet: Fleet, sizes: Sizes, expected: set[str]) -> tuple[str, bool]:
    """What stands at the destination: in words, and whether it is as it must be."""
    counters = fleet.box.counters()["highlevel"]
    twice = lost = 0
    for place in fleet.box.locations:
        found = contacts_delivered(fleet.box, place["location_id"])
        twice += duplicates(found)
        lost += len(expected - set(found))
    peak = max(counters["peaks"].values())
    refused = counters["throttled"]
    said = f"{twice} duplicates, {lost} lost, {refused} answers 429, peak {peak} in {sizes.interval:g} s"
    return said, not (twice or lost or refused) and peak <= sizes.burst


def _bare(sizes: Sizes, tell: Tell) -> tuple[float, set[str]]:
    """Records a second that bare httpx writes from several processes; and which an account should hold."""
    scenario: dict[str, Any] = {"contacts": sizes.bare, "activities": False, **UNLIMITED}
    with scene(**scenario) as made:
        tell("the requests of one sync, for bare httpx")
        made.box.record()
        made.sync(only=["contacts"])
        expected = {one for one in made.contacts_delivered() if int(one) <= sizes.members}
        path, alone, number = recorded(made.box, made.folder)
        made.box.reset(**scenario)
        tell(f"bare httpx from {WORKERS} processes")
        parts = _parts(path, alone)
        made.run("requests", path=str(parts.pop(0)), alone=alone, concurrency=1)
        children = [made.start("requests", path=str(one), alone=0, concurrency=16) for one in parts]
        slowest = max(child.end()["wall"] for child in children)
    return number / slowest, expected


def _parts(path: Path, alone: int) -> list[Path]:
    """Cut a list of requests: those that come first, and the others for each process."""
    listed = json.loads(path.read_text(encoding="utf-8"))
    first, others = listed["requests"][:alone], listed["requests"][alone:]
    made = []
    for number, part in enumerate([first, *(others[at::WORKERS] for at in range(WORKERS))]):
        made.append(path.with_name(f"part{number}.json"))
        made[-1].write_text(json.dumps({**listed, "requests": part}), encoding="utf-8")
    return made


@contextmanager
def _fleet(sizes: Sizes, tell: Tell) -> Iterator[Fleet]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="voipsync-fleet-")))
        tell("PostgreSQL, a sandbox, a Prefect server")
        base = Cluster.started(folder, "prefect", "ledger")
        stack.callback(base.process.stop)
        ledger = base.url("postgresql+psycopg", "ledger")
        with opened(ledger) as database:
            database.now_do(migrate.upgrade)
        box = stack.enter_context(
            Sandbox.process(
                contacts=sizes.members,
                activities=False,
                locations=sizes.accounts,
                burst=sizes.burst,
                interval=sizes.interval,
            )
        )
        address = free_address()
        env = environment(folder, address) | _configured(box, folder, ledger)
        env |= {"PREFECT_SERVER_DATABASE_CONNECTION_URL": base.url("postgresql+asyncpg", "prefect")}
        server = prefect_server(env, address, folder / "server.log")
        stack.callback(server.stop)
        server.start()
        api = stack.enter_context(httpx.Client(base_url=f"{address}/api", timeout=60))
        until_healthy(api, folder / "server.log")
        deploy(env, "fleet")
        workers = [prefect_worker(env, folder / f"worker{number}.log", limit=3) for number in range(WORKERS)]
        for worker in workers:
            stack.callback(worker.stop)
        yield Fleet(box, ledger, api, server, workers, base)


def _configured(box: Box, folder: Path, ledger: str) -> dict[str, str]:
    """Write the configuration of all accounts; return the secrets that it names."""
    state, _, account = CONFIGURATION.partition("\n\n")
    parts, secrets = (
        [state.replace("sqlite:///{folder}/ledger.db", ledger)],
        {"VOIPSYNC_DEMO_API_KEY": box.api_key},
    )
    for number, place in enumerate(box.locations):
        token = f"VOIPSYNC_BENCH_TOKEN_{number}"
        secrets[token] = place["token"]
        named = account.replace("accounts.demo.", f"accounts.a{number:03d}.").replace(
            "VOIPSYNC_DEMO_TOKEN", token
        )
        parts.append(
            named.format(
                source=box.voipstudio_url,
                destination=box.highlevel_url,
                location=place["location_id"],
                calendar=place["calendar_id"],
            )
        )
    (folder / "voipsync.toml").write_text("\n\n".join(parts), encoding="utf-8")
    return secrets
