"""PostgreSQL servers of an experiment's own, which can be killed and are started again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.deployed import free_port
from bench.supervised import Supervised

PATIENCE = 30.0
CONNECTIONS = 300
USER = "voipsync"
NOBODY = "nobody"
"""Who a server runs as where the experiment is root's: PostgreSQL refuses to be that."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A server on a loopback port, without passwords."""

    process: Supervised
    port: int

    @classmethod
    def started(cls, folder: Path, *names: str) -> Cluster:
        """Make a server in a folder, start it, and make empty databases of these names.

        Raises:
            FileNotFoundError: there is no PostgreSQL on this machine.
        """
        binaries, user = _binaries(), NOBODY if os.geteuid() == 0 else None
        data = folder / f"{names[0]}.postgres"
        data.mkdir(mode=0o700)
        if user:
            shutil.chown(data, user)
            folder.chmod(0o711)
        made = [str(binaries / "initdb"), "-D", str(data), "-U", USER, "--auth=trust", "--encoding=UTF8"]
        subprocess.run(made, user=user, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
        port = free_port()
        postgres = [str(binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        postgres.append(f"--max_connections={CONNECTIONS}")
        process = Supervised(postgres, dict(os.environ), folder / f"{names[0]}.log", user)
        process.start()
        cluster = cls(process, port)
        for name in names:
            cluster._create(name)
        return cluster

    def url(self, driver: str, name: str) -> str:
        """Return the URL of a database for SQLAlchemy."""
        return f"{driver}://{USER}@127.0.0.1:{self.port}/{name}"

    def connections(self) -> int:
        """How many connections voipsync has to it."""
        with self._connect() as connection:
            found = connection.execute(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND application_name = 'voipsync'"
            ).fetchone()
        return int(found[0]) if found else 0

    def _connect(self) -> psycopg.Connection[tuple[int]]:
        return psycopg.connect(self.url("postgresql", "postgres"), autocommit=True)

    def _create(self, name: str) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with self._connect() as connection:
                    connection.execute(f"CREATE DATABASE {name}".encode())
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
            else:
                return


def _binaries() -> Path:
    """The programs of a whole PostgreSQL: Prefect's server needs its extension pg_trgm."""
    on_path = shutil.which("postgres")
    found = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        raise FileNotFoundError(
            "no PostgreSQL here: install it, with the extension pg_trgm (Debian: postgresql)"
        )
    return found[-1]
