"""States and events are never changed: what was decided on them stays true."""

import pytest
from pydantic import ValidationError

from commands.session import AGGREGATES
from domain.case import CaseClosed
from domain.lead import LeadLost
from domain.values import Money

STATES = [begin("10000000-0000-0000-0000-000000000000") for begin, _ in AGGREGATES.values()]


@pytest.mark.parametrize("state", STATES, ids=lambda state: type(state).__name__)
def test_a_state_is_replaced_and_never_changed(state):
    with pytest.raises(AttributeError):
        state.id = "20000000-0000-0000-0000-000000000000"
    with pytest.raises((AttributeError, TypeError)):
        state.another = 1


@pytest.mark.parametrize(
    "fact", [CaseClosed(), LeadLost(reason="x"), Money(amount=1, currency="EUR")]
)
def test_a_fact_is_never_changed_and_knows_nothing_but_its_fields(fact):
    with pytest.raises(ValidationError):
        fact.reason = "y"
    with pytest.raises(ValidationError):
        type(fact).model_validate(fact.model_dump() | {"another": 1})
