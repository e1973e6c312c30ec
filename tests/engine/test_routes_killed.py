"""SIGKILL at any instruction loses no effect and repeats none: each change of a tag is one message."""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.client import Box
from tests.support.receiver import Receiver, receiving
from tests.support.workers import Workers, wait_for

PEOPLE = 12
KILLS = 8
SCENARIO: dict[str, Any] = {"contacts": 0, "burst": 400, "interval": 0.3, "latency": 0.004}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as running:
        yield running


@pytest.fixture
def workers(box: Box, url: str, tmp_path: Path, receiver: Receiver) -> Workers:
    secret = tmp_path / "secret"
    secret.write_text("a shared secret", encoding="utf-8")
    hook = {"tag": "vip", "webhook": receiver.url, "webhook_secret": f"file:{secret}"}
    routes = [hook, {**hook, "when": "removed"}, {"tag": "vip", "workflow": "Welcome"}]
    sections = {
        "destination": {
            "settle_seconds": 0.3,
            "search_lag_seconds": 0.3,
            "quota": {"requests": 400, "seconds": 0.3},
        },
        "mapping": {"routes": routes},
    }
    return Workers(box, url, tmp_path, sections)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_each_change_is_one_message(box, workers, receiver, seed):
    rng, tagged = random.Random(seed), set[int]()  # noqa: S311 - the same seed, the same life
    for number in range(1, PEOPLE + 1):
        box.insert_source("contacts", first_name=f"P{number}", email=f"p{number}@example.com")
    assert workers.start().end() == 0
    kills = 0
    while kills < KILLS:
        for number in rng.sample(range(1, PEOPLE + 1), 5):
            tagged ^= {number}
            box.edit_source("contacts", number, labels=["vip"] if number in tagged else [])
        worker = workers.start()
        wait_for(box, worker, rng.randint(0, 20))
        time.sleep(rng.uniform(0.0, 0.03))
        kills += worker.kill()
    last = workers.start()
    assert (last.end(), last.report["warnings"]) == (0, [])
    assert {row["firstName"] for row in box.contacts() if row["tags"]} == {f"P{number}" for number in tagged}
    told: dict[int, dict[str, tuple[str, str]]] = defaultdict(dict)
    for message in receiver.messages:
        told[int(message["source_id"])][message["id"]] = (message["at"], message["when"])
    for number in range(1, PEOPLE + 1):
        whens = [when for _, when in sorted(told[number].values())]
        assert whens == ["added", "removed"] * (len(whens) // 2) + ["added"] * (number in tagged), number
    entered = [entry["contactId"] for entry in box.state("highlevel", "enrolments")]
    assert len(entered) == len(set(entered)) == sum(bool(messages) for messages in told.values())


@pytest.mark.parametrize("path", ["/workflow/", "/tags$"])
def test_a_run_that_was_killed_at_a_request_that_took_effect(box, workers, receiver, path):
    box.insert_source("contacts", first_name="Ann", email="ann@example.com")
    assert workers.start().end() == 0
    box.edit_source("contacts", 1, labels=["vip"])
    box.fault("commit_then_hang", method="POST", path=path, count=1)
    worker = workers.start()
    while worker.running and not box.faults()[0]["fired"]:
        time.sleep(0.005)
    assert worker.kill()
    box.clear_faults()
    assert workers.start().end() == 0
    assert len(box.state("highlevel", "enrolments")) == 1
    assert len(set(receiver.keys)) == 1
