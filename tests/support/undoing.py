"""Taking a run back, without Prefect: planned, and applied."""

from __future__ import annotations

from typing import Any

from sandbox.client import Box
from tasks.engine.apply import apply_once
from tasks.engine.plan import PlanReport, plan_of
from tasks.engine.report import Report
from tasks.engine.steps import open_steps
from tasks.engine.undo import reverse_of
from tasks.options import ApplyOptions, SyncOptions
from tests.support.accounts import settings_of


async def plan_back(box: Box, url: str, run_id: str, **sections: Any) -> PlanReport:
    """A plan of what takes a run back."""
    async with open_steps("acme", SyncOptions(), settings_of(box, url, **sections), kind="plan") as steps:
        items, told = await reverse_of(steps.run, run_id)
        made = await plan_of(steps, items, kind="undo", told=told)
        await steps.conclude()
        return made


async def take_back(box: Box, url: str, run_id: str, **sections: Any) -> tuple[list[str], Report]:
    """Plan and apply it; return what cannot be taken back, and the report."""
    made = await plan_back(box, url, run_id, **sections)
    report = await apply_once("acme", ApplyOptions(plan=made.plan_id), settings_of(box, url, **sections))
    return list(made.about["told"]), report
