"""What tells a process from any other, and whether one of this machine is still there."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """What tells this process from any other, here or elsewhere, now or later."""
    return {
        "host": socket.gethostname(),
        "boot": _boot_id(),
        "pids": _pid_namespace(),
        "pid": os.getpid(),
        "started": _started(os.getpid()),
    }


def is_gone(holder: dict[str, Any]) -> bool:
    """Whether the holder ran on this machine and is no longer there (or its number is another process's)."""
    pid, ours = holder.get("pid"), identity()
    if not ours["boot"] or any(holder.get(name) != ours[name] for name in ("boot", "host", "pids")):
        return False
    return isinstance(pid, int) and _started(pid) != holder.get("started")


def _boot_id() -> str | None:
    """The running system's id, where there is one (Linux)."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def _pid_namespace() -> str | None:
    """Where process numbers mean what they mean here: containers may share a host's name and boot."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's ticks; None where there is none, or only its remains."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    after_name = stat.rpartition(")")[2].split()
    return None if after_name[0] == "Z" else after_name[19]
