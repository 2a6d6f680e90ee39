"""What follows from a mark: somebody else is responsible, it is more urgent, somebody is told."""

from collections.abc import Iterable
from typing import get_args

from domain import case as cases
from domain.agreement import Escalation, Occasion
from domain.case import Case, CaseEvent
from domain.values import Priority


def occasion(mark: str) -> Occasion:
    """Give the occasion of a mark: `warned:50%` is `warned`."""
    return next(known for known in get_args(Occasion) if known == mark.partition(":")[0])


def escalate(
    case: Case, escalations: Iterable[Escalation], clock: str, mark: str
) -> list[CaseEvent]:
    """Decide what follows for a case that is still worked on; levels and priorities only rise."""
    decided: list[CaseEvent] = []
    for escalation in escalations:
        if escalation.on == occasion(mark) and escalation.clock in (None, clock):
            for event in steps(case, escalation, clock, mark):
                case = cases.evolve(case, event)
                decided.append(event)
    return decided


def steps(case: Case, escalation: Escalation, clock: str, mark: str) -> list[CaseEvent]:
    """Give what one escalation changes."""
    if case.status not in ("open", "waiting"):
        return []
    found: list[CaseEvent] = []
    if escalation.level is not None and escalation.level > case.level:
        found += cases.escalate(case, escalation.level, f"{clock} {mark}")
    if escalation.agent is not None:
        found += cases.assign(case, escalation.agent, escalation.team)
    elif escalation.team is not None:
        found += cases.hand_over(case, escalation.team)
    if escalation.priority is not None and is_more_urgent(escalation.priority, case.priority):
        found += cases.change_priority(case, escalation.priority)
    told = [
        cases.NotificationRequested(recipient=recipient, clock=clock, mark=mark)
        for recipient in escalation.notify
    ]
    return [*found, *told]


def is_more_urgent(one: Priority, other: Priority) -> bool:
    """Compare priorities."""
    order: tuple[Priority, ...] = get_args(Priority)
    return order.index(one) > order.index(other)
