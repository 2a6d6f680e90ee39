"""How the log is read: in the order of its index, whatever the planner believes."""

from collections.abc import Callable
from itertools import islice
from typing import Any
from uuid import uuid4

import pytest

from commands.command import ByExternalId
from commands.customers import RegisterCustomer
from commands.execute import execute
from commands.ports import Request, Who
from infra.database import pool
from infra.runtime import Runtime
from infra.store.log import BUCKETS, READ, READ_SLICE, EmbeddedLog

ALL = (0, BUCKETS - 1)


@pytest.fixture
def customers(runtime: Runtime, catch_up: Callable[[], None]) -> Runtime:
    named = (ByExternalId(system="shop", id=str(number)) for number in range(40))
    requests = [Request(RegisterCustomer(customer=each), str(uuid4())) for each in named]
    execute(requests, Who("test", "tester"), runtime.ports)
    catch_up()
    return runtime


@pytest.mark.parametrize("believed", [0, 10_000_000])
@pytest.mark.parametrize("plan", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("query", [READ, READ_SLICE], ids=["page", "slice"])
def test_a_page_is_neither_sorted_nor_helped_with(
    customers: Runtime, query: str, plan: str, believed: int
) -> None:
    """Also in a table that the planner takes for empty, or for much larger than it is."""
    arguments: dict[str, Any] = {
        "after": 20, "limit": 10, "upto": 30, "ignored": [], "low": 0, "high": BUCKETS - 1
    }  # fmt: skip
    with customers.pool.connection() as conn, conn.transaction(force_rollback=True):
        conn.execute(f"SET LOCAL plan_cache_mode = {plan}")
        believe = "UPDATE pg_class SET reltuples = %s, relpages = %s WHERE relname = ANY(%s)"
        conn.execute(believe, [believed, believed // 100, ["log", "event"]])
        told = conn.execute(f"EXPLAIN {query}", arguments, prepare=True).fetchall()
    steps = "\n".join(step for (step,) in told)
    assert "Index Scan using log_pkey" in steps
    assert "Sort" not in steps
    assert "Gather" not in steps


def test_connections_ask_for_no_helpers_and_no_compiled_plans(customers: Runtime) -> None:
    with customers.pool.connection() as conn:
        asked = [
            conn.execute(f"SHOW {name}").fetchone()
            for name in ("max_parallel_workers_per_gather", "jit", "timezone")
        ]
    assert asked == [("0",), ("off",), ("UTC",)]


def test_a_page_tells_how_far_it_goes_also_over_what_is_not_wanted(customers: Runtime) -> None:
    head = customers.events.head()
    everything = customers.events.read(0, head + 5, ())
    types = {b'"customer.registered.v1"', b'"customer.identifier_added.v1"'}
    assert len(everything.events) == everything.upto == head
    assert all(any(each in envelope for each in types) for _, envelope in everything.events)
    unwanted = [each.decode().strip('"') for each in types]
    assert customers.events.read(3, 7, unwanted) == ([], 10)
    assert customers.events.read(head, 7, ()) == ([], head)
    some = customers.events.read(0, head, unwanted[:1])
    assert some.upto == head
    assert 0 < len(some.events) < head


def test_whoever_stops_in_the_middle_of_a_slice_leaves_the_connection_behind(
    customers: Runtime, database_url: str
) -> None:
    head = customers.events.head()
    with pool(database_url, 1) as lone:
        events = EmbeddedLog(lone)
        slice_ = events.read_slice(0, head, (), ALL)
        first = list(islice(slice_, 3))
        slice_.close()
        assert [position for position, _, _ in first] == [1, 2, 3]
        assert len(list(events.read_slice(0, head, (), ALL))) == head
