"""The commands of the guides, run one after the other as a reader would, against the sandbox."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.client import Box
from sandbox.serve import Sandbox
from tests.support.command import Command

PROJECT = Path(__file__).parents[2]
GUIDES = {path.name: path.read_text(encoding="utf-8") for path in (PROJECT / "docs").glob("*.md")}
README = (PROJECT / "README.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"(<!-- not run by the tests: [^>]+-->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEFORE = ("make ", "source .venv/bin/activate", "cp voipsync.example.toml", "export ")
"""What the reader has done where the test has its own way: installing, copying, keys in the environment."""
RUN_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{6}")
NOTE = "7/3"
"""A page's example of a note's id."""


def commands(page: str) -> list[list[str]]:
    """Each command of a page's text that is to be run."""
    return [
        shlex.split(line)
        for marked, text in BLOCK.findall(page)
        if not marked
        for line in text.splitlines()
        if not line.startswith(BEFORE)
    ]


def synced(box: Box, made: Command) -> None:
    """The reader has an account that is synced already."""
    assert made.run("sync", "acme").code == 0, box


def deviating(box: Box, made: Command) -> None:
    """Somebody has deleted a note in HighLevel since the last sync."""
    synced(box, made)
    box.delete("notes", box.notes()[0]["id"])


PREPARED: dict[str, Callable[[Box, Command], None]] = {
    "history.md": synced,
    "observability.md": synced,
    "verify.md": deviating,
}
"""What is so before a reader comes to a page."""


def test_only_what_cannot_run_here_is_not_run() -> None:
    marked = {
        line.split()[0]
        for page in (README, *GUIDES.values())
        for mark, text in BLOCK.findall(page)
        if mark
        for line in text.splitlines()
        if not line.startswith(("export ", "#"))
    }
    assert "prefect" in marked
    assert "voipsync" not in marked


def test_the_commands_of_the_front_page_are_those_of_guides() -> None:
    found = commands(README)
    assert len(found) >= 4
    assert [one for one in found if not any(one in commands(page) for page in GUIDES.values())] == []


@pytest.mark.parametrize("page", [name for name, page in sorted(GUIDES.items()) if commands(page)])
def test_the_commands_of_a_guide_run(prefect_api: str, command: Callable[..., Command], page: str) -> None:
    with Sandbox.threaded(contacts=8, burst=5000) as box:
        made = command(PREFECT_API_URL=prefect_api).configure(box)
        PREPARED.get(page, lambda *_: None)(box, made)
        codes = []
        for program, *arguments in commands(GUIDES[page]):
            assert program == "voipsync", arguments
            one = made.run(arguments[0], *(_there(each, arguments[0], box, made) for each in arguments[1:]))
            assert one.code in ((0, 3) if arguments[0] == "verify" else (0,)), (arguments, one.out, one.err)
            assert "Traceback" not in one.err
            codes.append(one.code)
        if page == "verify.md":
            assert (codes[0], codes[-1]) == (3, 0), "what deviated is mended"
        if page in ("getting-started.md", "backfill.md"):
            assert len(box.contacts()) > 0
            box.reset_counters()
            assert made.run("sync", "acme").code == 0
            assert box.writes() == {}


def _there(word: str, verb: str, box: Box, made: Command) -> str:
    """What a page gives as an example to a command, as it is called in this sandbox."""
    if verb == "apply" and RUN_ID.fullmatch(word):
        return "latest"
    if RUN_ID.fullmatch(word):
        last: str = made.run("status", "acme", "--json").json["accounts"][0]["runs"][0]["run_id"]
        return last
    if word == NOTE:
        note = box.source("notes")[0]
        return f"{note['contact_id']}/{note['id']}"
    return word
