"""PostgreSQL servers of an experiment's own, which can be killed and are started again."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench.supervised import Supervised

PATIENCE = 30.0
NOBODY = "nobody"
"""Who a server runs as where the experiment is root's: PostgreSQL refuses to be that."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """One server with one database, on a loopback port, without passwords."""

    process: Supervised
    address: str
    """Without a scheme: each driver has its own."""

    @classmethod
    def started(cls, folder: Path, port: int, name: str) -> Cluster:
        """Make a server in a folder, start it, and make a database.

        Raises:
            FileNotFoundError: there is no PostgreSQL on this machine.
        """
        binaries, user = _binaries(), NOBODY if os.geteuid() == 0 else None
        data = folder / f"{name}.postgres"
        data.mkdir(mode=0o700)
        if user:
            shutil.chown(data, user)
            folder.chmod(0o711)
        initdb = [
            str(binaries / "initdb"),
            "--auth=trust",
            "--username=voipsync",
            "--encoding=UTF8",
            str(data),
        ]
        subprocess.run(initdb, user=user, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ourselves
        postgres = [str(binaries / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), "-k", ""]
        process = Supervised(postgres, dict(os.environ), folder / f"{name}.log", user)
        process.start()
        made = cls(process, f"voipsync@127.0.0.1:{port}/{name}")
        made._create(f"postgresql://voipsync@127.0.0.1:{port}/postgres", name)
        return made

    @staticmethod
    def _create(maintenance: str, name: str) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                with psycopg.connect(maintenance, autocommit=True) as connection:
                    connection.execute(f"CREATE DATABASE {name}")
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
