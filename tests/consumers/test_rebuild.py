"""A rebuilt read model is the live one to the byte, whatever it is built with and through."""

import os
import sys
from uuid import UUID, uuid4

import pytest

from commands.command import ByExternalId
from commands.customers import RecordPurchase, RegisterCustomer
from consumers import building, rebuild, switching
from consumers.follow import advance
from domain.customer import PurchaseRecorded
from domain.events import EVENTS
from domain.rejected import Rejected
from domain.values import Money
from infra.keys.keyring import NOBODY
from infra.read_models.builds import Build, ranges
from infra.read_models.versions import ServingTables, find
from infra.store.log import BUCKETS
from projections.catalogue import ALL
from projections.projection import Column, Projection, by_customer
from tests.consumers.rebuilding import Watch, build, dump, means, waiting
from tests.world import World

NAMES = [projection.name for projection in ALL]


@pytest.mark.parametrize(
    ("workers", "memory", "page"), [(1, 10**9, 8000), (3, 10**9, 50), (1, 20_000, 20)]
)
def test_every_read_model_is_rebuilt_as_it_is(filled, monkeypatch, workers, memory, page):
    """In one part or three, and so short of memory that customers are folded a few at a time."""
    monkeypatch.setattr(rebuild, "PAGE", page)
    for name in NAMES:
        live, served = dump(filled, name), filled.tables[name].version
        table = build(filled, name, workers, memory)
        assert (table.version, find(filled.pool, name, "built").version) == (served + 1,) * 2
        assert dump(filled, table.name) == live
        assert waiting(filled, name, served + 1) == waiting(filled, name, served)
        assert filled.tables[name].version == served
        switching.promote(filled.tables, name)
        assert filled.tables[name].version == served + 1
        assert dump(filled, name) == live


def test_worker_processes_give_the_same(filled, monkeypatch):
    monkeypatch.setattr(building, "SMALL", 0)
    live = dump(filled, "customer_view")
    assert dump(filled, build(filled, "customer_view", workers=2).name) == live


def test_positions_know_their_bucket_and_those_from_before_are_told_by_their_events(filled):
    """Workers read their share alone; together they read everything, once."""
    shares = ranges(0, BUCKETS - 1, 3)
    head, live = filled.events.head(), dump(filled, "customer_view")
    known = [list(filled.events.read_slice(0, head, (), share)) for share in shares]
    assert sorted(each[:2] for share in known for each in share) == list(
        filled.events.read(0, head, ()).events
    )
    with filled.pool.connection() as conn:
        unknown = "SELECT count(*) FROM crm.log WHERE bucket IS NULL"
        assert conn.execute(unknown).fetchone() == (0,)
        conn.execute("UPDATE crm.log SET bucket = NULL WHERE position % 2 = 0")
        assert conn.execute(unknown).fetchone() == (head // 2,)
    assert [list(filled.events.read_slice(0, head, (), share)) for share in shares] == known
    assert dump(filled, build(filled, "customer_view", workers=3).name) == live


def test_memory_that_is_too_small_makes_more_slices_not_other_rows(filled, monkeypatch):
    monkeypatch.setattr(rebuild, "PAGE", 40)
    seen = []
    divide = Build.divide
    monkeypatch.setattr(Build, "divide", lambda *a: (seen.append(a[1]), divide(*a))[1])
    live = dump(filled, "customer_view")
    assert dump(filled, build(filled, "customer_view", memory=8_000).name) == live
    assert len(seen) > 1


# ---- Rows that wait ------------------------------------------------------------------------------


def bought(row, event, _):
    return row | {"amount": row["amount"] + event.amount.amount, "bought": row["bought"] + 1}


@pytest.mark.parametrize("batch", [1, 3, 20_000])
def test_a_row_that_does_not_fit_waits_at_the_same_event_live_and_rebuilt(
    runtime, catch_up, monkeypatch, batch
):
    tight = Projection(
        "tight", 1, "Does it fit?", by_customer,
        {"amount": Column("smallint", 0), "bought": Column("int", 0)},
        ignores=frozenset(EVENTS) - {PurchaseRecorded.name},
    )  # fmt: skip
    tight.on(PurchaseRecorded)(bought)
    monkeypatch.setitem(building.BY_NAME, "tight", tight)
    tables = ServingTables(runtime.pool, (tight,), None)
    tables.create()
    who = [ByExternalId(system="shop", id=str(n)) for n in range(3)]
    asked = [RegisterCustomer(customer=each) for each in who]
    for n, amount in [(0, 1), (1, 7), (0, 2), (0, 70_000), (0, 3), (2, 80_000), (1, 8)]:
        asked.append(RecordPurchase(customer=who[n], amount=Money(amount=amount, currency="EUR")))
    World(runtime.store).ask_all([(each, str(uuid4()), None) for each in asked])
    catch_up()
    while advance(runtime.events, tables["tight"], batch):
        pass
    live, parked = dump(runtime, "tight"), waiting(runtime, "tight", 1)
    assert [position for *_, position, _, _ in parked] != []
    assert {int(row.split(",")[2]) for row in live} == {3, 15}
    watch = Watch()
    table = building.rebuild(tables, "tight", means(runtime), watch)
    assert dump(runtime, table.name) == live
    assert waiting(runtime, "tight", 2) == parked
    assert len(watch.poisons) == 2
    assert all(UUID(poison.event) for poison in watch.poisons)


def test_a_row_of_several_customers_cannot_be_built_in_parts(filled, monkeypatch):
    """Parts are of customers: each would hold a piece of the row."""
    one = Projection(
        "one", 1, "How much was bought, by anybody?", lambda _: NOBODY,
        {"bought": Column("int", 0)},
        ignores=frozenset(EVENTS) - {PurchaseRecorded.name},
    )  # fmt: skip
    one.on(PurchaseRecorded)(lambda row, *_: {"bought": row["bought"] + 1})
    monkeypatch.setitem(building.BY_NAME, "one", one)
    monkeypatch.setattr(rebuild, "PAGE", 20)
    tables = ServingTables(filled.pool, (one,), None)
    tables.create()
    with pytest.raises(Rejected) as no:
        building.rebuild(tables, "one", means(filled, workers=3), Watch())
    assert no.value.code == "projection.split_row"


def test_workers_give_way_and_whoever_waits_for_them_does_not():
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    for workers in (1, 2):
        with building.executor(workers) as hands:
            asked = hands.submit(os.getpriority, os.PRIO_PROCESS, 0).result()
        assert asked == max(usual, building.NICE)
    if sys.platform == "linux":  # elsewhere a thread has the priority of its process
        assert os.getpriority(os.PRIO_PROCESS, 0) == usual
