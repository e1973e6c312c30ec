"""One Prefect server for all tests of the flows: a run against it starts in two seconds, not in ten."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from sandbox.serve import Sandbox
from tests.support.command import Command, Ran

START_SECONDS = 90


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Prefect server's API."""
    home = tmp_path_factory.mktemp("prefect")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    env |= {"HOME": str(home), "PREFECT_HOME": str(home), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
    command = [str(Path(sys.executable).with_name("prefect")), "server", "start"]
    with (home / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--no-ui"],
            cwd=home,
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api/health", server, home / "server.log")
        yield f"http://127.0.0.1:{port}/api"
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        with contextlib.suppress(ProcessLookupError):  # its own child may outlive it
            os.killpg(server.pid, signal.SIGKILL)


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.HTTPError:
            pass
        assert server.poll() is None, log.read_text()[-2000:]
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
