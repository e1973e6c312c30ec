"""What experiments share: a sandbox in its own process, an account of it, processes that are measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flows.demo import CONFIGURATION
from sandbox.client import Box
from sandbox.serve import Sandbox
from sandbox.wire import Json
from tasks.ledger import migrate
from tasks.ledger.database import opened
from tasks.mapping import marker
from tasks.mapping_settings import MappingSettings

ROOT = Path(__file__).parents[1]
UNLIMITED: dict[str, Any] = {"burst": 1_000_000, "daily": 10_000_000}
"""A location whose quota nobody meets."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the experiments are: as required, or small for a test of the experiments themselves."""

    unchanged: int = 10_000
    notes: int = 2_000
    settle: float = 20.0
    """Seconds for which an unanswered write may still be on its way; as where nothing is configured."""
    people: int = 300
    lacking: int = 12
    latency: float = 0.2
    burst: int = 100
    interval: float = 10.0
    written: int = 2_000
    rounds: int = 3
    memory: tuple[int, ...] = (1_000, 10_000, 100_000)
    large: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    first: int = 100_000
    modelled: int = 1_000
    accounts: int = 200
    members: int = 500
    """Contacts of each of these accounts."""
    at_once: int = 4
    """Accounts that a flow run of the fleet syncs at the same time."""
    bare: int = 8_000
    """Contacts that bare httpx writes for comparison with the fleet."""
    kills: float = 20.0
    """Seconds between two sudden deaths of a worker."""
    patience: float = 5_400.0
    """Seconds after which the fleet is given up."""
    minutes: float = 30.0
    """Of one-minute schedules."""
    with_prefect: int | None = 20_000
    """Contacts of the memory experiment with Prefect; None leaves Prefect out everywhere."""


@dataclass(slots=True)
class Scene:
    """A sandbox and an account that is synced from and into it, with a ledger of its own."""

    box: Box
    folder: Path
    settle: float = 20.0
    _number: int = 0
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.fresh()

    @property
    def ledger(self) -> str:
        """The URL of the current ledger."""
        return f"sqlite:///{self.folder}/{self._number}/ledger.db"

    def fresh(self) -> None:
        """Go on with an empty ledger that has its tables already: a database gets them once in its life."""
        self._number += 1
        place = self.folder / str(self._number)
        place.mkdir()
        with opened(self.ledger) as database:
            database.now_do(migrate.upgrade)
        configuration = CONFIGURATION.format(
            folder=place,
            source=self.box.voipstudio_url,
            destination=self.box.highlevel_url,
            location=self.box.location_id,
            calendar=self.box.calendar_id,
        )
        (place / "voipsync.toml").write_text(configuration, encoding="utf-8")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("VOIPSYNC_", "PREFECT_"))
        }
        self.environment = inherited | {
            "VOIPSYNC_CONFIG": str(place / "voipsync.toml"),
            "VOIPSYNC_DEMO_API_KEY": self.box.api_key,
            "VOIPSYNC_DEMO_TOKEN": self.box.token,
            "VOIPSYNC_ACCOUNTS__DEMO__DESTINATION__SETTLE_SECONDS": str(self.settle),
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PYTHONPATH": str(ROOT),
        }

    def start(self, what: str, **job: Json) -> Measured:
        """Start a process that does one job of `bench.process` and measures itself."""
        told = json.dumps({"what": what, "started": time.time(), **job})
        command = [sys.executable, "-m", "bench.process", told]
        child = subprocess.Popen(  # noqa: S603 - ourselves
            command, env=self.environment, stdout=subprocess.PIPE, cwd=self.folder
        )
        return Measured(child)

    def run(self, what: str, **job: Json) -> dict[str, Any]:
        """Do one job of `bench.process` and return what it measured."""
        return self.start(what, **job).end()

    def sync(self, **options: Json) -> dict[str, Any]:
        """Sync once without Prefect, and return what was measured, the report among it."""
        return self.run("engine", options=options)

    def contacts_delivered(self) -> Counter[str]:
        """How often each source contact is at the destination, by our custom field."""
        return contacts_delivered(self.box)

    def notes_delivered(self) -> Counter[str]:
        """How often each source note is at the destination, by its marker."""
        found = (marker.find(row["body"]) for row in self.box.notes())
        return Counter(one.source_id for one in found if one is not None)


@dataclass(slots=True)
class Measured:
    """A process that measures itself."""

    child: subprocess.Popen[bytes]

    def end(self) -> dict[str, Any]:
        """Wait for its end and return what it measured.

        Raises:
            RuntimeError: it failed; why stands on the standard error.
        """
        out, _ = self.child.communicate()
        if self.child.returncode != 0:
            raise RuntimeError(f"a measured process ended with {self.child.returncode}")
        measured: dict[str, Any] = json.loads(out.splitlines()[-1])
        return measured

    def kill(self) -> bool:
        """SIGKILL; tell whether it was still running."""
        running = self.child.poll() is None
        self.child.kill()
        self.child.communicate()
        return running


@contextmanager
def scene(**scenario: Json) -> Iterator[Scene]:
    """A sandbox in its own process and an account; arguments are the fields of ``Scenario``."""
    with tempfile.TemporaryDirectory(prefix="voipsync-bench-") as folder, Sandbox.process(**scenario) as box:
        yield Scene(box, Path(folder))


def contacts_delivered(box: Box, location: str | None = None) -> Counter[str]:
    """How often each source contact is in a location, by our custom field."""
    label = MappingSettings().id_field
    fields = box.state("highlevel", "custom_fields", location)
    ids = {row["id"] for row in fields if row["name"] == label}
    custom = (one for row in box.contacts(location) for one in row.get("customFields", []))
    return Counter(str(one["value"]) for one in custom if one["id"] in ids)


def duplicates(delivered: Counter[str]) -> int:
    """Records too many."""
    return sum(delivered.values()) - len(delivered)
