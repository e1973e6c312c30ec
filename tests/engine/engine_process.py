"""One sync or backfill of account ``acme`` in a process of its own, without Prefect: what kill tests kill.

Its argument is a job, a JSON object: ``settings`` (the whole configuration), ``environment`` (the secrets
that it refers to), ``options`` of the sync, or those of a ``backfill`` or ``verify``; ``apply`` names a plan
that is applied instead. The report, or the error's line, goes to standard output as JSON; the exit code is
the command's. Trouble to order: ``max_pages``, after which the disk of an SQLite ledger is full,
``busy_seconds``, how long one waits for its lock, and ``clock_ahead``, by how many seconds this process's
machine is ahead of the true time.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Engine, event

from tasks.engine.apply import apply_once
from tasks.engine.backfill import backfill_once
from tasks.engine.report import Report
from tasks.engine.steps import sync_once
from tasks.engine.verify import verify_once
from tasks.engine.verify_report import VerifyReport
from tasks.errors import VoipsyncError
from tasks.ledger import database
from tasks.options import ApplyOptions, BackfillOptions, SyncOptions, VerifyOptions
from tasks.settings import Settings

EXIT = {"ok": 0, "degraded": 3, "failed": 1}


def perform(job: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """Do the job; return the exit code, and the report or the error."""
    os.environ.update(job["environment"])
    database.BUSY_SECONDS = job.get("busy_seconds", database.BUSY_SECONDS)
    if ahead := job.get("clock_ahead"):
        true = time.time
        time.time = lambda: true() + ahead
    if pages := job.get("max_pages"):
        event.listen(Engine, "connect", lambda raw, _: raw.execute(f"PRAGMA max_page_count = {pages}"))
    try:
        settings = Settings(**job["settings"])
        report = asyncio.run(_run(job, settings))
    except VoipsyncError as error:
        return error.exit_code, {"error": str(error), "kind": type(error).__name__}
    return EXIT[report.status], report.as_json()


async def _run(job: Mapping[str, Any], settings: Settings) -> Report | VerifyReport:
    if plan := job.get("apply"):
        return await apply_once("acme", ApplyOptions(plan=plan), settings)
    if "backfill" in job:
        return await backfill_once("acme", BackfillOptions(**job["backfill"]), settings)
    if "verify" in job:
        return await verify_once("acme", VerifyOptions(**job["verify"]), settings)
    return await sync_once("acme", SyncOptions(**job.get("options", {})), settings)


def main() -> None:
    """Do the job that the command line names; the report tells also how large this process became."""
    logging.disable(logging.CRITICAL)
    code, told = perform(json.loads(sys.argv[1]))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({**told, "peak_mb": peak}) + "\n")
    sys.exit(code)
