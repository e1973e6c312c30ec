"""What experiments with deployments share: a Prefect server, and the environment of what talks to it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx

from bench.scene import ROOT
from bench.supervised import Supervised

PATIENCE = 300.0
PREFECT = str(Path(sys.executable).with_name("prefect"))


def environment(folder: Path, address: str) -> dict[str, str]:
    """Our environment, but Prefect's server is at ``address`` and all configuration in ``folder``."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("VOIPSYNC_", "PREFECT_"))
    }
    return inherited | {
        "HOME": str(folder),
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"{address}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "VOIPSYNC_CONFIG": str(folder / "voipsync.toml"),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }


def free_port() -> int:
    """A port of this machine on which nothing listens yet."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def free_address() -> str:
    """An address where nothing listens yet."""
    return f"http://127.0.0.1:{free_port()}"


def prefect_server(env: dict[str, str], address: str, log: Path) -> Supervised:
    """A Prefect server, not started yet."""
    port = address.rpartition(":")[2]
    return Supervised(
        [PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port, "--no-ui"],
        {name: value for name, value in env.items() if name != "PREFECT_API_URL"},
        log,
    )


def prefect_worker(env: dict[str, str], log: Path, *, limit: int) -> Supervised:
    """A worker of the deployments' pool, not started yet, with so many flow runs at a time."""
    return Supervised([PREFECT, "worker", "start", "--pool", "voipsync", "--limit", str(limit)], env, log)


def until_healthy(api: httpx.Client, log: Path) -> None:
    """Wait for the server.

    Raises:
        RuntimeError: it does not come.
    """
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if api.get("/health").is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"Prefect's server did not start: {log.read_text(encoding='utf-8')[-2000:]}")


def deploy(env: dict[str, str], *names: str) -> None:
    """Prepare the server, and deploy these deployments of prefect.yaml."""
    chosen = [part for name in names for part in ("--name", name)]
    for command in (
        [sys.executable, "-m", "deployments", "--no-deploy"],
        [PREFECT, "--no-prompt", "deploy", *chosen],
    ):
        subprocess.run(command, env=env, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
