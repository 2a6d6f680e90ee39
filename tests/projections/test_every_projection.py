"""What holds for every projection, whatever happened."""

from collections.abc import Iterator
from itertools import islice
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.follow import fold, key_of
from domain.catalogue import EVENTS
from domain.events import RETIRED, Unreadable
from projections.catalogue import ALL, BY_NAME
from projections.projection import NotApplicable, Projection
from tests.strategies import SEEDS, bounded, stories, story

every_projection = pytest.mark.parametrize("projection", ALL, ids=lambda each: each.name)


class FrozenDict(dict):
    """Refuses to be changed."""

    def refuse(self, *_: object, **__: object) -> None:
        raise AssertionError("A handler changed what it was given.")

    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = setdefault = clear = refuse


class FrozenList(list):
    """Refuses to be changed."""

    refuse = FrozenDict.refuse
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = extend = insert = refuse
    pop = remove = clear = sort = reverse = refuse


def frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return FrozenDict((name, frozen(inner)) for name, inner in value.items())
    return FrozenList(map(frozen, value)) if isinstance(value, list) else value


def shuffled_across_customers(history, chance: Random) -> Iterator[Any]:
    """The same events with each customer's own in their order."""
    waiting = {}
    for recorded in history:
        waiting.setdefault(recorded.subject, []).append(recorded)
    order = [recorded.subject for recorded in history]
    chance.shuffle(order)
    for subject in order:
        yield waiting[subject].pop(0)


@every_projection
def test_every_event_is_handled_or_named_as_ignored_never_both(projection: Projection):
    assert projection.handlers.keys() | projection.ignores == EVENTS.keys() - RETIRED.keys()
    assert projection.handlers.keys() & projection.ignores == set()


@every_projection
@given(world=stories())
@bounded(25)
def test_applied_twice_it_gives_the_same_rows(projection, world):
    history = world.history()
    assert projection.fold(history) == projection.fold(history)


@every_projection
@given(world=stories(), seed=SEEDS)
@bounded(25)
def test_the_order_of_different_customers_does_not_matter(projection, world, seed):
    history = world.history()
    shuffled = list(shuffled_across_customers(history, Random(seed)))
    assert projection.fold(shuffled) == projection.fold(history)


@every_projection
@given(world=stories(), sizes=st.lists(st.integers(1, 9), min_size=1))
@bounded(25)
def test_applied_in_parts_of_any_size_it_gives_the_same_rows(projection, world, sizes):
    history = world.history()
    rows, turn, rest = {}, 0, iter(history)
    while part := list(islice(rest, sizes[turn % len(sizes)])):
        folded = fold(projection, rows, part)
        assert folded.parkings == []
        rows |= folded.rows
        turn += 1
    assert {key.key: row for key, row in rows.items()} == projection.fold(history)


@every_projection
@given(world=stories())
@bounded(25)
def test_a_handler_never_changes_the_row_it_is_given(projection, world):
    rows, empty = {}, frozen(projection.new_row())
    for recorded in world.history():
        handler = projection.handlers.get(recorded.type)
        if handler is not None:
            key = projection.key(recorded)
            rows[key] = frozen(handler(rows.get(key, empty), recorded.event, recorded))


@every_projection
@given(world=stories())
@bounded(25)
def test_a_row_has_the_columns_that_are_declared_and_where_it_was_last_changed(projection, world):
    history = world.history()
    changed = {
        projection.key(recorded): recorded.position
        for recorded in history
        if recorded.type in projection.handlers
    }
    rows = projection.fold(history)
    assert {key: row["position"] for key, row in rows.items()} == changed
    assert all(set(row) == {*projection.columns, "position"} for row in rows.values())


@every_projection
def test_new_rows_begin_alike_and_do_not_depend_on_those_before(projection):
    before = frozen(projection.new_row())
    projection.fold(story(7, length=60).history())
    assert projection.new_row() == before


@every_projection
@pytest.mark.parametrize("broken", ["unknown", "unreadable", "wrong"])
def test_an_event_that_cannot_be_applied_parks_its_row_and_no_other(projection, broken):
    history = story(3, length=40).history()
    at = next(n for n, recorded in enumerate(history) if recorded.type in projection.handlers)
    victim = history[at]
    history[at] = {
        "unknown": victim._replace(type="customer.danced.v1"),
        "unreadable": victim._replace(event=Unreadable(reason="It cannot be read.")),
        "wrong": victim._replace(event=None),
    }[broken]
    folded = fold(projection, {}, history)
    key = key_of(projection, victim)
    assert [(p.key, p.position) for p in folded.parkings] == [(key, victim.position)]
    assert key not in folded.rows
    expected = projection.fold(r for r in history if key_of(projection, r) != key)
    assert {k.key: row for k, row in folded.rows.items()} == expected


def test_a_parked_row_waits_until_it_is_let_go_on():
    history = story(3, length=40).history()
    view = BY_NAME["customer_view"]
    key = key_of(view, history[0])
    folded = fold(view, {}, history, parked={key})
    assert key not in folded.rows
    assert folded.parkings == []


def test_the_reason_for_parking_tells_nothing_that_the_event_says():
    secret = "canary@example.org"

    def fail(row, event, recorded):
        raise ValueError(secret)

    view = BY_NAME["customer_view"]
    broken = Projection("broken", 1, "?", view.key, {}, handlers=dict.fromkeys(EVENTS, fail))
    (parking, *_) = fold(broken, {}, story(3, length=1).history()).parkings
    assert parking.reason == "ValueError in its handler"
    assert secret not in str(parking)


def test_a_handler_may_remove_its_row_and_a_later_event_begins_a_new_one():
    history = story(3, length=0).history()[:1]
    first = history[0]
    gone = Projection("gone", 1, "?", BY_NAME["customer_view"].key, {})
    gone.handlers[first.type] = lambda row, event, recorded: None
    assert gone.fold(history) == {}
    assert fold(gone, {}, history).rows == {}
    known = {key_of(gone, first): {"position": 0}}
    assert list(fold(gone, known, history).rows.values()) == [None]
    gone.handlers[first.type] = lambda row, event, recorded: row
    assert gone.fold(history) == {first.subject: {"position": 1}}


def test_what_is_not_handled_and_not_ignored_is_not_applicable():
    first = story(3, length=0).history()[0]
    nothing = Projection("nothing", 1, "?", BY_NAME["customer_view"].key, {})
    with pytest.raises(NotApplicable, match=r"does not know what customer\.registered\.v1 means"):
        nothing.apply(None, first)
