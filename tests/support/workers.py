"""Engine processes to be killed, forked from one that has imported everything (its only thread forks)."""

from __future__ import annotations

import json
import logging
import multiprocessing
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sandbox.client import Box
from tests.support.accounts import KEY, TOKEN, settings_of
from tests.support.forking import ENGINE

QUICK: dict[str, Any] = {
    "destination": {
        "settle_seconds": 0.3,
        "search_lag_seconds": 0.3,
        "quota": {"requests": 400, "seconds": 0.3},
    }
}
"""Settings of an account of a sandbox that allows 400 requests in 0.3 seconds."""
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.engine.engine_process", *ENGINE])


@dataclass(slots=True)
class Worker:
    """One engine process."""

    process: BaseProcess
    told: Path

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.is_alive()

    def kill(self) -> bool:
        """SIGKILL; tell whether it was still running."""
        self.process.kill()
        self.process.join(20)
        return self.process.exitcode == -9

    def end(self, seconds: float = 60.0) -> int:
        """Wait for its end; return the exit code."""
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.kill()
            raise TimeoutError(f"an engine process did not end within {seconds} s")
        return code

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
        process = FORKS.Process(target=_work, args=(job, str(told)), daemon=True)
        process.start()
        return Worker(process, told)


def job_of(box: Box, url: str, options: Mapping[str, Any], **sections: Any) -> dict[str, Any]:
    """The argument of ``engine_process``."""
    settings = settings_of(box, url, **sections).model_dump(mode="json")
    return {
        "settings": settings,
        "environment": {KEY: box.api_key, TOKEN: box.token},
        "options": dict(options),
    }


def wait_for(box: Box, worker: Worker, requests: int, *, seconds: float = 20.0) -> None:
    """Return when the destination has had so many more requests, or the worker has ended."""
    start, until = _requests(box), time.monotonic() + seconds
    while worker.running and _requests(box) < start + requests and time.monotonic() < until:
        time.sleep(0.002)


def _requests(box: Box) -> int:
    return int(box.counters()["highlevel"]["requests"])


def _work(job: dict[str, Any], told: str) -> None:
    from tests.engine.engine_process import perform  # noqa: PLC0415 - only in the child

    logging.disable(logging.CRITICAL)
    code, report = perform(job)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    Path(told).write_text(json.dumps({**report, "peak_mb": peak}), encoding="utf-8")
    sys.exit(code)
