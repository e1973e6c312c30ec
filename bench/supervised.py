"""Processes that are started again when they end, and that can be killed with all that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from bench.scene import ROOT

RESTART = 5.0
"""Seconds after which the supervisor starts again what has died."""


@dataclass(slots=True)
class Supervised:
    """A process that is started again whenever it ends, as systemd or a container's restart policy does."""

    command: list[str]
    env: dict[str, str]
    log: Path
    user: str | None = None
    """Whose process it is; None: this one's user's."""
    child: subprocess.Popen[bytes] | None = None
    _over: threading.Event = field(default_factory=threading.Event)
    _watcher: threading.Thread | None = None

    def start(self) -> None:
        """Start it and keep it running."""
        self._over.clear()
        self._start()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def _start(self) -> None:
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(  # noqa: S603 - ourselves
                self.command,
                env=self.env,
                user=self.user,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _watch(self) -> None:
        while not self._over.is_set():
            if self.child and self.child.poll() is not None and not self._over.wait(RESTART):
                self._start()
            self._over.wait(0.2)

    @property
    def cpu(self) -> float:
        """CPU seconds of it and of all that it started, as far as that ended or runs."""
        return cpu_seconds(self.child.pid) if self.child else 0.0

    def kill(self) -> int:
        """SIGKILL it and all that it started; return how many processes those were."""
        tree = [self.child.pid, *_below(self.child.pid)] if self.child else []
        for pid in tree:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(tree)

    def stop(self) -> None:
        """End it, until it is started again."""
        self._over.set()
        if self._watcher:
            self._watcher.join()
        if self.child and self.child.poll() is None:
            tree = _below(self.child.pid)
            self.child.terminate()
            try:
                self.child.wait(20)
            except subprocess.TimeoutExpired:
                tree = [self.child.pid, *tree]
            for pid in tree:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of all below it, with what they waited for and is gone (Linux)."""
    ticks = 0
    for one in [pid, *_below(pid)]:
        with suppress(OSError):
            ticks += sum(map(int, _after_name(one)[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def _below(pid: int) -> list[int]:
    """All processes that a process started, and those that these started (Linux)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                children.setdefault(int(_after_name(int(entry.name))[1]), []).append(int(entry.name))
    found, queue = list[int](), [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found


def _after_name(pid: int) -> list[str]:
    """What the system says of a process, from its state on."""
    told = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return told.rpartition(")")[2].split()
