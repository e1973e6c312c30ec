"""A Prefect flow that does nothing: ``python -m bench.empty`` costs what Prefect costs for any run."""

from __future__ import annotations

import asyncio

from prefect import flow


@flow(persist_result=False)
async def empty() -> None:
    """Do nothing."""


if __name__ == "__main__":
    asyncio.run(empty())
