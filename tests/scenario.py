"""Given what happened, when something is asked, then this follows: how the rules are told."""

from collections.abc import Callable

import pytest

from commands.session import AGGREGATES
from domain.events import Event
from domain.rejected import Rejected

EVOLVE = dict(AGGREGATES.values())


class Scenario:
    def __init__(self, state):
        self.state = state

    def when(self, decide: Callable, *asked) -> "Scenario":
        self.decide = lambda state: decide(state, *asked)
        return self

    def then(self, *expected: Event) -> None:
        """These events follow, and asked once more nothing new happens."""
        self.then_each_time(*expected)
        assert self.decide(after(self.state, *expected)) == []

    def then_each_time(self, *expected: Event) -> None:
        assert self.decide(self.state) == list(expected)

    def rejected(self, code: str, saying: str = "") -> None:
        with pytest.raises(Rejected) as no:
            self.decide(self.state)
        assert no.value.code == code
        assert saying in no.value.sentence


def given(state, *history: Event) -> Scenario:
    return Scenario(after(state, *history))


def after(state, *history: Event):
    for event in history:
        state = EVOLVE[type(state)](state, event)
    return state
