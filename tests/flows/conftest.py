"""One Prefect server for the tests of a process: a run against it starts in two seconds, not in ten."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from sandbox.serve import Sandbox
from tests.support.command import Command, Ran
from tests.support.forking import PREFECT_COMMAND, execute

START_SECONDS = 90


KEEPER = """\
leader=$1; shift
{
    "$@" & server=$!
    while kill -0 $leader && kill -0 $server; do sleep 0.5; done
    kill $server; sleep 3; kill -KILL 0
} &
"""
"""Runs a server in the background, in a group of its own, for as long as another process lives."""


@pytest.fixture(scope="session")
def prefect_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that a server of Prefect's need not bring up first, for seconds; made once for all."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    home, env = shared / "prefect-database", {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "prefect.db").exists():
            options = ("server", "database", "upgrade", "-y")
            made = execute(PREFECT_COMMAND, *options, out=home / "said", PREFECT_HOME=str(home), **env)
            assert made.wait(START_SECONDS) == 0, (home / "said").read_text(encoding="utf-8")
    return home / "prefect.db"


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory, prefect_database: Path) -> str:
    """The address of a Prefect server's API, for this process: several would lock each other's database."""
    home = tmp_path_factory.getbasetemp() / "prefect"
    home.mkdir()
    shutil.copy(prefect_database, home)
    return _start_prefect(home, os.getpid())


def _start_prefect(home: Path, leader: int) -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env |= {"HOME": str(home), "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [str(Path(sys.executable).with_name("prefect")), "server", "start"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with (home / "server.log").open("wb") as log:
        subprocess.run(
            ["sh", "-c", KEEPER, "keeper", str(leader), *command],
            cwd=home,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=True,
        )
    _wait_for(f"http://127.0.0.1:{port}/api/health", home / "server.log")
    return f"http://127.0.0.1:{port}/api"


def _wait_for(url: str, log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    pytest.fail(f"Prefect's server did not start within {START_SECONDS} s: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Command]:
    """Makes commands, each with a folder of its own; keyword arguments go to its environment."""

    def make(account: str = "acme", **env: str) -> Command:
        return Command(tmp_path_factory.mktemp(account), account, **env)

    return make


@pytest.fixture(scope="session")
def with_a_refusal(prefect_api: str, command: Callable[..., Command]) -> Ran:
    """The sync of an account, called ``poisoned``, one of whose contacts cannot be read."""
    with Sandbox.threaded(contacts=12, poison=1, burst=5000) as box:
        made = command("poisoned", PREFECT_API_URL=prefect_api).configure(box)
        return made.run("sync", "poisoned", "--json")
