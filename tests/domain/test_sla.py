"""What was promised: changing it changes verdicts about the past, so it is told twice."""

from datetime import timedelta

from domain.sla import TARGETS


def test_the_promises():
    promised = {priority: (t.first_response, t.resolution) for priority, t in TARGETS.items()}
    assert promised == {
        "urgent": (timedelta(minutes=30), timedelta(hours=4)),
        "high": (timedelta(hours=2), timedelta(hours=24)),
        "normal": (timedelta(hours=8), timedelta(days=3)),
        "low": (timedelta(hours=24), timedelta(days=7)),
    }
