"""The ``voipsync`` command without the seconds of importing: forked from a process that has imported already.

Run as a script this is that process: ``forking.py SOCKET MODULE ...`` imports the modules and then becomes
whatever command it is told, in a child each; it ends with its standard input. What a command can tell a fork
from a start of its own by is not tested this way: `Command` starts Python itself where that matters.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
ENGINE = ("httpcore", "anyio._backends._asyncio", "encodings.idna", "tzdata", "alembic.command", "pandas")
"""What an engine imports once it works."""
PLAIN = (
    "flows.cli",
    "flows.terminal",
    "tasks.engine.status",
    "tasks.engine.vault",
    "tasks.engine.doctor",
    "rich._emoji_codes",
    *ENGINE,
)
PREFECT = (
    *PLAIN,
    "prefect.main",
    "prefect.flow_engine",
    "prefect.task_engine",
    "prefect.utilities.visualization",
    "fastapi",
    "flows.sync",
)
"""What is imported beforehand, for commands that must not need Prefect and for those that run flows."""
START_SECONDS = 60


class Forked:
    """A forked command; what tests use of `subprocess.Popen`."""

    def __init__(self, wire: socket.socket) -> None:
        self._wire = wire.makefile("r")
        self._socket = wire
        self.pid = int(self._wire.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, once it has ended."""
        if self.returncode is None and select.select([self._socket], [], [], 0)[0]:
            self.returncode = int(self._wire.readline())
            self._wire.close()
            self._socket.close()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code."""
        if self.returncode is None and not select.select([self._socket], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("voipsync", timeout or 0.0)
        return self.poll() or 0

    def send_signal(self, number: int) -> None:
        """Send a signal, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def fork(
    arguments: list[str], *, cwd: Path, env: dict[str, str], files: tuple[str, str, str], before: str = ""
) -> Forked:
    """Start a command, and in its process some code ``before``; where that exits it is all there is.

    The files, or terminals, are its standard input, output and error output.
    """
    job = {"arguments": arguments, "cwd": str(cwd), "env": env, "files": files, "before": before}
    wire = socket.socket(socket.AF_UNIX)
    wire.connect(_parent(prefect="PREFECT_API_URL" in env))
    wire.sendall(json.dumps(job).encode() + b"\n")
    return Forked(wire)


@functools.cache
def _parent(*, prefect: bool) -> str:
    """The socket of a process that has imported; it lives as long as this one."""
    folder = tempfile.TemporaryDirectory(prefix="voipsync-fork-")
    place = f"{folder.name}/socket"
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "VOIPSYNC_"))
    }
    env |= {"PREFECT_HOME": folder.name, "PREFECT_SERVER_EPHEMERAL_ENABLED": "false"}
    child = subprocess.Popen(
        [sys.executable, __file__, place, *(PREFECT if prefect else PLAIN)],
        cwd=folder.name,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )

    def end() -> None:
        child.communicate()
        folder.cleanup()

    atexit.register(end)
    assert child.stdout is not None
    if not select.select([child.stdout], [], [], START_SECONDS)[0] or not child.stdout.readline():
        raise TimeoutError("the process that commands are forked from did not start")
    return place


def _serve(place: str) -> dict[str, Any]:
    """Fork a supervisor for each request, and that one the command; return, in it, what it is to be."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen(64)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    gc.collect()
    gc.freeze()
    while True:
        ready, _, _ = select.select([listener, 0], [], [])
        while _ended():
            pass
        if listener not in ready:
            sys.exit(0)
        wire, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            return _supervise(wire)
        wire.close()


def _ended() -> bool:
    """Take note of a supervisor that has ended, if one has."""
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _supervise(wire: socket.socket) -> dict[str, Any]:
    job: dict[str, Any] = json.loads(wire.makefile("r").readline())
    pid = os.fork()
    if pid == 0:
        wire.close()
        return job
    wire.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    wire.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(job: dict[str, Any]) -> None:
    """Be a process of its own, with its own place, output and environment."""
    os.setsid()
    os.chdir(job["cwd"])
    for number, path in enumerate(job["files"]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), number)
    os.environ.clear()
    os.environ.update(job["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[:0] = [folder for folder in job["env"].get("PYTHONPATH", "").split(":") if folder]
    sys.argv = ["voipsync", *job["arguments"]]
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context  # noqa: PLC0415
        from prefect.logging.configuration import setup_logging  # noqa: PLC0415

        refresh_global_settings_context()
        setup_logging(incremental=False)
    exec(job["before"], {})  # noqa: S102 - a test's own


def main() -> None:
    """Import, wait, and be a command."""
    code: Any = 1

    def leave() -> None:
        """Python would now take all modules apart, which takes longer than many a command."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)  # what is registered first is called last
    sys.path[0] = str(PROJECT)
    for name in sys.argv[2:]:
        importlib.import_module(name)
    try:
        _become(_serve(sys.argv[1]))
        importlib.import_module("flows.cli").main()
    except SystemExit as ended:
        code = ended.code or 0
        raise


if __name__ == "__main__":
    main()
