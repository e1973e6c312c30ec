"""An account's life with many sudden deaths: edits at the source, a run, SIGKILL, and again."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import Any

from sandbox.client import Box
from tests.support.truth import check
from tests.support.workers import Workers, wait_for

Rows = dict[str, list[dict[str, Any]]]
OFTEN = 0.4
HOT = 4
"""So many people and activities of each kind change again and again."""


@dataclass(slots=True)
class Life:
    """One account, its seed, and what befell it."""

    box: Box
    workers: Workers
    seed: int
    calls: bool = False
    """Whether each new or changed activity shows in its contact, as a call does: "recent" scans need it."""
    deletes: bool = False
    """Whether activities vanish as well."""
    kills: int = 0
    survived: int = 0
    seconds: float = 0.8
    rng: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)  # noqa: S311 - the same seed, the same life

    def kill(self) -> None:
        """Start a run and kill it at a random moment; one that ended before does not count."""
        worker = self.workers.start()
        match self.rng.randrange(4):
            case 0:  # start-up: database, migrations, lease
                time.sleep(self.rng.uniform(0.0, 0.12))
            case 1:  # anywhere
                time.sleep(self.rng.uniform(0.0, self.seconds))
            case _:  # among the writes
                wait_for(self.box, worker, self.rng.randint(1, 60))
                time.sleep(self.rng.uniform(0.0, 0.03))
        if worker.kill():
            self.kills += 1
        else:
            self.survived += 1

    def run(self) -> dict[str, Any]:
        """A plain run to its end."""
        started = time.monotonic()
        worker = self.workers.start()
        worker.end()
        self.seconds = min(self.seconds, time.monotonic() - started)
        return worker.report

    def problems(self) -> list[str]:
        """What is wrong, after a plain run."""
        report = self.run()
        wrong = [] if report.get("status") == "ok" else [f"the plain run ended: {report}"]
        return [*wrong, *check(self.box, self.workers.url, **self.workers.sections)]

    def edit(self) -> None:
        """Change something at the source: new people, new activities, other contents."""
        rows = self.box.state("voipstudio")
        people = [row for row in rows["contacts"] if not row["internal"]]
        for _ in range(self.rng.randint(1, 12)):
            often = self.rng.random() < OFTEN  # so that what a killed run was writing changes once more
            contact_id = self._edit_one(
                rows, self.rng.choice(people[:HOT] if often else people)["id"], hot=often
            )
            if self.calls:
                self.box.edit_source("contacts", contact_id, nb_call_attempts=self.rng.randrange(1 << 30))

    def _edit_one(self, rows: Rows, contact_id: int, *, hot: bool) -> int:
        word = f"{self.rng.getrandbits(32):x}"
        instant = 1_790_000_000 + self.rng.randrange(10_000) * 60
        kinds = ("person", "name", "labels", *3 * ("note", "task", "visit", "old"))
        kind = self.rng.choice((*kinds, *3 * ("gone",)) if self.deletes else kinds)
        match kind:
            case "person":
                email = f"{word}@example.com"
                self.box.insert_source("contacts", first_name="New", last_name=word, email=email)
            case "name":
                self.box.edit_source("contacts", contact_id, last_name=f"Renamed {word}")
            case "labels":
                self.box.edit_source("contacts", contact_id, labels=[self.rng.choice("abcdef")])
            case "note":
                self.box.insert_source("notes", contact_id, body=f"Said {word}")
            case "task":
                self.box.insert_source("tasks", contact_id, title=f"Do {word}", body="Soon", due_at=instant)
            case "visit":
                self.box.insert_source("appointments", contact_id, title=f"See {word}", starts_at=instant)
            case "gone":
                return self._delete_activity(rows) or contact_id
            case _:
                return self._edit_activity(rows, word, instant, hot=hot) or contact_id
        return contact_id

    def _delete_activity(self, rows: Rows) -> int | None:
        entity = self.rng.choice(("notes", "tasks", "appointments"))
        if len(rows[entity]) <= HOT:
            return None
        row = rows[entity].pop(self.rng.randrange(HOT, len(rows[entity])))
        self.box.delete_source(entity, row["id"], row["contact_id"])
        return int(row["contact_id"])

    def _edit_activity(self, rows: Rows, word: str, instant: int, *, hot: bool) -> int | None:
        entity = self.rng.choice(("notes", "tasks", "appointments"))
        if not rows[entity]:
            return None
        row = self.rng.choice(rows[entity][:HOT] if hot else rows[entity])
        changes = {
            "notes": {"body": f"Edited {word}"},
            "tasks": self.rng.choice(
                ({"title": f"Retitled {word}"}, {"completed": self.rng.random() < 0.5}, {"due_at": instant})
            ),
            "appointments": self.rng.choice(
                ({"starts_at": instant, "ends_at": instant + 1800}, {"status": "cancelled"}, {"notes": word})
            ),
        }
        self.box.edit_source(entity, row["id"], row["contact_id"], **changes[entity])
        return int(row["contact_id"])
