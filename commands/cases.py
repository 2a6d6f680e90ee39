"""What can be asked about cases."""

from dataclasses import replace

from pydantic import Field

from commands.command import CaseRef, Change, Command, CustomerIdRef, Reader
from commands.privacy_requests import LAWS
from domain import case as rules
from domain.agreement import Agreement, match_case
from domain.case import Case, CaseEvent, Relation, WaitingFor
from domain.rejected import Rejected
from domain.values import Label, Priority, Text


class CaseCommand(Command):
    """A command that changes one case."""

    case: CaseRef

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        raise NotImplementedError

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        case = the.case(self.case)
        return [(case, self.change(case))]


class OpenCase(Command, name="case.open", publishes="case.opened.v1"):
    """Note that a customer asked for help."""

    case: CaseRef
    customer: CustomerIdRef
    channel: Label
    category: Label = "general"
    priority: Priority = "normal"
    title: Text = ""
    territory: Label | None = None

    def decide(self, the: Reader) -> list[Change]:
        """Open the case under the agreement that fits it, if there is one."""
        opened = rules.CaseOpened(
            customer=the.customer_id(self.customer),
            channel=self.channel,
            category=self.category,
            priority=self.priority,
            title=self.title,
        )
        case = the.case(self.case)
        events = rules.open_case(case, opened)
        if events:
            now_open = rules.evolve(replace(case, territory=self.territory), opened)
            events += matched(the, now_open)
        return [(case, events)]


def matched(the: Reader, case: Case) -> list[CaseEvent]:
    """Put a case under the first agreement that fits it now; without any, all stays as it is."""
    agreements = the.agreements()
    if not agreements:
        return []
    tier = the.customer(case.customer).tier if any(map(asks_for_tier, agreements)) else None
    traits = {
        "tier": tier,
        "priority": case.priority,
        "category": case.category,
        "channel": case.channel,
        "territory": case.territory,
    }
    found = match_case(agreements, traits, the.time())
    if found is None:
        return []
    event = rules.AgreementMatched(
        agreement=found.agreement,
        version=found.version.number,
        reason=found.reason[:120],
        tier=tier,
        territory=case.territory,
        terms=found.version.promise.terms,
    )
    return rules.match_agreement(case, event)


def asks_for_tier(agreement: Agreement) -> bool:
    """Tell whether the customer has to be looked at to find out whether an agreement fits."""
    return any(version.promise.scope.tiers for version in agreement.versions)


class MatchAgreement(
    CaseCommand, name="case.match_agreement", publishes="case.agreement_matched.v1"
):
    """Put a case under the agreement that fits it now; the time it used stays used."""

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        case = the.case(self.case)
        rules.must_be_unresolved(case)
        if case.agreement is not None and case.agreement[0] in LAWS:
            raise Rejected("case.under_law", "This case is a person's request: its clock is law.")
        return [(case, matched(the, case))]


class CategoriseCase(CaseCommand, name="case.categorise", publishes="case.categorised.v1"):
    """Say what kind of case it is."""

    category: Label

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.categorise(case, self.category)


class ChangePriority(
    CaseCommand, name="case.change_priority", publishes="case.priority_changed.v1"
):
    """Say how urgent a case is."""

    priority: Priority

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.change_priority(case, self.priority)


class AssignCase(CaseCommand, name="case.assign", publishes="case.assigned.v1"):
    """Make somebody responsible for a case."""

    agent: Label
    team: Label | None = None

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.assign(case, self.agent, self.team)


class NoteCustomerMessage(
    CaseCommand, name="case.customer_write", publishes="case.customer_wrote.v1"
):
    """Note what the customer told us about a case."""

    message: Text = ""

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.customer_wrote(case, self.message)


class NoteAgentAnswer(CaseCommand, name="case.agent_answer", publishes="case.agent_answered.v1"):
    """Note what we told the customer about a case."""

    agent: Label
    message: Text = ""

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.agent_answered(case, self.agent, self.message)


class WaitWithCase(CaseCommand, name="case.wait", publishes="case.waiting.v1"):
    """Stop working on a case until somebody else does something."""

    waiting_for: WaitingFor

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.wait(case, self.waiting_for)


class ResumeCase(CaseCommand, name="case.resume", publishes="case.resumed.v1"):
    """Go on with a waiting case."""

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.resume(case)


class EscalateCase(CaseCommand, name="case.escalate", publishes="case.escalated.v1"):
    """Ask a higher level to look at a case."""

    level: int = Field(ge=1, le=9)
    reason: Label

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.escalate(case, self.level, self.reason)


class ResolveCase(CaseCommand, name="case.resolve", publishes="case.resolved.v1"):
    """Say that the customer is helped."""

    resolution: Label = "solved"

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.resolve(case, self.resolution)


class ReopenCase(CaseCommand, name="case.reopen", publishes="case.reopened.v1"):
    """Take up a resolved or closed case again."""

    reason: Label = "not solved"

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.reopen(case, self.reason)


class CloseCase(CaseCommand, name="case.close", publishes="case.closed.v1"):
    """Do nothing more about a case."""

    def change(self, case: Case) -> list[CaseEvent]:
        """Say what happens to the case."""
        return rules.close(case)


class LinkCase(Command, name="case.link", publishes="case.linked.v1"):
    """Say that a case has to do with another one."""

    case: CaseRef
    other: CaseRef
    relation: Relation

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes."""
        case, other = the.case(self.case), the.case(self.other)
        return [(case, rules.link(case, other, self.relation))]


CASE_COMMANDS: tuple[type[Command], ...] = (
    OpenCase,
    CategoriseCase,
    ChangePriority,
    AssignCase,
    NoteCustomerMessage,
    NoteAgentAnswer,
    WaitWithCase,
    ResumeCase,
    EscalateCase,
    ResolveCase,
    ReopenCase,
    CloseCase,
    LinkCase,
    MatchAgreement,
)
