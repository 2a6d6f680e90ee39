"""What follows when a clock goes beyond a mark: asked by the timers, and by nobody else.

A mark that was not reached after all is rejected and leaves no trace, so that asking again later
under the same id works. What is kept happens at the instant of the mark, however late it is asked.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from commands.command import CaseRef, Change, Command, Reader
from commands.privacy_requests import LAWS
from domain import case as rules
from domain import credit
from domain.agreement import Period, Promise
from domain.calendar import zone
from domain.case import Case
from domain.escalation import escalate
from domain.values import Id, Instant, Label


class ReachMark(Command, name="case.reach_mark", publishes="case.mark_reached.v1"):
    """Note that a clock went beyond a mark, and do what the agreement says about it."""

    case: CaseRef
    clock: Label
    instance: int
    mark: Label
    due: Instant
    events: int
    """How many events of the case were seen: if there are others, it is not certain any more."""

    def decide(self, the: Reader) -> list[Change]:
        """Keep the mark, the escalations and the credit, all or nothing."""
        case = the.case(self.case)
        reached = rules.MarkReached(
            clock=self.clock, instance=self.instance, mark=self.mark, due=self.due
        )
        events = rules.reach_mark(case, reached, self.events)
        promise = promised(the, case)
        if promise is None:
            return [(case, events)]
        events += escalate(case, promise.escalations, self.clock, self.mark)
        return [(case, events), *self.credit(the, case, promise)]

    def credit(self, the: Reader, case: Case, promise: Promise) -> list[Change]:
        """Owe what a breach earns."""
        compensation = promise.compensation
        full = compensation.owed(self.clock) if compensation else None
        if self.mark != "breached" or case.agreement is None or not compensation or full is None:
            return []
        period = period_of(self.due, compensation.period, zone(promise.terms.calendar.zone))
        ledger = the.ledger(case.agreement[0], case.customer, period)
        earned = credit.CreditEarned(
            customer=case.customer,
            agreement=case.agreement[0],
            period=period,
            case=case.id,
            clock=self.clock,
            instance=self.instance,
            amount=full,
            full=full,
        )
        return [(ledger, credit.earn(ledger, earned, compensation.cap))]


def promised(the: Reader, case: Case) -> Promise | None:
    """Give what was agreed about a case, in the version that it was matched with."""
    if case.agreement is None:
        return None
    agreement: Id = case.agreement[0]
    if agreement in LAWS:
        return None  # nothing follows from the law's clock but what people make of it
    return the.agreement(agreement).versions[case.agreement[1] - 1].promise


def period_of(at: datetime, period: Period, around: ZoneInfo) -> str:
    """Name the period of an instant, by the local calendar: `2024-01`, `2024-Q1`, `2024`."""
    day = at.astimezone(around)
    match period:
        case "month":
            return f"{day:%Y-%m}"
        case "quarter":
            return f"{day.year}-Q{(day.month + 2) // 3}"
        case "year":
            return str(day.year)
