"""The whole application in this process, over a real database; callers with keys of every role."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.testclient import TestClient

from api.http import create_app
from infra.api_keys import ApiKeys, Role
from infra.runtime import Runtime


class Caller:
    """Somebody with a key: calls, and publishes without ceremony."""

    def __init__(self, client: TestClient, key: str) -> None:
        self._client, self._key = client, key
        self._sent = 0

    def call(self, method: str, path: str, **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {self._key}", **options.pop("headers", {})}
        return self._client.request(method, path, headers=headers, **options)

    def get(self, path: str, **options: Any) -> Any:
        return self.call("GET", path, **options)

    def post(self, path: str, **options: Any) -> Any:
        return self.call("POST", path, **options)

    def command(self, name: str, **fields: Any) -> dict[str, Any]:
        """Do something that must succeed."""
        self._sent += 1
        answer = self.post(
            f"/v1/commands/{name}", json=fields, headers={"Idempotency-Key": f"{name} {self._sent}"}
        )
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def client(runtime: Runtime) -> Iterator[TestClient]:
    with TestClient(create_app(runtime), raise_server_exceptions=True) as opened:
        yield opened


@pytest.fixture
def caller(runtime: Runtime, client: TestClient) -> Callable[..., Caller]:
    def with_key(role: Role = "operate", tenant: str = "acme") -> Caller:
        return Caller(client, ApiKeys(runtime.pool).create(tenant, role))

    return with_key


@pytest.fixture
def acme(caller: Callable[..., Caller]) -> Caller:
    """An operator of the tenant acme."""
    return caller()


@pytest.fixture
def counts(runtime: Runtime) -> Callable[[], dict[str, int]]:
    """How many rows there are in every table that a write may touch."""
    tables = ("event", "pending", "command", "identifier", "refused")

    def count() -> dict[str, int]:
        with runtime.pool.connection() as conn:
            return {
                table: conn.execute(f"SELECT count(*) FROM crm.{table}").fetchone()[0]
                for table in tables
            }

    return count
