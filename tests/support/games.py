"""An account's life as a game: whatever happens on either side and in between, plain runs make it right.

People edit at the source and at the destination, answers and writes get lost, the service throttles; syncs,
backfills and retries run, plans are made, of a run's reverse and of what a verification found as well, and
are applied sooner or later. Any of them dies at any write to the ledger. After each game the faults stop,
plain runs follow, and then everything of the source is at the destination exactly once, every edit of a
person at the destination still stands, and the ledger tells the truth.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tasks.engine.choose import Refused
from tasks.errors import ConfigurationError, VoipsyncError
from tasks.settings import ENTITIES
from tests.support.accounts import backfill, retry, sync
from tests.support.dying import dying, is_crash
from tests.support.planning import apply, plan
from tests.support.undoing import plan_back
from tests.support.verifying import verify_all

WHICH = st.integers(0, 99)
"""Which of those there are: what is there depends on which request came first, so it cannot be drawn from."""
WORDS = st.sampled_from(["alpha", "beta", "gamma", "delta", "epsilon"])
STREAMS = ("notes", "tasks", "appointments")
POSTS = r"/contacts/$|/notes$|/tasks$|/appointments$"
DEATH = st.one_of(st.none(), st.tuples(st.sampled_from([1, 2, 3, 4, 6, 9, 14, 20]), st.booleans()))
"""At which write to the ledger a run dies, before or after it is durable; None: it does not."""
QUICK = {"destination": {"settle_seconds": 0.05, "search_lag_seconds": 0.3}}


def pick(rows: Any, which: int) -> Any:
    """One of those there are, if there are any."""
    return rows[which % len(rows)] if rows else None


class Game(RuleBasedStateMachine):
    """One account's life."""

    box: Any = None

    @initialize(allow_duplicates=st.booleans())
    def begin(self, allow_duplicates):
        self.folder = Path(tempfile.mkdtemp(prefix="voipsync-game-"))
        self.url = f"sqlite:///{self.folder}/ledger.db"
        self.box.reset(
            contacts=0, burst=5000, allow_duplicates=allow_duplicates, source={}, destination={"lag": 0.1}
        )
        self.box.clear_faults()
        self.number = 0
        self.edits = {}
        self.deleted = set()
        self.lost = set()
        self.runs = []
        self.plan = None
        self.undone = False
        self.refusing = False
        for _ in range(2):
            self.somebody_new_comes()
        self.run()

    def unique(self, word):
        self.number += 1
        return f"{word} {self.number}"

    # at the source

    @rule(shared=st.booleans(), labels=st.lists(WORDS, max_size=2))
    def somebody_new(self, shared, labels):
        self.somebody_new_comes(shared=shared, labels=labels)

    def somebody_new_comes(self, *, shared=False, labels=()):
        self.number += 1
        phone = "02079460000" if shared else f"0207946{self.number:04d}"
        self.box.insert_source(
            "contacts",
            first_name=f"First{self.number}",
            last_name="Last",
            email=f"person{self.number}@example.com",
            tel=phone,
            labels=list(labels),
        )

    @rule(which=WHICH, stream=st.sampled_from(STREAMS))
    def something_happens(self, which, stream):
        who = pick(self.people(), which)
        values = {
            "notes": {"body": self.unique("Said")},
            "tasks": {"title": self.unique("Do"), "due_at": "2027-01-02 03:04:05"},
            "appointments": {"title": self.unique("Meet"), "starts_at": "2027-01-02 03:04:05"},
        }
        self.box.insert_source(stream, who["id"], **values[stream])

    @rule(which=WHICH, stream=st.sampled_from(STREAMS), at=st.sampled_from([1, 2]), saved=st.booleans())
    def something_happens_and_the_run_dies(self, which, stream, at, saved):
        self.something_happens(which, stream)
        self.run((at, saved))

    @rule(
        which=WHICH,
        stream=st.sampled_from(STREAMS),
        kind=st.sampled_from(["commit_then_drop", "drop"]),
        asking_fails=st.booleans(),
    )
    def something_happens_and_the_answer_is_lost(self, which, stream, kind, asking_fails):
        self.something_happens(which, stream)
        self.box.fault(kind, method="POST", path=f"/{stream}$", count=1)
        if asking_fails:
            self.box.fault("status", method="GET", path=f"/{stream}$|/calendars/events", status=400, count=2)
        self.run()

    @rule(which=WHICH, field=st.sampled_from(["first_name", "last_name"]))
    def a_name_changes(self, which, field):
        who = pick(self.people(), which)
        self.box.edit_source("contacts", who["id"], **{field: self.unique("Renamed")})

    @rule(which=WHICH, labels=st.lists(WORDS, max_size=3, unique=True))
    def labels_change(self, which, labels):
        who = pick(self.people(), which)
        self.box.edit_source("contacts", who["id"], labels=labels)

    @rule(which=WHICH)
    def a_note_changes(self, which):
        note = pick(self.box.source("notes"), which)
        if note is None:
            return
        self.box.edit_source("notes", note["id"], note["contact_id"], body=self.unique("Corrected"))

    @rule(which=WHICH)
    def a_task_is_done(self, which):
        task = pick(self.box.source("tasks"), which)
        if task is None:
            return
        self.box.edit_source("tasks", task["id"], task["contact_id"], completed=True)

    # at the destination, by people

    @rule(which=WHICH)
    def a_person_renames_a_contact(self, which):
        contact = pick(self.box.contacts(), which)
        if contact is None:
            return
        name = self.unique("Human")
        self.box.edit("contacts", contact["id"], lastName=name)
        self.edits["contacts", contact["id"], "lastName"] = name

    @rule(which=WHICH)
    def a_person_tags_a_contact(self, which):
        contact = pick(self.box.contacts(), which)
        if contact is None:
            return
        tag = f"human-{self.unique('tag')}"
        self.box.edit("contacts", contact["id"], tags=[*contact["tags"], tag])
        self.edits["tag", contact["id"], tag] = tag

    @rule(which=WHICH)
    def a_person_edits_a_note(self, which):
        note = pick(self.box.notes(), which)
        if note is None:
            return
        marker = note["body"].rsplit("\n", 1)[-1]
        body = f"{self.unique('Human')}\n\n{marker}"
        self.box.edit("notes", note["id"], body=body)
        self.edits["notes", note["id"], "body"] = body

    @rule(which=WHICH)
    def a_person_writes_a_note(self, which):
        contact = pick(self.box.contacts(), which)
        if contact is None:
            return
        body = self.unique("By hand")
        note = self.box.insert("notes", contact["id"], body=body)
        self.edits["notes", note["id"], "body"] = body

    @rule(which=WHICH)
    def a_person_deletes_a_task(self, which):
        task = pick(self.box.tasks(), which)
        if task is None:
            return
        self.box.delete("tasks", task["id"])
        self.deleted.add(_marked(task["body"]))

    @rule(which=WHICH)
    def a_person_deletes_a_contact(self, which):
        contact = pick(self.box.contacts(), which)
        if contact is None:
            return
        below = {note["id"] for note in self.box.notes(contact["id"])}
        self.lost.update(value["value"] for value in contact["customFields"])
        self.box.delete("contacts", contact["id"])
        self.edits = {
            key: value for key, value in self.edits.items() if key[1] not in {contact["id"], *below}
        }

    # in between

    @rule(
        kind=st.sampled_from(["commit_then_drop", "commit_then_status", "truncate", "drop", "status"]),
        count=st.integers(1, 3),
        after=st.integers(0, 3),
    )
    def answers_get_lost(self, kind, count, after):
        status = {"status": 502} if "status" in kind else {}
        self.box.fault(
            kind, method="POST,PUT,DELETE", path=f"{POSTS}|/contacts/", count=count, after=after, **status
        )

    @rule(count=st.integers(1, 2))
    def the_service_throttles(self, count):
        self.box.fault("status", status=429, retry_after=0.05, count=count)

    @rule(
        service=st.sampled_from(["highlevel", "voipstudio"]),
        status=st.sampled_from([400, 404, 422, 500]),
        count=st.integers(1, 4),
        after=st.integers(0, 6),
    )
    def questions_are_refused(self, service, status, count, after):
        self.refusing = True
        self.box.fault("status", service=service, method="GET", status=status, count=count, after=after)

    @rule()
    def the_faults_stop(self):
        self.box.clear_faults()

    # what is run

    @rule(death=DEATH)
    def a_run(self, death):
        self.run(death)

    @rule(death=DEATH, which=WHICH, whole=st.booleans())
    def a_backfill(self, death, which, whole):
        ids = () if whole else (pick(self.people(), which)["id"],)
        self.survive(lambda: backfill(self.box, self.url, ids=ids, restart=True, **QUICK), death)

    @rule(death=DEATH)
    def a_retry(self, death):
        self.survive(lambda: retry(self.box, self.url, **QUICK), death)

    @rule(death=DEATH)
    def a_plan_is_made(self, death):
        self.planned(self.survive(lambda: plan(self.box, self.url, **QUICK), death))

    @rule(death=DEATH, which=WHICH)
    def the_reverse_of_a_run_is_planned(self, death, which):
        if (run_id := pick(self.runs, which)) is not None:
            self.planned(self.survive(lambda: plan_back(self.box, self.url, run_id, **QUICK), death))

    @rule(death=DEATH)
    def a_repair_is_planned(self, death):
        work = lambda: verify_all(self.box, self.url, *ENTITIES, sections=QUICK, repair=True)  # noqa: E731
        report = self.survive(work, death)
        self.planned(report and report.plan)

    @rule(death=DEATH)
    def the_plan_is_applied(self, death):
        if self.plan is None:
            return
        made = self.plan
        self.undone |= made.kind == "undo"
        self.survive(lambda: apply(self.box, self.url, made.plan_id, **QUICK), death)

    @rule(death=DEATH, which=WHICH)
    def a_run_is_taken_back(self, death, which):
        self.the_reverse_of_a_run_is_planned(None, which)
        self.the_plan_is_applied(death)

    def planned(self, made):
        if made is not None:
            self.plan = made

    def run(self, death=None, mode="incremental"):
        return self.survive(lambda: sync(self.box, self.url, mode=mode, **QUICK), death)

    def survive(self, work: Callable[[], Awaitable[Any]], death):
        """Do some work; it may be refused, find no answer, or die."""
        try:
            with dying(*death) if death else nullcontext():
                report = asyncio.run(work())
        except (ConfigurationError, Refused):
            return None
        except VoipsyncError:
            if not self.refusing:
                raise
            return None
        except BaseException as error:
            if not is_crash(error):
                raise
            return None
        if hasattr(report, "run_id"):
            self.runs.append(report.run_id)
        return report

    def people(self):
        return self.box.source("contacts")

    # what is true in the end

    def teardown(self):
        if not hasattr(self, "folder"):
            return
        self.box.clear_faults()
        if self.refusing:
            self.a_retry(None)  # what was refused often is tried by a plain run after a while only
        report = None
        for _ in range(4):
            report = self.run(mode="full" if self.undone else "incremental")
            if report.status == "ok":
                break
        if self.undone:  # of a contact that is back the activities are read by the next run
            report = self.run(mode="full")
        try:
            assert report.status == "ok", report
            self.check_everything_is_there_once()
            self.check_what_people_did()
            before = self.box.state("highlevel")
            self.box.reset_counters()
            assert self.run().status == "ok"
            assert self.box.writes() == {}
            assert self.box.state("highlevel") == before
        finally:
            shutil.rmtree(self.folder)

    def check_everything_is_there_once(self):
        source = {str(row["id"]): row for row in self.people()}
        ids = [
            value["value"]
            for row in self.box.contacts()
            for value in row["customFields"]
            if value["value"] in source
        ]
        assert len(ids) == len(set(ids)), "contacts: twice"
        assert {*source} - self.lost <= {*ids}
        for stream, text in zip(STREAMS, ("body", "body", "description"), strict=True):
            due = {f"{row['contact_id']}/{row['id']}" for row in self.box.source(stream)}
            there = [mark for row in self.box.children(stream) if (mark := _marked(row[text]))]
            assert len(there) == len(set(there)), f"{stream}: twice"
            left = {mark for mark in due if mark in self.deleted or mark.split("/")[0] in self.lost}
            assert set(there) <= due <= {*there, *left}, stream
        for row in self.box.contacts():
            number = next(value["value"] for value in row["customFields"] if value["value"] in source)
            assert row["firstName"] == source[number]["first_name"]
            assert set(source[number]["labels"] or ()) <= set(row["tags"])

    def check_what_people_did(self):
        for (what, where, field), value in self.edits.items():
            if what == "tag":
                assert value in self.box.contact(where)["tags"]
            elif what == "contacts":
                assert self.box.contact(where)[field] == value
            else:
                assert value == next(note["body"] for note in self.box.notes() if note["id"] == where)


def play(box: Any, *, games: int, steps: int) -> None:
    """Play so many games of at most so many steps in a sandbox; one that is lost is told in its steps."""
    Game.box = box
    machine = Game.TestCase
    machine.settings = settings(
        max_examples=games,
        stateful_step_count=steps,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    machine().runTest()


def _marked(text):
    """The source id that our marker under a text names."""
    last = text.rsplit("\n", 1)[-1]
    return last.split(" · ")[0].rsplit(" ", 1)[-1] if " · " in last else None
