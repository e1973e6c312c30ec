"""Verifications of an account whose two services are a sandbox."""

from __future__ import annotations

from typing import Any

from sandbox.client import Box
from tasks.engine.verify import verify_once
from tasks.engine.verify_report import KINDS, VerifyReport
from tasks.options import VerifyOptions
from tests.support.accounts import settings_of


async def verify(box: Box, url: str, sections: dict[str, Any] | None = None, **options: Any) -> VerifyReport:
    """Verify the sandbox once, without Prefect."""
    return await verify_once("acme", VerifyOptions(**options), settings_of(box, url, **(sections or {})))


async def verify_all(box: Box, url: str, *only: str, **more: Any) -> VerifyReport:
    """Verify every contact, and the activities of all where they are named."""
    return await verify(box, url, scope="all", only=only, **more)


def deviations(report: VerifyReport) -> dict[tuple[str, str], int]:
    """How many deviations of each kind there are, by entity and kind."""
    return {
        (entity, kind): counts[kind]
        for entity, counts in report.entities.items()
        for kind in KINDS
        if counts[kind]
    }


def told(report: VerifyReport, kind: str) -> list[tuple[str, ...]]:
    """What a report says of a kind of deviation: source id, then what is beside it, then fields."""
    return [
        (one["source_id"], one["destination_id"], *one["fields"])
        for one in report.deviations
        if one["kind"] == kind
    ]
