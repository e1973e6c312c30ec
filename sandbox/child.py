"""The sandbox in a process of its own, driven over its control API."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from sandbox.client import Box

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.wire import Json, Row


@contextlib.contextmanager
def start(scenario: Row) -> Iterator[Box]:
    """Starts the child, waits for its addresses, ends it at the end."""
    command = [sys.executable, "-m", "sandbox.serve", "--json", json.dumps(scenario)]
    root = str(Path(__file__).parents[1])  # the caller may stand elsewhere
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    process = subprocess.Popen(  # noqa: S603 - ourselves
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process as child:
        line = child.stdout.readline() if child.stdout else b""
        if not line:
            raise RuntimeError("the sandbox process did not start")
        info: Row = json.loads(line)
        with httpx.Client(base_url=f"{info['highlevel_url']}/_sandbox", timeout=120) as control:

            def perform(method: str, noun: str, payload: Row | None = None) -> Json:
                sent = {name: value for name, value in (payload or {}).items() if value is not None}
                if method in ("GET", "DELETE"):
                    answer = control.request(method, f"/{noun}", params=sent)
                else:
                    answer = control.request(method, f"/{noun}", json=sent)
                if answer.status_code != 200:  # noqa: PLR2004
                    raise ValueError(answer.json()["error"])
                return answer.json()

            try:
                yield Box(info, perform)
            finally:
                child.terminate()
                child.communicate()
