"""Tries what was refused once more, whatever its turn: read afresh at the source, with what waits for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from functools import partial

from tasks.engine.chosen import Chosen
from tasks.engine.report import Report
from tasks.engine.run import Run
from tasks.engine.steps import Steps, open_steps
from tasks.errors import ApiError, Fatal
from tasks.ledger import refused
from tasks.options import RetryOptions, SyncOptions
from tasks.settings import Settings

PAGE = 200
"""Contacts tried at a time."""


def open_retry(
    account: str, options: RetryOptions, settings: Settings | None = None
) -> AbstractAsyncContextManager[Steps]:
    """Open a run that tries refused records."""
    how = SyncOptions(only=options.only, wait_seconds=options.wait_seconds)
    return open_steps(account, how, settings, kind="retry", feed=_feed)


async def retry_once(account: str, options: RetryOptions, settings: Settings | None = None) -> Report:
    """Try an account's refused records without Prefect and return the run's report."""
    async with open_retry(account, options, settings) as steps:
        try:
            await steps.prepare()
            while (batch := await steps.read()) is not None:
                if len(batch):
                    await steps.write(await steps.map(batch))
            await steps.finish()
        except (Fatal, ApiError) as error:
            steps.error = error
        return await steps.conclude()


def _feed(run: Run) -> Chosen:
    pages = _pages(run)

    async def take() -> list[str]:
        return await anext(pages, [])

    return Chosen(run, take, again=True)


async def _pages(run: Run) -> AsyncIterator[list[str]]:
    """The contacts with something refused, each once: what a try leaves refused is not met again."""
    last = ""
    while True:
        find = partial(refused.contacts, account=run.name, entities=run.entities, after=last, most=PAGE)
        page = await run.database.look(find)
        if not page:
            return
        last = page[-1]
        yield page
