"""Which version serves: only one that is there, level and no worse, and back again."""

from dataclasses import replace

import pytest

from consumers import building, switching
from domain.rejected import Rejected
from infra.read_models.versions import ServingTables, drop, versions
from projections.projection import Column, NotApplicable
from tests.consumers.rebuilding import Watch, build, dump, means
from tests.worlds import grown


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
    def fail(row, event, recorded):
        raise NotApplicable("It is broken.")

    handlers = filled.tables["customer_view"].projection.handlers
    monkeypatch.setitem(handlers, "customer.tier_assigned.v1", fail)
    watch = Watch()
    build(filled, "customer_view", watch=watch)
    assert {poison.reason for poison in watch.poisons} == {"It is broken."}
    with pytest.raises(Rejected, match="wait for an event") as no:
        switching.promote(filled.tables, "customer_view")
    assert no.value.code == "projection.parked"
    assert filled.tables["customer_view"].version == 1
    switching.promote(filled.tables, "customer_view", even_parked=True)
    assert filled.tables["customer_view"].version == 2
