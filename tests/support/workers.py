"""Engine processes to be killed, forked from one that has imported everything."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.client import Box
from tests.support.accounts import KEY, TOKEN, settings_of
from tests.support.forking import Forked, execute

QUICK: dict[str, Any] = {
    "destination": {
        "settle_seconds": 0.3,
        "search_lag_seconds": 0.3,
        "quota": {"requests": 400, "seconds": 0.3},
    }
}
"""Settings of an account of a sandbox that allows 400 requests in 0.3 seconds."""
STEP_SECONDS = 0.05
ENGINE = "from tests.engine.engine_process import main\nmain()"


@dataclass(slots=True)
class Worker:
    """One engine process."""

    process: Forked
    told: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    def kill(self) -> bool:
        """SIGKILL; tell whether it was still running."""
        self.process.kill()
        return self.process.wait(20) == -9

    def end(self, seconds: float = 60.0) -> int:
        """Wait for its end; return the exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    @property
    def report(self) -> dict[str, Any]:
        """What it reported."""
        told: dict[str, Any] = json.loads(self.told.read_text())
        return told


@dataclass(slots=True)
class Workers:
    """Starts engine processes on one account."""

    box: Box
    url: str
    folder: Path
    sections: dict[str, Any]
    number: int = 0

    def start(self, *, trouble: Mapping[str, Any] | None = None, **options: Any) -> Worker:
        """Start one; it runs while this returns."""
        self.number += 1
        told = self.folder / f"worker-{self.number}.json"
        job = {**job_of(self.box, self.url, options, **self.sections), **(trouble or {})}
        return Worker(execute(ENGINE, json.dumps(job), out=told), told)


def job_of(box: Box, url: str, options: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """The argument of `tests.engine.engine_process`."""
    settings = settings_of(box, url, **sections).model_dump(mode="json")
    return {
        "settings": settings,
        "environment": {KEY: box.api_key, TOKEN: box.token},
        "options": dict(options),
    }


def wait_for(box: Box, worker: Worker, requests: int, *, seconds: float = 20.0) -> None:
    """Return when the destination has had so many more requests, or the worker has ended."""
    until, enough = time.monotonic() + seconds, box.wait(0, 0.0) + requests
    while box.wait(enough, STEP_SECONDS) < enough and worker.running and time.monotonic() < until:
        pass
