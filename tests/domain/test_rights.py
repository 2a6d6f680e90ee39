"""What a customer asks about its data, as rules."""

import pytest

from domain import rights as rules
from domain.rejected import Rejected
from domain.rights import (
    DataExpired,
    DataRectified,
    ObjectionWithdrawn,
    ProcessingObjected,
    ProcessingRestricted,
    RestrictionLifted,
    Rights,
    must_allow,
)
from tests.scenario import after, given

ANN = "a0000000-0000-0000-0000-000000000000"
ONE, TWO = (f"{n}0000000-0000-0000-0000-000000000000" for n in "12")
NOTHING = Rights("x", ANN)
RESTRICTED = ProcessingRestricted(customer=ANN, ground="accuracy")
OBJECTED = ProcessingObjected(customer=ANN, purpose="profiling")


def test_each_ground_is_noted_once_and_ends_by_itself():
    given(NOTHING).when(rules.restrict, "accuracy").then(RESTRICTED)
    given(NOTHING, RESTRICTED).when(rules.restrict, "claims").then(
        ProcessingRestricted(customer=ANN, ground="claims")
    )
    given(NOTHING, RESTRICTED).when(rules.lift, "accuracy").then(
        RestrictionLifted(customer=ANN, ground="accuracy")
    )
    given(NOTHING, RESTRICTED).when(rules.lift, "claims").then()
    given(NOTHING).when(rules.lift, "accuracy").then()


def test_an_objection_is_to_one_purpose():
    given(NOTHING).when(rules.object_to, "profiling").then(OBJECTED)
    given(NOTHING, OBJECTED).when(rules.withdraw_objection, "profiling").then(
        ObjectionWithdrawn(customer=ANN, purpose="profiling")
    )
    given(NOTHING, OBJECTED).when(rules.withdraw_objection, "news").then()


def test_what_expired_and_what_was_wrong_is_noted_once():
    expired = DataExpired(customer=ANN, schedule="x", groups=("content",), erasure=ONE)
    given(NOTHING).when(rules.expire, expired).then(expired)
    more = expired.model_copy(update={"groups": ("content", "contact")})
    given(NOTHING, expired).when(rules.expire, more).then(more)
    wrong = DataRectified(customer=ANN, events=(ONE,), fields=("message",), reason="typo")
    given(NOTHING).when(rules.rectify, wrong).then(wrong)
    other = wrong.model_copy(update={"events": (ONE, TWO)})
    given(NOTHING, wrong).when(rules.rectify, other).then(other)


@pytest.mark.parametrize(
    ("history", "purpose", "code"),
    [
        ([], "profiling", None),
        ([OBJECTED], "profiling", "rights.objection"),
        ([OBJECTED], "news", None),
        ([RESTRICTED], "news", "rights.restricted"),
        ([RESTRICTED, RestrictionLifted(customer=ANN, ground="accuracy")], "news", None),
        ([OBJECTED, RESTRICTED], "profiling", "rights.restricted"),
    ],
)
def test_restricted_data_is_processed_for_nothing_and_nothing_against_an_objection(
    history, purpose, code
):
    rights = after(NOTHING, *history)
    if code is None:
        must_allow(rights, purpose)
        return
    with pytest.raises(Rejected) as no:
        must_allow(rights, purpose)
    assert no.value.code == code
