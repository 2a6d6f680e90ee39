"""A parked row goes on in order, once its projection is mended, and its readers are told."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from commands.command import ByExternalId
from commands.customers import RecordPurchase, RegisterCustomer
from commands.execute import execute
from commands.ports import Request, Who
from consumers.follow import advance
from consumers.parked import discard, retry
from domain.customer import PurchaseRecorded
from domain.events import EVENTS
from domain.values import Money
from infra.progress import progress
from infra.read_models.change import Key
from infra.read_models.parked import NotParked, parked_rows
from infra.read_models.reader import Reader
from infra.read_models.tables import Table
from infra.runtime import Runtime
from projections.projection import Column, NotApplicable, Projection, Row, by_customer

ME = Who("test", "tester")
broken: set[int] = set()
"""Amounts that the projection cannot cope with, until it is mended."""

bought = Projection(
    name="bought",
    version=1,
    question="What did a customer buy, in which order?",
    key=by_customer,
    columns={"amounts": Column("jsonb", [])},
    ignores=frozenset(EVENTS) - {PurchaseRecorded.name},
)


@bought.on(PurchaseRecorded)
def purchase(row: Row, event: PurchaseRecorded, _: object) -> Row:
    if event.amount.amount in broken:
        raise NotApplicable("An amount is beyond what this can tell.")
    return row | {"amounts": [*row["amounts"], event.amount.amount]}


@pytest.fixture(autouse=True)
def mended() -> Iterator[None]:
    broken.clear()
    yield
    broken.clear()


@pytest.fixture
def table(runtime: Runtime) -> Table:
    made = Table(runtime.pool, bought)
    made.create()
    return made


def buy(runtime: Runtime, *bought: tuple[int, int]) -> None:
    """Let customers, by their numbers, buy for amounts."""
    asked = []
    for number, amount in bought:
        customer = ByExternalId(system="shop", id=str(number))
        asked += [
            RegisterCustomer(customer=customer),
            RecordPurchase(customer=customer, amount=Money(amount=amount, currency="EUR")),
        ]
    verdicts = execute([Request(each, str(uuid4())) for each in asked], ME, runtime.ports)
    assert {verdict.status for verdict in verdicts} <= {"accepted", "duplicate"}


def follow(runtime: Runtime, table: Table, catch_up: Callable[[], int]) -> int:
    head = catch_up()
    while advance(runtime.events, table):
        pass
    return head


def amounts(table: Table) -> list[list[int]]:
    with table.pool.connection() as conn:
        return [found for (found,) in conn.execute("SELECT amounts FROM read.bought ORDER BY key")]


def key_of_parked(runtime: Runtime) -> Key:
    (row,) = parked_rows(runtime.pool, 10)
    return Key(row.tenant, row.key)


def test_a_row_goes_on_in_order_after_a_fix(runtime: Runtime, table: Table, catch_up) -> None:
    broken.add(2)
    buy(runtime, (7, 1), (7, 2), (8, 10), (7, 3), (8, 11), (7, 4))
    follow(runtime, table, catch_up)
    assert sorted(amounts(table)) == [[1], [10, 11]]
    key = key_of_parked(runtime)
    assert retry(table, key).parking is not None, "It is not mended yet."
    assert sorted(amounts(table)) == [[1], [10, 11]]
    broken.clear()
    went_on = retry(table, key)
    assert (went_on.applied, went_on.parking) == (3, None)
    assert sorted(amounts(table)) == [[1, 2, 3, 4], [10, 11]]
    buy(runtime, (7, 5))
    follow(runtime, table, catch_up)
    assert sorted(amounts(table)) == [[1, 2, 3, 4, 5], [10, 11]]
    with pytest.raises(NotParked):
        retry(table, key)


def test_a_row_that_stops_again_waits_there(runtime: Runtime, table: Table, catch_up) -> None:
    broken.update((2, 4))
    buy(runtime, (7, 1), (7, 2), (7, 3), (7, 4), (7, 5))
    follow(runtime, table, catch_up)
    first = parked_rows(runtime.pool, 1)[0].position
    broken.remove(2)
    went_on = retry(table, key_of_parked(runtime))
    assert went_on.applied == 2
    assert went_on.parking is not None
    assert parked_rows(runtime.pool, 1)[0].position == went_on.parking.position > first
    assert amounts(table) == [[1, 2, 3]]


def test_discarding_leaves_one_event_out_and_keeps_the_reason(
    runtime: Runtime, table: Table, catch_up
) -> None:
    broken.update((2, 4))
    buy(runtime, (7, 1), (7, 2), (7, 3), (7, 4), (7, 5))
    follow(runtime, table, catch_up)
    key, position = key_of_parked(runtime), parked_rows(runtime.pool, 1)[0].position
    assert discard(table, key, "cli:ann", "typed twice").parking is not None
    assert amounts(table) == [[1, 3]]
    assert discard(table, key, "cli:ann", "typed twice").parking is None
    assert amounts(table) == [[1, 3, 5]]
    with runtime.pool.connection() as conn:
        kept = conn.execute(
            "SELECT position, because, discarded_by FROM crm.discarded ORDER BY position"
        ).fetchall()
    assert kept[0] == (position, "typed twice", "cli:ann")
    assert len(kept) == 2


def test_change_feeds_that_were_past_it_see_the_row(
    runtime: Runtime, table: Table, catch_up
) -> None:
    broken.add(2)
    buy(runtime, (7, 1), (7, 2), (8, 10), (9, 20))
    follow(runtime, table, catch_up)
    reader = Reader(replace(runtime, tables={**runtime.tables, "bought": table}))
    seen = reader.changes("test", "bought")
    assert seen.caught_up
    broken.clear()
    key = key_of_parked(runtime)
    retry(table, key)
    buy(runtime, (8, 11), (9, 21))
    follow(runtime, table, catch_up)
    found, cursor = [], seen.next
    while page := reader.changes("test", "bought", cursor, limit=1):
        found += [(row["id"], row["amounts"]) for row in page.items]
        if page.caught_up:
            break
        cursor = page.next
    assert (key.key, [1, 2]) in found
    assert sorted(made for _, made in found) == [[1, 2], [10, 11], [20, 21]]


def test_parked_rows_are_counted(runtime: Runtime, table: Table, catch_up) -> None:
    broken.add(2)
    buy(runtime, (7, 2), (8, 2))
    follow(runtime, table, catch_up)
    tables = {**runtime.tables, "bought": table}
    parked = {level.projection: level.parked for level in progress(runtime.pool, tables).levels}
    assert parked["bought"] == 2
