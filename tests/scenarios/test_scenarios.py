"""Every scenario, through the real stack against the sandbox; every third on both versions of the API."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from sandbox.client import Box
from sandbox.scenario import Scenario
from sandbox.serve import Sandbox
from tests.scenarios.case import Case, cases
from tests.scenarios.play import Play
from tests.support.receiver import Receiver, receiving

FILES = sorted(Path(__file__).parent.glob("*.yaml"))
CASES = [(path.stem, case) for path in FILES for case in cases(path)]
PLAYED = [
    pytest.param(case, version, id=f"{topic}: {case.name}-{version}")
    for number, (topic, case) in enumerate(CASES)
    for version in (("v3", "2021-07-28") if number % 3 == 0 else ("v3",))
]
"""All on the current version of the API; the older one only spells requests otherwise."""
LEAST = 60


@pytest.fixture(scope="module")
def box() -> Iterator[Box]:
    with Sandbox.threaded(**asdict(Scenario(contacts=0, burst=100_000))) as running:
        yield running


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.mark.parametrize(("case", "version"), PLAYED)
async def test_scenario(
    box: Box, receiver: Receiver, tmp_path: Path, migrated_file: Path, case: Case, version: str
) -> None:
    found = await Play(box, receiver, case, version, tmp_path, migrated_file).differences()
    if found:
        pytest.fail("\n  ".join([f"{case.name} ({version})", *found]), pytrace=False)


def test_the_table_is_long_and_no_name_stands_twice() -> None:
    names = [case.name for _, case in CASES]
    assert len(names) >= LEAST
    assert sorted(names) == sorted(set(names))
