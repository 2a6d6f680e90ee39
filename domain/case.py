"""A case: a customer asks for help. Open or waiting, then resolved, then closed."""

from dataclasses import dataclass, replace
from typing import Literal, assert_never

from domain.events import Event
from domain.personal import ContentText
from domain.rejected import Rejected
from domain.terms import SharedTerms
from domain.values import Id, Instant, Label, Priority

Status = Literal["unknown", "open", "waiting", "resolved", "closed"]
WaitingFor = Literal["customer", "third_party"]
Relation = Literal["duplicates", "follows", "relates_to"]

# ---- Events: the names and fields are a storage format -------------------------------------------


class CaseOpened(Event, name="case.opened.v1"):
    """A customer asked for help."""

    customer: Id
    channel: Label
    category: Label
    priority: Priority
    title: ContentText = ""


class CaseCategorised(Event, name="case.categorised.v1"):
    """The case is of another kind than was thought."""

    category: Label


class CasePriorityChanged(Event, name="case.priority_changed.v1"):
    """The case is more or less urgent than before."""

    priority: Priority


class CaseAssigned(Event, name="case.assigned.v1"):
    """Somebody is responsible for the case now."""

    agent: Label
    team: Label | None = None


class CaseHandedOver(Event, name="case.handed_over.v1"):
    """A team is responsible for the case now, and nobody in it has taken it yet."""

    team: Label


class CustomerWrote(Event, name="case.customer_wrote.v1"):
    """The customer told us something about the case."""

    message: ContentText = ""


class AgentAnswered(Event, name="case.agent_answered.v1"):
    """We told the customer something about the case."""

    agent: Label
    message: ContentText = ""


class CaseWaiting(Event, name="case.waiting.v1"):
    """We cannot go on before somebody else does something."""

    waiting_for: WaitingFor


class CaseResumed(Event, name="case.resumed.v1"):
    """We go on with the case."""


class CaseEscalated(Event, name="case.escalated.v1"):
    """The case needs the attention of a higher level."""

    level: int
    reason: Label


class CaseResolved(Event, name="case.resolved.v1"):
    """We think the customer is helped."""

    resolution: Label


class CaseReopened(Event, name="case.reopened.v1"):
    """The customer is not helped after all."""

    reason: Label


class CaseClosed(Event, name="case.closed.v1"):
    """Nothing more will be done."""


class CaseLinked(Event, name="case.linked.v1"):
    """The case has to do with another one."""

    other: Id
    relation: Relation


class AgreementMatched(Event, name="case.agreement_matched.v1"):
    """The case is under this version of an agreement; `terms` is what its clocks go by."""

    agreement: Id
    version: int
    reason: Label
    tier: Label | None = None
    territory: Label | None = None
    terms: SharedTerms


class MarkReached(Event, name="case.mark_reached.v1"):
    """A clock has gone beyond a mark: `warned:50%`, `breached`, `critical`, `forgotten`."""

    clock: Label
    instance: int
    mark: Label
    due: Instant


class NotificationRequested(Event, name="case.notification_requested.v1"):
    """Somebody is to be told; whoever delivers messages subscribes to this."""

    recipient: Label
    clock: Label
    mark: Label


CaseEvent = (
    CaseOpened
    | CaseCategorised
    | CasePriorityChanged
    | CaseAssigned
    | CaseHandedOver
    | CustomerWrote
    | AgentAnswered
    | CaseWaiting
    | CaseResumed
    | CaseEscalated
    | CaseResolved
    | CaseReopened
    | CaseClosed
    | CaseLinked
    | AgreementMatched
    | MarkReached
    | NotificationRequested
)

# ---- State: only what later decisions need -------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Case:
    """A case as the next decision sees it."""

    id: str
    customer: str = ""
    status: Status = "unknown"
    channel: str = ""
    category: str = ""
    priority: Priority = "normal"
    assigned: tuple[str | None, str | None] | None = None
    """The agent and the team; a team has it without an agent until somebody takes it."""
    waiting_for: WaitingFor | None = None
    level: int = 0
    links: frozenset[tuple[str, str]] = frozenset()
    agreement: tuple[str, int] | None = None
    """The agreement and its version."""
    territory: str | None = None
    events: int = 0
    """How many there were: whoever decides by a read model says up to which one it was read."""


def evolve(case: Case, event: CaseEvent) -> Case:
    """What the case is after the event."""
    return replace(changed(case, event), events=case.events + 1)


def changed(case: Case, event: CaseEvent) -> Case:
    """What the event says about the case."""
    match event:
        case CaseOpened():
            return replace(
                case,
                customer=event.customer,
                status="open",
                channel=event.channel,
                category=event.category,
                priority=event.priority,
            )
        case CaseCategorised():
            return replace(case, category=event.category)
        case CasePriorityChanged():
            return replace(case, priority=event.priority)
        case CaseAssigned():
            return replace(case, assigned=(event.agent, event.team))
        case CaseHandedOver():
            return replace(case, assigned=(None, event.team))
        case CaseWaiting():
            return replace(case, status="waiting", waiting_for=event.waiting_for)
        case CaseResumed() | CaseReopened():
            return replace(case, status="open", waiting_for=None)
        case CaseEscalated():
            return replace(case, level=event.level)
        case CaseResolved():
            return replace(case, status="resolved", waiting_for=None)
        case CaseClosed():
            return replace(case, status="closed", waiting_for=None)
        case CaseLinked():
            return replace(case, links=case.links | {(event.other, event.relation)})
        case AgreementMatched():
            matched = (event.agreement, event.version)
            return replace(case, agreement=matched, territory=event.territory)
        case CustomerWrote() | AgentAnswered() | MarkReached() | NotificationRequested():
            return case
    assert_never(event)


