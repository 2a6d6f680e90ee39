"""Connections to PostgreSQL, and its schema."""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import orjson
from psycopg import Connection, OperationalError, errors
from psycopg.adapt import Loader
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import Format
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import ConnectionPool, PoolTimeout

from infra import arrays
from infra.seeing import SEES_HELD

Conn = Connection[tuple[Any, ...]]


class LastFirst(deque[Conn]):
    """Connections of which the one that came back last is lent first.

    Taking turns, as the driver's pool has it, asks another process of the server each time, which
    has nothing at hand: a write took a fifth longer, and 16 writers wrote a third less.
    """

    def append(self, conn: Conn) -> None:
        """Take a connection back."""
        self.appendleft(conn)


class Pool(ConnectionPool[Conn]):
    """A pool whose connections show what is restricted to the hold role alone."""

    def __init__(self, url: str, size: int) -> None:
        super().__init__(
            url, min_size=1, max_size=size, configure=configure, timeout=10, open=False
        )
        self._pool = LastFirst()  # the driver's own order cannot be chosen
        self._losses = 0
        self.open()

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Conn]:
        """Lend a connection; what the hold role asks is one transaction that says so.

        Where one is lost, the others mostly are, too. They are replaced at once, or each would fail
        whoever is lent it: the last ones hours later, when so many are wanted.
        """
        losses = self._losses
        with super().connection(timeout) as conn:
            try:
                if not SEES_HELD.get():
                    yield conn
                    return
                with conn.transaction():
                    conn.execute("SELECT set_config('crm.sees_held', 'on', true)")
                    yield conn
            finally:
                if conn.broken and losses == self._losses:  # or somebody has replaced them since
                    self._losses += 1
                    self.drain()


DATABASE_AWAY = (OperationalError, PoolTimeout)
"""What is raised while the database cannot be reached, or gives up; trying again may help."""

NO_CONNECTION = PoolTimeout
"""What is raised after a long wait for a connection: whatever was to be asked is not to blame."""

BUSY = (errors.LockNotAvailable, errors.DeadlockDetected)
"""What is raised when others are in the way; trying again helps."""

MIGRATION_LOCK = 0x63726D  # "crm"


class UuidAsText(Loader):
    """Ids are text everywhere in this program: making UUID objects of them gains nothing."""

    def load(self, data: Any) -> str:  # noqa: ANN401 - a buffer of the driver
        """Read an id."""
        return bytes(data).decode()


class BinaryUuidAsText(Loader):
    """The same, for results in binary format."""

    format = Format.BINARY

    def load(self, data: Any) -> str:  # noqa: ANN401 - a buffer of the driver
        """Read an id."""
        digits = bytes(data).hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class JsonFromText(Loader):
    """JSON is read where it lies: the driver's own way copies it first."""

    def load(self, data: Any) -> Any:  # noqa: ANN401 - a buffer of the driver, and what is in it
        """Read a value."""
        return orjson.loads(data)


def configure(conn: Conn) -> None:
    """Make a new connection speak UTC, text ids, fast JSON and arrays laid out by us."""
    conn.adapters.register_loader("uuid", UuidAsText)
    conn.adapters.register_loader("uuid", BinaryUuidAsText)
    set_json_loads(orjson.loads, conn)
    conn.adapters.register_loader("json", JsonFromText)
    conn.adapters.register_loader("jsonb", JsonFromText)
    set_json_dumps(orjson.dumps, conn)
    arrays.register(conn)
    conn.autocommit = True


SETTINGS = {
    "timezone": "UTC",
    "statement_timeout": "600000",
    # Questions are small and many. For one of a table that grew since it was last analysed, helpers
    # would be started or machine code made: a page of the log waited 300 ms for that on a busy day.
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
}


def pool(url: str, size: int = 16) -> Pool:
    """Open a pool of connections; each is in autocommit mode until a transaction is begun."""
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    conninfo = make_conninfo(url, options=options)
    opened = Pool(conninfo, size)
    opened.wait(30)
    return opened


def url_of(pool: Pool) -> str:
    """Give the address that a pool connects to, for processes that need a pool of their own."""
    return pool.conninfo if isinstance(pool.conninfo, str) else pool.conninfo()


def reach(url: str) -> None:
    """Connect once, or raise within seconds: a pool would go on trying."""
    parameters = conninfo_to_dict(url)
    Connection.connect(url, connect_timeout=parameters.get("connect_timeout", "5")).close()


def without_password(url: str) -> str:
    """Tell where a database is, without the secret."""
    parameters = conninfo_to_dict(url)
    return " ".join(f"{name}={held}" for name, held in parameters.items() if name != "password")


@contextmanager
def connect(url: str) -> Iterator[Conn]:
    """Open one connection of its own."""
    with Connection.connect(make_conninfo(url, options="-c timezone=UTC")) as conn:
        configure(conn)
        yield conn


def forget_everything(conn: Conn) -> None:
    """Drop all events, keys and read models: only for data that can be made again."""
    conn.execute("SET client_min_messages TO warning")
    conn.execute("DROP SCHEMA IF EXISTS crm, crm_keys, read CASCADE")


def migrate(conn: Conn) -> list[str]:
    """Bring the schema up to date, once, whoever else is doing the same; tells what was applied."""
    applied = []
    with conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", [MIGRATION_LOCK])
        conn.execute("CREATE SCHEMA IF NOT EXISTS crm")
        conn.execute("CREATE TABLE IF NOT EXISTS crm.migration (name text PRIMARY KEY)")
        known = {name for (name,) in conn.execute("SELECT name FROM crm.migration")}
        for script in scripts():
            if script.name not in known:
                conn.execute(script.read_bytes())
                conn.execute("INSERT INTO crm.migration VALUES (%s)", [script.name])
                applied.append(script.name)
    return applied


def scripts() -> list[Traversable]:
    """Give the scripts that make the schema, in order."""
    found = [p for p in files("infra").joinpath("schema").iterdir() if p.name.endswith(".sql")]
    return sorted(found, key=lambda path: path.name)


def unapplied(conn: Conn) -> list[str]:
    """Tell which scripts the schema still needs; changes nothing."""
    row = conn.execute("SELECT to_regclass('crm.migration') IS NOT NULL").fetchone()
    names = conn.execute("SELECT name FROM crm.migration").fetchall() if row and row[0] else []
    return [script.name for script in scripts() if (script.name,) not in names]


DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}


def unsafe_settings(conn: Conn) -> list[str]:
    """Tell in sentences which settings of the server could lose acknowledged events."""
    found = []
    for setting, wanted in DURABLE.items():
        row = conn.execute("SELECT current_setting(%s)", [setting]).fetchone()
        value = row[0] if row else "?"
        if value != wanted and not (setting == "synchronous_commit" and value.startswith("remote")):
            found.append(f"PostgreSQL runs with {setting}={value}; it must be {wanted}.")
    return found
