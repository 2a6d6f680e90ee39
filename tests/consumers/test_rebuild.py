"""A rebuilt read model is the live one to the byte, whatever it is built with and through."""

import threading
from dataclasses import replace
from functools import partial
from random import Random
from uuid import UUID, uuid4

import pytest

from commands.command import ByExternalId
from commands.customers import RecordPurchase, RegisterCustomer
from consumers import building, rebuild, switching
from consumers.building import Means, Progress
from consumers.follow import advance, fold_keyed
from consumers.service import running
from domain.customer import PurchaseRecorded
from domain.events import EVENTS
from domain.rejected import Rejected
from domain.values import Money
from infra.builds import Build, Poison, Slice, TakenOver, begin, presence, ranges
from infra.database import url_of
from infra.keys import NOBODY
from infra.log import BUCKETS
from infra.progress import progress
from infra.read_models import ServingTables, drop, find, pause, versions
from infra.tables import Moved
from projections.catalogue import ALL
from projections.projection import Column, NotApplicable, Projection, by_customer
from tests.strategies import command
from tests.world import World
from tests.worlds import grown

NAMES = [projection.name for projection in ALL]


class Watch:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.poisons: list[Poison] = []
        self.hooks = {}

    def progress(self, progress: Progress) -> None:
        self.phases.append(progress.phase)
        self.hooks.pop(progress.phase, lambda: None)()

    def poison(self, poison: Poison) -> None:
        self.poisons.append(poison)


def means(runtime, workers=1, memory=10**9) -> Means:
    return Means(url_of(runtime.pool), workers, memory)


def build(runtime, name, workers=1, memory=10**9, watch=None):
    return building.rebuild(runtime.tables, name, means(runtime, workers, memory), watch or Watch())


def dump(runtime, table) -> list[str]:
    with runtime.pool.connection() as conn:
        query = f"SELECT t::text FROM read.{table} t ORDER BY tenant, key"
        return [row for (row,) in conn.execute(query)]


def waiting(runtime, name, version):
    query = """
        SELECT tenant, key, position, type, reason FROM crm.parked
        WHERE projection = %s AND version = %s ORDER BY tenant, key
    """
    with runtime.pool.connection() as conn:
        return conn.execute(query, [name, version]).fetchall()


@pytest.fixture
def filled(runtime, catch_up):
    grown(runtime)
    catch_up()
    return runtime


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


# ---- Going on ------------------------------------------------------------------------------------


class Killed(BaseException):
    """What a kill -9 is to the process: nothing after it happens."""


def test_an_interrupted_rebuild_goes_on_from_what_is_safe(filled, monkeypatch):
    monkeypatch.setattr(rebuild, "PAGE", 10)
    monkeypatch.setattr(rebuild.Work, "_is_time_to_save", lambda work: True)
    note, notes = Build.note, []

    def killed(self, slice_, seen, events):
        notes.append(seen)
        if len(notes) == 7:
            raise Killed
        return note(self, slice_, seen, events)

    monkeypatch.setattr(Build, "note", killed)
    with pytest.raises(Killed):
        build(filled, "customer_view")
    table = build(filled, "customer_view")
    assert notes[7] == notes[6], "it went on where the saved rows end"
    assert dump(filled, table.name) == dump(filled, "customer_view")


def test_a_paused_rebuild_stands_still_and_goes_on(filled, monkeypatch):
    monkeypatch.setattr(rebuild, "PAGE", 20)
    monkeypatch.setattr(building, "LOOK_SECONDS", 0.01)
    watch = Watch()

    def paused(on):
        version = find(filled.pool, "customer_view", "building")
        assert pause(filled.pool, "customer_view", version.version, paused=on)

    watch.hooks = {"folding": lambda: paused(True), "paused": lambda: paused(False)}
    table = build(filled, "customer_view", watch=watch)
    assert "paused" in watch.phases
    assert dump(filled, table.name) == dump(filled, "customer_view")


