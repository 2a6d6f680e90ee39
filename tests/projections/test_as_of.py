"""Any customer as it was, or as it was known, at any instant."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.customers import (
    AssignTier,
    GrantConsent,
    MergeCustomer,
    RegisterCustomer,
    UnmergeCustomer,
    WithdrawConsent,
)
from infra.read_models.as_of import AsOf
from projections.catalogue import ALL
from tests.strategies import bounded, stories
from tests.world import NOON, World

ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"
NEWS = {"customer": ANN, "purpose": "news", "channel": "email"}


def day(number):
    return NOON + timedelta(days=number)


@pytest.fixture
def world(runtime, catch_up):
    """What happened (and when), in the order and on the day on which it became known."""
    world = World(runtime.store)
    for command, happened, known in [
        (RegisterCustomer(customer=ANN), 1, 1),
        (RegisterCustomer(customer=BOB), 1, 1),
        (AssignTier(customer=ANN, tier="gold"), 2, 2),
        (WithdrawConsent(**NEWS), 5, 5),
        (GrantConsent(**NEWS, text_version="1"), 3, 8),
        (MergeCustomer(customer=ANN, into=BOB, reason="same"), 6, 9),
        (UnmergeCustomer(customer=ANN, reason="mistake"), 12, 12),
    ]:
        world.now = day(known)
        assert world.ask(command, at=day(happened)).status == "accepted"
    catch_up()
    return world


@pytest.fixture
def ann_as_of(runtime, world):
    def ask(recorded=None, effective=None):
        instants = [None if number is None else day(number) for number in (recorded, effective)]
        instants[0] = instants[0] and instants[0] + timedelta(minutes=1)
        return AsOf(runtime.pool, "acme", *instants).customer(ANN)

    return ask


def granted(row):
    return row["consents"].get("news/email", {}).get("granted")


def test_before_anything_was_known_nobody_was_there(ann_as_of):
    assert ann_as_of(recorded=0) is None
    assert ann_as_of(effective=0) is None


def test_what_was_known_then(ann_as_of):
    assert ann_as_of(recorded=1)["tier"] is None
    assert ann_as_of(recorded=2)["tier"] == "gold"
    assert [granted(ann_as_of(recorded=number)) for number in (4, 5, 8)] == [None, False, False]


def test_what_was_true_then_with_all_that_is_known_today(ann_as_of):
    truth = [granted(ann_as_of(effective=number)) for number in (2, 3, 4, 5)]
    assert truth == [None, True, True, False]


def test_what_was_known_then_of_what_was_true_before(ann_as_of):
    assert granted(ann_as_of(recorded=7, effective=4)) is None
    assert granted(ann_as_of(recorded=8, effective=4)) is True


def test_who_stood_for_whom_then(ann_as_of):
    assert [ann_as_of(recorded=number)["key"] for number in (8, 9, 11, 12)] == [ANN, BOB, BOB, ANN]
    assert [ann_as_of(effective=number)["key"] for number in (5, 6, 11, 12)] == [ANN, BOB, BOB, ANN]
    assert ann_as_of(recorded=9)["merged"] == [ANN]


@given(world=stories(), cut=st.integers(0, 40))
@bounded(40)
def test_what_was_known_then_is_what_the_read_models_said_then(world, cut):
    """Folding what was recorded by an instant gives the rows of that instant, for every model."""
    then = NOON + timedelta(seconds=cut)
    history = world.history()
    known = [recorded for recorded in history if recorded.recordedtime <= then]
    assert known == history[: len(known)]
    for projection in ALL:
        rows = projection.fold(known)
        later = projection.fold(history)
        assert rows.keys() <= later.keys()
        untouched = {key for key, row in later.items() if row["position"] <= len(known)}
        assert {key: rows[key] for key in untouched} == {key: later[key] for key in untouched}
