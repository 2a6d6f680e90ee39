"""The whole application in this process, over a real database that all these tests share.

Every test is a tenant of its own, so none sees anything of another: they prove that as they go.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from starlette.testclient import TestClient

from api.http import create_app
from api.server import serving
from consumers.follow import advance
from infra.api_keys import ApiKeys, Role
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from infra.store.sequencing import Sequencing

TENANTS = (f"tenant-{number}" for number in count())
TABLES = ("event", "command", "identifier", "refused")


class Caller:
    """Somebody with a key."""

    def __init__(self, client: Any, tenant: str, key: str) -> None:
        self.client, self.tenant, self.key = client, tenant, key
        self._commands = count()

    def call(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.key}", **options.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.call("POST", path, **options)

    def items(self, path: str, **options: Any) -> Any:
        """Ask for a page that must be there."""
        answer = self.get(path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()["items"]

    def command(self, name: str, **fields: Any) -> Any:
        """Do something that must succeed."""
        headers = {"Idempotency-Key": f"{name} {next(self._commands)}"}
        answer = self.post(f"/v1/commands/{name}", json=fields, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def register(self, email: str, **fields: Any) -> str:
        """Get to know a customer, and give its id."""
        done = self.command("customer.register", customer={"email": email}, **fields)
        return str(done["events"][0]["stream"])


@contextmanager
def opened(server_url: str, name: str, directory: Path) -> Iterator[Runtime]:
    """Everything a process needs, on a database of its own that lives as long as the block."""
    settings = Settings(
        database_url=make_conninfo(server_url, dbname=name),
        directory=directory,
        port=0,
        read_wait_seconds=0.2,
    )
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name}")
        try:
            with open_runtime(settings) as runtime:
                yield runtime
        finally:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def runtime(server_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """One runtime for all these tests. Nothing runs in the background."""
    directory = tmp_path_factory.mktemp("crm")
    with opened(server_url, f"crm_test_api_{os.getpid()}", directory) as runtime:
        yield runtime


@pytest.fixture(scope="session")
def live(
    server_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Runtime, str]]:
    """A server with all its loops, at an address; and its runtime, to look behind it."""
    directory = tmp_path_factory.mktemp("live")
    with (
        opened(server_url, f"crm_test_live_{os.getpid()}", directory) as runtime,
        serving(runtime) as address,
    ):
        yield runtime, address


@pytest.fixture
def live_caller(live: tuple[Runtime, str]) -> Iterator[Caller]:
    """An operator of a new tenant, who calls over the network."""
    runtime, address = live
    tenant = next(TENANTS)
    with httpx2.Client(base_url=address, timeout=60) as client:
        yield Caller(client, tenant, ApiKeys(runtime.pool).create(tenant, "operate"))


@pytest.fixture(scope="session")
def catch_up(runtime: Runtime) -> Callable[[], int]:
    """Number what is pending and bring every read model level; gives the head of the log."""
    sequencing = Sequencing(runtime.pool, holder="test", seconds=600)

    def level() -> int:
        while sequencing.run_once():
            pass
        for table in runtime.tables.values():
            while advance(runtime.events, table):
                pass
        return runtime.events.head()

    return level


@pytest.fixture(scope="session")
def client(runtime: Runtime) -> Iterator[TestClient]:
    with TestClient(create_app(runtime)) as opened:
        yield opened


@pytest.fixture
def caller(runtime: Runtime, client: TestClient) -> Callable[..., Caller]:
    """Make somebody with a key; without a tenant given, of a new one."""

    def with_key(role: Role = "operate", tenant: str | None = None) -> Caller:
        its_tenant = tenant or next(TENANTS)
        return Caller(client, its_tenant, ApiKeys(runtime.pool).create(its_tenant, role))

    return with_key


@pytest.fixture
def acme(caller: Callable[..., Caller]) -> Caller:
    """An operator of a new tenant."""
    return caller()


@pytest.fixture
def counts(runtime: Runtime, acme: Caller) -> Callable[[], dict[str, int]]:
    """How many rows the tenant has in every table that a write may touch."""

    def count_rows() -> dict[str, int]:
        with runtime.pool.connection() as conn:
            return {
                table: conn.execute(
                    f"SELECT count(*) FROM crm.{table} WHERE tenant = %s", [acme.tenant]
                ).fetchone()[0]
                for table in TABLES
            }

    return count_rows
