"""What the tests share: a real PostgreSQL, and a fresh database on it for each test that asks."""

import logging
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
import structlog
from hypothesis import HealthCheck, settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from xdist.remote import Producer

from consumers.follow import advance
from infra.database import migrate, pool
from infra.embedded import EmbeddedPostgres
from infra.read_models.versions import ServingTables
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from infra.store.sequencing import Sequencing
from projections.catalogue import ALL
from tests.kafka.finding import bootstrap, our_own_broker, pytest_terminal_summary
from tests.scheduling import ByModule, begin_with_the_longest

__all__ = ["bootstrap", "our_own_broker", "pytest_terminal_summary"]

# No test is timed: how long an example takes says more of the machine than of the program.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # In the background of a shell script: what tests start and interrupt would ignore it as well.
    signal.signal(signal.SIGINT, signal.default_int_handler)

NUMBERS = count()
ROOM = 4 << 30
"""How many bytes the databases of all tests together may take."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest."""
    begin_with_the_longest(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByModule | None:
    """Give modules to workers in our way, where it was asked to give them modules."""
    return ByModule(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that runs in this process sets logging up, to write where nobody reads later."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """A PostgreSQL server: the one in CRM_TEST_DATABASE_URL, or an embedded one."""
    given = os.environ.get("CRM_TEST_DATABASE_URL")
    if given:
        yield given
        return
    place = in_memory()
    with TemporaryDirectory("", "crm-tests-", place, ignore_cleanup_errors=True) as directory:
        # Run by root, the server has an account of its own, which must get there.
        Path(directory).chmod(0o755)
        with EmbeddedPostgres(Path(directory)) as server:
            yield server.url


def in_memory() -> str | None:
    """Where files need no disk, if there is room: tests make databases by the hundred.

    What is killed has servers of its own, on the disk.
    """
    memory = Path("/dev/shm")
    return str(memory) if memory.is_dir() and shutil.disk_usage(memory).free > ROOM else None


@pytest.fixture(scope="session")
def template(server_url: str) -> Iterator[str]:
    """A database with the schema and all read models in it, to be copied."""
    with database(server_url, "template0") as url:
        with pool(url) as connections:
            with connections.connection() as conn:
                migrate(conn)
            ServingTables(connections, ALL, None).create()
        yield url


@pytest.fixture
def database_url(server_url: str, template: str) -> Iterator[str]:
    """A fresh database, with nothing in its tables."""
    with database(server_url, str(conninfo_to_dict(template)["dbname"])) as url:
        yield url


class database:  # noqa: N801 - reads as a context
    """A database that lives as long as the block."""

    def __init__(self, server_url: str, template: str) -> None:
        self._server_url, self._template = server_url, template
        self._name = f"crm_test_{os.getpid()}_{next(NUMBERS)}"

    def __enter__(self) -> str:
        self._execute("CREATE DATABASE {} TEMPLATE {}", self._name, self._template)
        return make_conninfo(self._server_url, dbname=self._name)

    def __exit__(self, *_: object) -> None:
        self._execute("DROP DATABASE {} WITH (FORCE)", self._name)

    def _execute(self, statement: str, *names: str) -> None:
        with psycopg.connect(self._server_url, autocommit=True) as conn:
            conn.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))


@pytest.fixture
def runtime(database_url: str, tmp_path: Path) -> Iterator[Runtime]:
    """Everything a process needs, on a fresh database. Nothing runs in the background."""
    settings = Settings(database_url=database_url, directory=tmp_path / "crm")
    with open_runtime(settings) as opened:
        yield opened


@pytest.fixture
def catch_up(runtime: Runtime) -> Callable[[], int]:
    """Number what is pending and bring every read model level; gives the head of the log."""
    sequencing = Sequencing(runtime.pool, holder="test", seconds=60)

    def level() -> int:
        while sequencing.run_once():
            pass
        for table in runtime.tables.values():
            while advance(runtime.events, table):
                pass
        return runtime.events.head()

    return level
