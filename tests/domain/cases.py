"""Cases told in lines, under terms told in minutes."""

from datetime import timedelta

from domain.calendar import Calendar
from domain.clocks import Clock, Fact, Service, serve
from domain.terms import ClockRule, Terms
from tests.domain.calendars import MINUTE, at


def terms(calendar: Calendar, forgotten_after: timedelta = timedelta(days=30), **targets) -> Terms:
    """Clocks with one target in minutes each, whatever the priority."""
    rules = tuple(
        ClockRule(clock=clock, targets={"normal": timedelta(minutes=minutes)})
        for clock, minutes in targets.items()
    )
    return Terms(calendar=calendar, clocks=rules, forgotten_after=forgotten_after)


def case(by: Terms, *lines: str) -> Service:
    """Tell a case in lines such as `2013-03-21 09:30 waiting customer`."""
    facts: list[tuple[Fact, Terms | None]] = []
    for line in lines:
        day, time, kind, *value = line.split(" ", 3)
        given_value = value[0] if value else {"opened": "normal"}.get(kind, "")
        facts.append((Fact(at(f"{day} {time}"), kind, given_value), None))
    return serve([facts[0], (Fact(facts[0][0].at, "matched"), by), *facts[1:]])


def clock(service: Service, name: str) -> Clock:
    found = service.current(name)
    assert found is not None
    return found


def used_and_left(service: Service, name: str) -> tuple[float, float]:
    """In minutes."""
    found = clock(service, name)
    assert found.target is not None
    return found.used / MINUTE, (found.target - found.used) / MINUTE


def verdict(service: Service, name: str) -> str:
    found = clock(service, name)
    return "breached" if found.breached_at else found.state
