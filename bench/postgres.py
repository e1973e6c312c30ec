"""A PostgreSQL server of its own for an experiment, from the programs that are installed on the machine.

Prefect's server wants pg_trgm, one of the contrib modules, which the server of the tests comes without.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
from sqlalchemy.engine import URL

PATIENCE = 120.0
CONNECTIONS = 300


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server that runs.

    Attributes:
        pid: of its first process.
        folder: of its socket.
    """

    pid: int
    folder: Path

    def create(self, name: str) -> None:
        """Create an empty database."""
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())

    def url(self, driver: str, name: str) -> str:
        """Return the URL of a database for SQLAlchemy."""
        place = URL.create(driver, "postgres", database=name, query={"host": str(self.folder)})
        return place.render_as_string()

    def connections(self) -> int:
        """How many clients are connected, ourselves left out."""
        with self._connect() as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND application_name = 'voipsync'"
            ).fetchone()
        return int(found[0]) if found else 0

    def _connect(self) -> psycopg.Connection[tuple[int]]:
        return psycopg.connect(host=str(self.folder), user="postgres", autocommit=True)


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server, and stop it at the end.

    Raises:
        RuntimeError: PostgreSQL is not installed, or does not start.
    """
    if not shutil.which("initdb") or not shutil.which("postgres"):
        raise RuntimeError("install PostgreSQL with its contrib modules, and put initdb and postgres on PATH")
    user = pwd.getpwnam("postgres").pw_uid if os.geteuid() == 0 else None  # it does not run as root
    with tempfile.TemporaryDirectory(prefix="voipsync-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if user is not None:
            os.chown(folder, user, -1)
        data = str(folder / "data")
        made = ["initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
        subprocess.run(made, user=user, cwd=folder, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(folder),
            "max_connections": str(CONNECTIONS),
        }
        command = ["postgres", "-D", data, *(f"--{key}={value}" for key, value in options.items())]
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(command, user=user, cwd=folder, stdout=log, stderr=log)  # noqa: S603
        try:
            _until_up(child, folder)
            yield Postgres(child.pid, folder)
        finally:
            child.send_signal(signal.SIGINT)  # a fast shutdown
            with suppress(subprocess.TimeoutExpired):
                child.wait(30)
            child.kill()


def _until_up(child: subprocess.Popen[bytes], folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    while child.poll() is None and time.monotonic() < until:
        with suppress(psycopg.OperationalError), psycopg.connect(host=str(folder), user="postgres"):
            return
        time.sleep(0.2)
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text(encoding='utf-8')[-1000:]}")
