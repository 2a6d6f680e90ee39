"""What holds for every story about keeping customers, at random."""

from hypothesis import given

from commands.command import organisation
from commands.session import AGGREGATES
from tests.strategies import KEEPING, bounded, stories


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
