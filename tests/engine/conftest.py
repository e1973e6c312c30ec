"""A sandbox and a ledger of its own for each test of the engine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from sandbox.client import Box
from sandbox.scenario import Scenario
from sandbox.serve import Sandbox

EMPTY = {"contacts": 0, "burst": 5000}


@pytest.fixture(scope="session")
def threaded_box() -> Iterator[Box]:
    with Sandbox.threaded(**EMPTY) as box:
        yield box


@pytest.fixture(scope="session")
def process_box() -> Iterator[Box]:
    with Sandbox.process(**EMPTY) as box:
        yield box


@pytest.fixture(scope="module")
def running_box(request: pytest.FixtureRequest) -> Box:
    """In a thread; where the module has a ``SCENARIO``, whose runs are processes, in one of its own."""
    kind = "process" if hasattr(request.module, "SCENARIO") else "threaded"
    box: Box = request.getfixturevalue(f"{kind}_box")
    return box


@pytest.fixture
def box(running_box: Box, request: pytest.FixtureRequest) -> Box:
    """Both services as in the module's ``SCENARIO``, else empty; without faults."""
    running_box.reset(**asdict(Scenario(**getattr(request.module, "SCENARIO", EMPTY))))
    running_box.clear_faults()
    running_box.reset_counters()
    return running_box


@pytest.fixture
def url(tmp_path: Path, migrated_file: Path) -> str:
    shutil.copy(migrated_file, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path}/ledger.db"
