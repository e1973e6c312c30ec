"""The ``voipsync`` command, and other programs of tests, without the seconds of importing.

They are forked from a process that has imported already. Run as a script this is that process: ``forking.py
FOLDER LEADER MODULE ...`` imports the modules and then becomes whatever command it is told, in a child each;
it ends with its leader, which is pytest, and removes its folder. All test processes of one pytest share it.

What a command can tell a fork from a start of its own by is not tested this way: `Command` starts Python
itself where that matters.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import gc
import importlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parents[2]
PLAIN = (
    "flows.cli",
    "flows.terminal",
    "tasks.engine.status",
    "tasks.engine.vault",
    "tasks.engine.doctor",
    "rich._emoji_codes",
    "tests.engine.engine_process",
    # what an engine imports once it works
    "httpcore",
    "anyio._backends._asyncio",
    "encodings.idna",
    "psycopg",
    "tzdata",
    "alembic.command",
    "pandas",
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
PREFECT_COMMAND = "from prefect.cli import app\napp()"
"""A program: the command ``prefect``."""
SOCKET = "socket"
START_SECONDS = 60
TOGETHER_SECONDS = 0.3
"""By when several processes have been forked."""
_started: list[subprocess.Popen[bytes]] = []
"""What this process has started, whose end it does not wait for."""


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
            with contextlib.suppress(ProcessLookupError):
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
    wire = _connected(prefect="PREFECT_API_URL" in env)
    wire.sendall(json.dumps(job).encode() + b"\n")
    return Forked(wire)


def execute(program: str, *arguments: str, out: Path, cwd: Path | None = None, **env: str) -> Forked:
    """Start a program of a test's; what it prints goes to a file, and to one beside it what is wrong."""
    files = (os.devnull, str(out), str(out.with_suffix(".err")))
    before = f"{program}\nimport sys\nsys.exit()"
    return fork([*arguments], cwd=cwd or out.parent, env={**os.environ, **env}, files=files, before=before)


def at_once(program: str, *arguments: str, processes: int, folder: Path) -> list[str]:
    """Run a program in several processes from the same instant on; return what each printed."""
    execute("", out=folder / "first.out").wait(
        START_SECONDS
    )  # what they are forked from takes seconds to start
    wait = f"import time\ntime.sleep(max(0.0, {time.time() + TOGETHER_SECONDS} - time.time()))\n"
    outs = [folder / f"{number}.out" for number in range(processes)]
    started = [execute(wait + program, *arguments, out=out) for out in outs]
    assert [one.wait(60) for one in started] == [0] * processes
    return [out.read_text(encoding="utf-8") for out in outs]


def _connected(*, prefect: bool) -> socket.socket:
    """A connection to the process that has imported, which is started where it is not there."""
    leader = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"voipsync-fork-{leader}-{'prefect' if prefect else 'plain'}"
    folder.mkdir(mode=0o700, exist_ok=True)
    wire = socket.socket(socket.AF_UNIX)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            wire.connect(str(folder / SOCKET))
        except (FileNotFoundError, ConnectionRefusedError):
            _start(folder, leader, PREFECT if prefect else PLAIN)
            wire.connect(str(folder / SOCKET))
    return wire


def _start(folder: Path, leader: int, modules: tuple[str, ...]) -> None:
    (folder / SOCKET).unlink(missing_ok=True)
    env = {
        name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "VOIPSYNC_"))
    }
    env |= {"PREFECT_HOME": str(folder), "PREFECT_SERVER_EPHEMERAL_ENABLED": "false"}
    child = subprocess.Popen(
        [sys.executable, __file__, str(folder), str(leader), *modules],
        cwd=folder,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    _started.append(child)
    assert child.stdout is not None
    with child.stdout as said:
        if not select.select([said], [], [], START_SECONDS)[0] or not said.readline():
            raise TimeoutError("the process that commands are forked from did not start")


def _serve(folder: Path, leader: int) -> dict[str, Any]:
    """Fork a supervisor for each request, and that one the command; return, in it, what it is to be."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / SOCKET))
    listener.listen(64)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    gc.collect()
    gc.freeze()
    while True:
        ready, _, _ = select.select([listener], [], [], 1.0)
        while _ended():
            pass
        if ready:
            wire, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                return _supervise(wire)
            wire.close()
        elif not _lives(leader):
            shutil.rmtree(folder)
            sys.exit(0)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


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
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), number)
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
    folder, leader, *modules = sys.argv[1:]
    code: Any = 1

    def leave() -> None:
        """Python would now take all modules apart, which takes longer than many a command."""
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    atexit.register(leave)  # what is registered first is called last
    sys.path[0] = str(PROJECT)
    for name in modules:
        importlib.import_module(name)
    try:
        _become(_serve(Path(folder), int(leader)))
        importlib.import_module("flows.cli").main()
    except SystemExit as ended:
        code = ended.code or 0
        raise


if __name__ == "__main__":
    main()
