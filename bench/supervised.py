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

    def kill(self) -> int:
        """SIGKILL it and all that it started; return how many processes those were."""
        tree = [self.child.pid, *_below(self.child.pid)] if self.child else []
        for pid in tree:
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


def _below(pid: int) -> list[int]:
    """All processes that a process started, and those that these started (Linux)."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                after_name = (entry / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
            except OSError:
                continue
            children.setdefault(int(after_name.split()[1]), []).append(int(entry.name))
    found, queue = list[int](), [pid]
    while queue:
        below = children.get(queue.pop(), [])
        found += below
        queue += below
    return found
