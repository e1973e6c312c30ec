"""The commands in the guides that the tests cannot run: each is held against what its program takes."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError
from prefect.cli._app import _app as prefect

from deployments.__main__ import parser

PROJECT = Path(__file__).parents[2]
GUIDES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
MARKED = re.compile(r"<!-- not run by the tests: [^>]+-->\n^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SESSION = ("--prompt", "--no-prompt")
"""Options that Prefect's command takes in front of every other."""
KNOWN = {
    "docker": {"compose up": {"--detach"}, "compose logs": {"--follow"}},
    "kubectl": {
        "create namespace": set[str](),
        "create configmap": {"--namespace", "--from-file"},
        "create secret": {"--namespace", "--from-env-file"},
        "apply": {"--namespace", "--filename"},
    },
    "systemctl": {"daemon-reload": set[str](), "enable": {"--now"}},
    "useradd": {"voipsync": {"--system", "--home-dir"}},
}
"""What the guides use of programs that are not here, by their manuals."""


def blocks() -> list[str]:
    return [text for path in GUIDES for text in MARKED.findall(path.read_text(encoding="utf-8"))]


def lines(program: str) -> Iterator[list[str]]:
    """The commands of a program, each without its name."""
    for text in blocks():
        for line in text.splitlines():
            if line.startswith(f"{program} "):
                yield shlex.split(line)[1:]


def parse(words: list[str]) -> None:
    """Parse a command line as Prefect's own command would."""
    rest = [word for word in words if word not in SESSION]
    prefect.parse_args(rest, exit_on_error=False, print_error=False)


def test_each_block_is_a_shells() -> None:
    assert len(blocks()) > 5
    for text in blocks():
        done = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, ""), text


def test_every_program_in_them_is_known_here() -> None:
    programs = {line.split()[0] for text in blocks() for line in text.splitlines()}
    assert programs == {"prefect", "python", *KNOWN, "export", "cd", "cp", "chmod"}


def test_prefects_commands_and_options_exist() -> None:
    found = list(lines("prefect"))
    assert len(found) > 4
    for words in found:
        parse(words)


def test_no_server_is_started_in_the_background() -> None:
    """Prefect 3.8 gives one a pipe that nobody reads: its first warning ends it (measured)."""
    assert [words for words in lines("prefect") if "--background" in words] == []


@pytest.mark.parametrize("line", ["deploy --everything", "deployment start fleet/fleet", "serve --all"])
def test_a_wrong_command_of_prefects_would_be_found(line: str) -> None:
    with pytest.raises(CycloptsError):
        parse(line.split())


def test_the_options_of_our_bootstrap_exist() -> None:
    found = list(lines("python"))
    assert found != []
    for words in found:
        assert words[:2] == ["-m", "deployments"]
        parser().parse_args(words[2:])


@pytest.mark.parametrize("program", KNOWN)
def test_sub_commands_and_options_are_those_of_the_manual(program: str) -> None:
    found = list(lines(program))
    assert found != []
    for words in found:
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        said = f" {' '.join(words)} "
        fits = [name for name, known in KNOWN[program].items() if f" {name} " in said and options <= known]
        assert fits, words


def test_the_files_that_are_named_are_there() -> None:
    for text in blocks():
        folder = PROJECT
        for words in (shlex.split(line, comments=True) for line in text.splitlines()):
            if words[:1] == ["cd"]:
                folder = folder / words[1]
                assert folder.is_dir(), words
            if words[:1] == ["cp"]:
                for name in words[1:-1]:
                    assert list(folder.glob(name)) or (folder / name).resolve().is_file(), words
            for name in re.findall(r"--filename (\S+)", " ".join(words)):
                assert (folder / name).is_file(), words
            if words[:2] == ["systemctl", "enable"]:
                for unit in words[3:]:
                    assert (PROJECT / "deployments" / "systemd" / f"{unit}.service").is_file(), words
