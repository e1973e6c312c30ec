"""The commands of the guides, run one after the other as a reader would, against the sandbox."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox.serve import Sandbox
from tests.support.command import Command

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"(<!-- not run by the tests: [^>]+-->\n)?^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BEFORE = ("make install", "source .venv/bin/activate", "cp voipsync.example.toml", "export ")
"""What the reader has done where the test has its own way: installing, copying, keys in the environment."""


def commands(page: str) -> Iterator[list[str]]:
    """Each command of a page that is to be run."""
    for marked, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if not marked:
            yield from (shlex.split(line) for line in text.splitlines() if not line.startswith(BEFORE))


def test_only_what_cannot_run_here_is_not_run() -> None:
    marked = {
        line.split()[0]
        for path in DOCS.glob("*.md")
        for mark, text in BLOCK.findall(path.read_text(encoding="utf-8"))
        if mark
        for line in text.splitlines()
        if not line.startswith(("export ", "#"))
    }
    assert "voipsync" not in marked


@pytest.mark.parametrize("page", ["getting-started.md", "operating.md"])
def test_the_commands_of_a_guide_run(prefect_api: str, command: Callable[..., Command], page: str) -> None:
    with Sandbox.threaded(contacts=5, burst=5000) as box:
        made = command(PREFECT_API_URL=prefect_api).configure(box)
        ran = []
        for program, *arguments in commands(page):
            assert program == "voipsync", arguments
            one = made.run(*arguments)
            assert one.code == 0, (arguments, one.out, one.err[-2000:])
            assert "Traceback" not in one.err
            ran.append(arguments[0])
        assert len(ran) >= 6
        if page == "getting-started.md":
            assert len(box.contacts()) > 0
            box.reset_counters()
            assert made.run("sync", "acme").code == 0
            assert box.writes() == {}