def test_a_cancelled_rebuild_ends_and_leaves_nothing(filled, monkeypatch):
    monkeypatch.setattr(rebuild, "PAGE", 20)
    watch = Watch()

    def cancelled():
        building = begin(filled.pool, partial(filled.tables.version, "customer_view"),
                         "customer_view", 1, 1)  # fmt: skip
        building.save(building.slices()[0], {}, {}, 1)
        drop(filled.tables, "customer_view", 2)

    watch.hooks = {"folding": cancelled}
    with pytest.raises(TakenOver, match="cancelled"):
        build(filled, "customer_view", watch=watch)
    assert [v.version for v in versions(filled.pool, "customer_view")] == [1]
    with filled.pool.connection() as conn:
        left = "SELECT count(*) FROM pg_tables WHERE tablename LIKE 'customer_view_v2%'"
        assert conn.execute(left).fetchone() == (0,)


# ---- Two at once ---------------------------------------------------------------------------------


def test_a_second_rebuild_is_told_who_is_at_it(filled):
    with presence(url_of(filled.pool), "customer_view"):
        with pytest.raises(Rejected) as no:
            build(filled, "customer_view")
        assert no.value.code == "projection.being_built"
        build(filled, "churn_alerts")


def test_who_was_taken_over_changes_nothing_any_more(filled):
    head = filled.events.head() - 5

    def table_of(number):
        return filled.tables.version("customer_view", number)

    first = begin(filled.pool, table_of, "customer_view", head, 1)
    second = begin(filled.pool, table_of, "customer_view", head, 1)
    assert (first.table.version, second.token) == (second.table.version, first.token + 1)
    [slice_] = first.slices()
    for act in (
        lambda: first.note(slice_, 1, 1),
        lambda: first.divide(slice_, 2, {}, {}, 1),
        lambda: first.save(slice_, {}, {}, 1),
        lambda: first.finish(slice_, {}, lambda *_: ({}, [])),
        first.complete,
        first.hand_over,
    ):
        with pytest.raises(TakenOver):
            act()
    assert second.slices() == [Slice(0, BUCKETS - 1)]
    second.complete()
    with pytest.raises(Moved, match="took it over"):
        advance(filled.events, first.table)
    assert advance(filled.events, second.table)


def test_a_version_that_is_built_waits_to_be_promoted_or_cancelled(filled):
    build(filled, "customer_view")
    with pytest.raises(Rejected, match="promote it, or cancel it") as no:
        build(filled, "customer_view")
    assert no.value.code == "projection.built"


def test_another_release_s_rebuild_is_not_gone_on_with(filled):
    begin(filled.pool, lambda n: filled.tables.version("customer_view", n), "customer_view", 1, 1)
    with filled.pool.connection() as conn:
        conn.execute("UPDATE crm.read_model SET definition = 9 WHERE state = 'building'")
    with pytest.raises(Rejected) as no:
        build(filled, "customer_view")
    assert no.value.code == "projection.other_definition"


# ---- Writes meanwhile ----------------------------------------------------------------------------


BUSY = ("customer_view", "sla_clocks", "sales_pipeline")


def test_nothing_written_during_a_rebuild_is_missing_after_promoting(runtime, monkeypatch):
    monkeypatch.setattr(rebuild, "PAGE", 50)
    monkeypatch.setattr(building, "LEVEL", 5)
    world, done = grown(runtime, length=60), threading.Event()
    written = []

    def write():
        chance = Random(1)
        while not done.is_set():
            asked = [(command(chance), str(uuid4()), None) for _ in range(20)]
            written.extend(v for v in world.ask_all(asked) if v.status == "accepted")

    with running(runtime, ["sequencer", "follow"]):
        writer = threading.Thread(target=write)
        writer.start()
        try:
            for name in BUSY:
                build(runtime, name)
                switching.promote(runtime.tables, name)
                done.wait(0.3)
        finally:
            done.set()
            writer.join()
        assert len(written) > 100
        for _ in range(600):
            levels = progress(runtime.pool, runtime.tables).levels
            if not any(level.lag_events for level in levels):
                break
            threading.Event().wait(0.05)
    for name in BUSY:
        rebuilt = build(runtime, name)
        assert rebuilt.version == runtime.tables[name].version + 1
        assert dump(runtime, rebuilt.name) == dump(runtime, name) != []


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


