"""A rebuild that is killed, paused, cancelled, repeated or written beside loses nothing."""

import threading
from functools import partial
from random import Random
from uuid import uuid4

import pytest

from consumers import building, rebuild, switching
from consumers.follow import advance
from consumers.service import running
from domain.rejected import Rejected
from infra.database import url_of
from infra.progress import progress
from infra.read_models.builds import Build, Slice, TakenOver, begin, presence
from infra.read_models.tables import Moved
from infra.read_models.versions import drop, find, pause, versions
from infra.store.log import BUCKETS
from tests.consumers.rebuilding import Watch, build, dump
from tests.strategies import command
from tests.worlds import grown


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