# ---- Decisions: asked twice, nothing new happens -------------------------------------------------


def must_exist(case: Case) -> None:
    """Refuse to work on a case that nobody has opened."""
    if case.status == "unknown":
        raise Rejected("case.unknown", "There is no such case.")


def must_take_work(case: Case) -> None:
    """Refuse to work on a closed case: it takes nothing but reopening."""
    must_exist(case)
    if case.status == "closed":
        raise Rejected("case.closed", "A closed case takes nothing but reopening.")


def must_be_unresolved(case: Case) -> None:
    """Refuse what only makes sense before the customer is helped."""
    must_take_work(case)
    if case.status == "resolved":
        raise Rejected("case.resolved", "A resolved case must be reopened first.")


def open_case(case: Case, opened: CaseOpened) -> list[CaseEvent]:
    """Note that a customer asked for help."""
    if case.status == "unknown":
        return [opened]
    if case.customer != opened.customer:
        raise Rejected("case.other_customer", "This case is already known with another customer.")
    return []


def categorise(case: Case, category: str) -> list[CaseEvent]:
    """Say what kind of case it is."""
    must_take_work(case)
    return [] if case.category == category else [CaseCategorised(category=category)]


def change_priority(case: Case, priority: Priority) -> list[CaseEvent]:
    """Say how urgent the case is."""
    must_be_unresolved(case)
    return [] if case.priority == priority else [CasePriorityChanged(priority=priority)]


def assign(case: Case, agent: str, team: str | None) -> list[CaseEvent]:
    """Make somebody responsible."""
    must_take_work(case)
    return [] if case.assigned == (agent, team) else [CaseAssigned(agent=agent, team=team)]


def hand_over(case: Case, team: str) -> list[CaseEvent]:
    """Make a team responsible; whoever in it works on the case already goes on."""
    must_take_work(case)
    in_it = case.assigned is not None and case.assigned[1] == team
    return [] if in_it else [CaseHandedOver(team=team)]


def customer_wrote(case: Case, message: str) -> list[CaseEvent]:
    """Note what the customer told us."""
    must_take_work(case)
    return [CustomerWrote(message=message)]


def agent_answered(case: Case, agent: str, message: str) -> list[CaseEvent]:
    """Note what we told the customer."""
    must_take_work(case)
    return [AgentAnswered(agent=agent, message=message)]


def wait(case: Case, waiting_for: WaitingFor) -> list[CaseEvent]:
    """Stop working until somebody else does something."""
    must_be_unresolved(case)
    return [] if case.waiting_for == waiting_for else [CaseWaiting(waiting_for=waiting_for)]


def resume(case: Case) -> list[CaseEvent]:
    """Go on working."""
    must_be_unresolved(case)
    return [CaseResumed()] if case.status == "waiting" else []


def escalate(case: Case, level: int, reason: str) -> list[CaseEvent]:
    """Ask a higher level for attention; levels only rise."""
    must_be_unresolved(case)
    if level < case.level:
        raise Rejected(
            "case.level_lower", f"The case is at level {case.level}; it cannot go down to {level}."
        )
    return [] if level == case.level else [CaseEscalated(level=level, reason=reason)]


def resolve(case: Case, resolution: str) -> list[CaseEvent]:
    """Say that the customer is helped."""
    must_take_work(case)
    return [] if case.status == "resolved" else [CaseResolved(resolution=resolution)]


def reopen(case: Case, reason: str) -> list[CaseEvent]:
    """Take up a resolved or closed case again."""
    must_exist(case)
    return [CaseReopened(reason=reason)] if case.status in ("resolved", "closed") else []


def close(case: Case) -> list[CaseEvent]:
    """Do nothing more; the case counts as helped only if it was resolved."""
    must_exist(case)
    return [] if case.status == "closed" else [CaseClosed()]


def link(case: Case, other: Case, relation: Relation) -> list[CaseEvent]:
    """Say that the case has to do with another one."""
    must_take_work(case)
    must_exist(other)
    if case.id == other.id:
        raise Rejected("case.link_self", "A case cannot be linked to itself.")
    linked = (other.id, relation) in case.links
    if relation == "duplicates" and not linked and is_duplicate(other):
        raise Rejected(
            "case.link_duplicate",
            "The other case is a duplicate itself; name the one that is worked on.",
        )
    return [] if linked else [CaseLinked(other=other.id, relation=relation)]


def is_duplicate(case: Case) -> bool:
    """Tell whether another case is worked on in place of this one."""
    return any(relation == "duplicates" for _, relation in case.links)


def match_agreement(case: Case, matched: AgreementMatched) -> list[CaseEvent]:
    """Put the case under a version of an agreement."""
    return [] if case.agreement == (matched.agreement, matched.version) else [matched]


def reach_mark(case: Case, reached: MarkReached, events: int) -> list[CaseEvent]:
    """Note that a clock went beyond a mark, if what was seen of the case is all there is."""
    must_exist(case)
    if case.events != events:
        raise Rejected("case.moved", "The case has moved on; look at its clocks again.")
    return [reached]
