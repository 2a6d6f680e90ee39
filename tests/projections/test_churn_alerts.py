"""The rhythm of a customer's own contacts, in whatever order they come."""

from datetime import timedelta

from hypothesis import given

from commands.command import ByEmail
from commands.customers import RateSatisfaction, RecordPurchase
from commands.interactions import RecordInteraction
from projections.churn_alerts import churn_alerts
from tests.strategies import bounded, stories
from tests.world import NOON, World

ANN = ByEmail(email="ann@example.org")
VISIT = RecordInteraction(customer=ANN, channel="web", kind="visit")
BUY = RecordPurchase(customer=ANN, amount={"amount": 5, "currency": "EUR"})


def rated(score):
    return RateSatisfaction(customer=ANN, scale="nps", score=score)


def row_after(*asked):
    """The customer's row after commands, each asked on a day counted from noon."""
    world = World()
    world.now += timedelta(days=365)
    for command, day in asked:
        assert world.ask(command, at=NOON + timedelta(days=day)).status == "accepted"
    return next(iter(churn_alerts.fold(world.history()).values()), None)


def test_first_and_last_contact_are_told_apart_by_when_they_happened():
    row = row_after((VISIT, 5), (BUY, 9), (VISIT, 2), (rated(7), 4))
    assert (row["contacts"], row["purchases"]) == (4, 1)
    assert row["first_contact_at"] == NOON + timedelta(days=2)
    assert row["last_contact_at"] == NOON + timedelta(days=9)


def test_what_we_say_ourselves_does_not_break_the_silence():
    spoken = [VISIT.model_copy(update={"direction": way}) for way in ("outbound", "internal")]
    row = row_after((VISIT, 1), *[(each, 5) for each in spoken])
    assert (row["contacts"], row["last_contact_at"]) == (1, NOON + timedelta(days=1))


def test_somebody_whom_only_we_have_written_to_has_no_rhythm():
    row = row_after((VISIT.model_copy(update={"direction": "outbound"}), 5))
    assert (row["contacts"], row["last_contact_at"]) == (0, None)


def test_a_late_score_is_not_the_last_one():
    row = row_after((rated(9), 5), (rated(1), 3))
    assert row["last_score"]["score"] == 9
    assert row_after((rated(9), 3), (rated(1), 5))["last_score"]["score"] == 1
    assert row_after((rated(9), 3), (rated(1), 3))["last_score"]["score"] == 1


@given(stories())
@bounded(60)
def test_the_order_in_which_contacts_come_does_not_matter(world):
    history = world.history()
    heard = churn_alerts.fold(history)
    happened = churn_alerts.fold(sorted(history, key=lambda r: (r.time, r.position)))
    for rows in (heard, happened):
        for row in rows.values():
            row.pop("position")
    assert heard == happened
