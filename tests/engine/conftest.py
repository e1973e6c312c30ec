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


@pytest.fixture(scope="module")
def running_box() -> Iterator[Box]:
    with Sandbox.threaded(contacts=0, burst=5000) as box:
        yield box


@pytest.fixture
def box(running_box: Box) -> Box:
    """Both services, empty, without faults."""
    running_box.reset(**asdict(Scenario(contacts=0, burst=5000)))
    running_box.clear_faults()
    running_box.reset_counters()
    return running_box


@pytest.fixture
def url(tmp_path: Path, migrated_file: Path) -> str:
    shutil.copy(migrated_file, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path}/ledger.db"
