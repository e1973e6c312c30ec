"""The ``voipsync`` command in child processes, as a user meets it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sandbox.client import Box
from tests.support.forking import Forked, fork

KEY, TOKEN = "VOIPSYNC_CHECK_API_KEY", "VOIPSYNC_CHECK_TOKEN"
CONFIGURATION = """\
[state]
url = "sqlite:///{ledger}"

[accounts.{account}.source]
base_url = "{source}"
api_key = "${{VOIPSYNC_CHECK_API_KEY}}"
timezone = "Europe/London"

[accounts.{account}.destination]
base_url = "{destination}"
location_id = "{location}"
token = "${{VOIPSYNC_CHECK_TOKEN}}"
calendar_id = "{calendar}"
settle_seconds = 3
search_lag_seconds = 1

[accounts.{account}.mapping]
default_country = "GB"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def line(self) -> str:
        """The one line of ours on stderr."""
        lines = [line for line in self.err.splitlines() if line.startswith("voipsync: ")]
        assert len(lines) == 1, self.err[-3000:]
        return lines[0]

    @property
    def json(self) -> Any:
        """What it printed, which is one JSON document in one line and nothing else."""
        assert self.out.count("\n") == 1, self.out + self.err[-3000:]
        return json.loads(self.out)


@dataclass(slots=True)
class Running:
    """A command under way; what it prints goes to files, so that it never waits for a reader."""

    child: subprocess.Popen[bytes] | Forked
    out: Path
    err: Path
    started: float = field(default_factory=time.monotonic)

    def end(self, within: float = 200.0) -> Ran:
        """Wait for its end, at the latest so many seconds after it was started."""
        try:
            code = self.child.wait(max(0.1, self.started + within - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            said = self.err.read_text(encoding="utf-8")[-3000:]
            raise AssertionError(f"the command did not end within {within} s; it said: {said}") from None
        seconds = time.monotonic() - self.started
        return Ran(code, self.out.read_text(encoding="utf-8"), self.err.read_text(encoding="utf-8"), seconds)

    def says(self, text: str, within: float = 30.0) -> None:
        """Wait until it has printed a text to stderr."""
        until = time.monotonic() + within
        while text not in self.err.read_text(encoding="utf-8"):
            assert self.child.poll() is None, f"ended without saying {text!r}"
            assert time.monotonic() < until, f"did not say {text!r} within {within} s"
            time.sleep(0.05)

    def signal(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to it, or to its whole process group as a terminal does on Ctrl-C."""
        if group:
            os.killpg(self.child.pid, number)
        else:
            self.child.send_signal(number)


class Command:
    """A folder with a configuration, in which the command is run; nothing of the developer's environment."""

    def __init__(self, folder: Path, account: str = "acme", **env: str) -> None:
        self.folder = folder
        self.account = account
        self.path = folder / "voipsync.toml"
        self.env = {"HOME": str(folder), "PREFECT_HOME": str(folder / ".prefect"), **env}
        self._number = 0

    @property
    def ledger(self) -> str:
        """The URL of its ledger."""
        return f"sqlite:///{self.folder}/ledger.db"

    def configure(self, box: Box, **changes: str) -> Command:
        """Write a configuration for a sandbox; changes replace parts of it."""
        values = {
            "ledger": f"{self.folder}/ledger.db",
            "account": self.account,
            "source": box.voipstudio_url,
            "destination": box.highlevel_url,
            "location": box.location_id,
            "calendar": box.calendar_id,
        }
        self.path.write_text(CONFIGURATION.format(**{**values, **changes}), encoding="utf-8")
        self.env |= {KEY: box.api_key, TOKEN: box.token}
        return self

    def start(
        self, *arguments: str, alone: bool = False, before: str = "", terminal: str = "", **env: str
    ) -> Running:
        """Start ``voipsync`` with these arguments; ``env`` adds to the environment.

        It is forked from a process that has imported it, and runs code of the test's ``before`` it begins, or
        starts Python ``alone``. On a ``terminal`` somebody may type, and stderr is shown.
        """
        self._number += 1
        out, err = self.folder / f"{self._number}.out", Path(terminal or self.folder / f"{self._number}.err")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("VOIPSYNC_", "PREFECT_", "VOIPSTUDIO_", "HIGHLEVEL_"))
        }
        whole = {**inherited, **self.env, **env}
        if not alone:
            for path in (out, err):
                path.touch()
            files = (terminal or os.devnull, str(out), str(err))
            return Running(
                fork([*arguments], cwd=self.folder, env=whole, files=files, before=before), out, err
            )
        with out.open("wb") as stdout, err.open("wb") as stderr:
            started = subprocess.Popen(
                [str(Path(sys.executable).with_name("voipsync")), *arguments],
                cwd=self.folder,
                env=whole,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        return Running(started, out, err)

    def run(self, *arguments: str, within: float = 60.0, alone: bool = False, **env: str) -> Ran:
        """Run ``voipsync`` to its end."""
        return self.start(*arguments, alone=alone, **env).end(within)

    def execute(self, program: str, *arguments: str, **env: str) -> Running:
        """Start a program of the test's, forked as commands are."""
        return self.start(*arguments, before=f"{program}\nimport sys\nsys.exit()", **env)
