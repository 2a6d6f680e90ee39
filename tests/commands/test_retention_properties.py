"""What holds for every story about keeping customers, at random."""

from hypothesis import given

from commands.churn_alerts import RaiseChurnAlert
from commands.command import organisation
from commands.session import AGGREGATES
from tests.strategies import KEEPING, PROLOGUE, UUIDS, bounded, stories, story


@given(stories(*KEEPING))
@bounded(60)
def test_streams_have_no_gaps_and_are_about_a_customer_or_the_organisation(world):
    for (tenant, stream), events in world.store.streams.items():
        assert [event.version for event in events] == list(range(1, len(events) + 1))
        kind, _, _ = events[0].type.partition(".")
        (subject,) = {event.subject for event in events}
        if kind in ("retention_policy", "value_model"):
            assert subject == organisation(tenant)
        else:
            assert type(world.state(subject)).__name__ == "Customer"
        assert world.state(stream) is not None
        assert kind in AGGREGATES


@given(stories(*KEEPING, length=60))
@bounded(60)
def test_a_customer_never_has_two_open_alerts(world):
    for events in world.store.streams.values():
        is_open = False
        for event in events:
            if event.type == "churn_alert.raised.v1":
                assert not is_open
                is_open = True
            is_open = is_open and event.type != "churn_alert.settled.v1"


def test_an_alert_by_a_policy_that_has_changed_is_refused() -> None:
    world = story(0, 0)
    newest = PROLOGUE[-1]
    assert isinstance(newest, RaiseChurnAlert)
    late = newest.model_copy(update={"customer": UUIDS[1], "policy_version": 2})
    assert world.ask(late).code == "retention_policy.changed"
    assert world.ask(late.model_copy(update={"policy_version": 1})).status == "accepted"