def test_a_version_that_is_not_there_is_refused(filled):
    for act, code in [
        (lambda: switching.promote(filled.tables, "churn_alerts"), "projection.nothing_built"),
        (lambda: switching.roll_back(filled.tables, "churn_alerts"), "projection.nothing_kept"),
        (lambda: drop(filled.tables, "churn_alerts", 7), "projection.no_version"),
        (lambda: drop(filled.tables, "churn_alerts", 1), "projection.serves"),
    ]:
        with pytest.raises(Rejected) as no:
            act()
        assert no.value.code == code


def test_a_poisoned_row_waits_in_the_new_version_too_and_a_worse_one_is_not_promoted(
    filled, monkeypatch
):
    broken = dict(filled.tables["customer_view"].projection.handlers)

    def fail(row, event, recorded):
        raise NotApplicable("It is broken.")

    broken["customer.tier_assigned.v1"] = fail
    monkeypatch.setattr(
        rebuild, "fold_keyed", lambda p, *rest: fold_keyed(replace(p, handlers=broken), *rest)
    )
    watch = Watch()
    build(filled, "customer_view", watch=watch)
    assert {poison.reason for poison in watch.poisons} == {"It is broken."}
    with pytest.raises(Rejected, match="wait for an event") as no:
        switching.promote(filled.tables, "customer_view")
    assert no.value.code == "projection.parked"
    assert filled.tables["customer_view"].version == 1
    switching.promote(filled.tables, "customer_view", even_parked=True)
    assert filled.tables["customer_view"].version == 2


# ---- Switching -----------------------------------------------------------------------------------


def test_back_and_forth_and_both_are_followed(filled, catch_up):
    build(filled, "customer_view")
    switching.promote(filled.tables, "customer_view")
    assert states(filled) == {1: "kept", 2: "serving"}
    grown(filled, seed=9, length=40)
    catch_up()
    new = dump(filled, "customer_view")
    switching.roll_back(filled.tables, "customer_view")
    assert states(filled) == {1: "serving", 2: "kept"}
    assert dump(filled, "customer_view") == dump(filled, "customer_view_v1") == new
    switching.roll_back(filled.tables, "customer_view")
    assert states(filled) == {1: "kept", 2: "serving"}
    build(filled, "customer_view")
    switching.promote(filled.tables, "customer_view")
    assert states(filled) == {2: "kept", 3: "serving"}


def states(runtime):
    return {v.version: v.state for v in versions(runtime.pool, "customer_view")}


def test_a_version_that_lags_never_serves(filled, monkeypatch):
    build(filled, "customer_view")
    monkeypatch.setattr(switching, "bring_level", lambda *_: None)
    with filled.pool.connection() as conn:
        conn.execute("UPDATE crm.checkpoint SET position = position - 1 WHERE version = 2")
    with pytest.raises(Rejected, match="is at position") as no:
        switching.promote(filled.tables, "customer_view", seconds=0.1)
    assert no.value.code == "projection.not_level"
    assert states(filled) == {1: "serving", 2: "built"}


def test_a_changed_definition_has_other_columns_and_the_view_follows(filled, monkeypatch):
    old = filled.tables["churn_alerts"].projection
    new = replace(old, version=2, columns={**old.columns, "mood": Column("text", "calm")})
    tables = ServingTables(filled.pool, (new,), None)
    monkeypatch.setitem(building.BY_NAME, "churn_alerts", new)
    assert tables.followed("churn_alerts") == [], "it cannot bring the old version forward"
    building.rebuild(tables, "churn_alerts", means(filled), Watch())
    before = dump(filled, "churn_alerts")
    switching.promote(tables, "churn_alerts")
    with filled.pool.connection() as conn:
        moods = conn.execute("SELECT DISTINCT mood FROM read.churn_alerts").fetchall()
    assert moods == [("calm",)]
    switching.roll_back(tables, "churn_alerts", seconds=0)
    assert dump(filled, "churn_alerts") == before
