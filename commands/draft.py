"""One request being decided: it may look at everything, and leaves no trace when it is rejected."""

from collections.abc import Sequence, Set
from datetime import datetime, timedelta
from itertools import chain
from typing import TypeVar

from commands.command import About, ByExternalId, Fact, Ref, organisation, stream_id
from commands.ports import Kept, Request, kept
from commands.session import Session, Stream, after
from domain import customer as customers
from domain.agreement import Agreement
from domain.case import Case
from domain.churn_alert import ChurnAlerts
from domain.consent import Statement, statements
from domain.credit import Ledger
from domain.customer import Customer, CustomerRegistered, IdentifierAdded, IdentifierRemoved
from domain.erasure import erased, expired
from domain.events import Event, Recorded
from domain.interaction import InteractionRecorded
from domain.lead import Lead, Pipeline
from domain.rejected import Rejected
from domain.retention_policy import RetentionPolicyHeld
from domain.rights import Rights
from domain.schedule import SchedulesHeld
from domain.segment import Membership
from domain.value_model import ValueModel
from domain.values import Identifier

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of ours the clock of a channel may run."""


S = TypeVar(
    "S",
    Customer,
    Lead,
    Case,
    Agreement,
    Ledger,
    ChurnAlerts,
    Membership,
    RetentionPolicyHeld,
    ValueModel,
    Rights,
    SchedulesHeld,
)


class Draft:
    """Implements `commands.command.Reader` for one request."""

    def __init__(self, session: Session, request: Request) -> None:
        self.session, self.request = session, request
        self.now = session.ports.now()
        self.events: list[Recorded[Event]] = []
        self.streams: dict[str, Stream] = {}
        self.owners: dict[Identifier, str | None] = {}
        """Whom identifiers lead to from now on; None is nobody."""

    def decide(self) -> tuple[Kept, ...]:
        """Decide the request; raises `Rejected`."""
        if self.request.time is not None and self.request.time > self.now + CLOCK_SKEW:
            raise Rejected("time.future", "The event's time lies in the future.")
        for about, events in self.request.command.decide(self):
            for event in events:
                self._happened(about.id, subject(about, events), event)
        return tuple(map(kept, self.events))

    # ---- What a decision may look at -------------------------------------------------------------

    def customer(self, ref: str | Ref, introduced: CustomerRegistered | None = None) -> Customer:
        """Give the customer; one who is met for the first time is a stranger or as introduced."""
        customer_id = ref if isinstance(ref, str) else self._found_or_met(ref, introduced)
        return self._state(Customer(customer_id))

    def customer_id(self, ref: str | Ref) -> str:
        """Give only the id of the customer, without its history."""
        if isinstance(ref, Ref):
            return self._found_or_met(ref)
        if ref not in self.streams and not self.session.is_customer(ref):
            raise Rejected("customer.unknown", "There is no such customer.")
        return ref

    def lead_id(self, ref: str | ByExternalId) -> str:
        """Give only the id of the lead."""
        return stream_id(self.session.who.tenant, "lead", ref)

    def case_id(self, ref: str | ByExternalId) -> str:
        """Give only the id of the case."""
        return stream_id(self.session.who.tenant, "case", ref)

    def lead(self, ref: str | ByExternalId) -> Lead:
        """Give the lead, known or not."""
        return self._state(Lead(self.lead_id(ref)))

    def case(self, ref: str | ByExternalId) -> Case:
        """Give the case, known or not."""
        return self._state(Case(self.case_id(ref)))

    def churn_alerts(self, customer: str) -> ChurnAlerts:
        """Give the churn alerts of a customer."""
        return self._state(ChurnAlerts(self._own_stream("churn_alert", customer), customer))

    def membership(self, customer: str) -> Membership:
        """Give the segment that a customer belongs to."""
        return self._state(Membership(self._own_stream("segment", customer), customer))

    def value_model(self, name: str) -> tuple[Fact, ValueModel]:
        """Give a fitted model of the tenant, and the place of its facts."""
        place = self._of_the_tenant("value_model", name)
        return place, self._state(ValueModel(place.id))

    def retention_policy(self) -> tuple[Fact, RetentionPolicyHeld]:
        """Give what the tenant agreed on for keeping customers, and the place of its facts."""
        place = self._of_the_tenant("retention_policy", "current")
        return place, self._state(RetentionPolicyHeld(place.id))

    def rights(self, customer: str) -> Rights:
        """Give what a customer has asked about its data."""
        return self._state(Rights(self._own_stream("rights", customer), customer))

    def consents(self, customer: Customer) -> Sequence[Statement]:
        """Give what a customer, and those it stands for, said about purposes and channels."""
        same = self._same(customer)
        stored = self.session.ports.store.load(self.session.who.tenant, same)
        new = (each for each in (*self.session.batch.events, *self.events) if each.stream in same)
        return statements([*chain.from_iterable(stored.values()), *new])

    def schedules(self) -> tuple[Fact, SchedulesHeld]:
        """Give how long the tenant keeps personal data, and the place of its facts."""
        place = self._of_the_tenant("schedule", "current")
        return place, self._state(SchedulesHeld(place.id))

    def agreement(self, ref: str | ByExternalId) -> Agreement:
        """Give the agreement, known or not."""
        return self._state(Agreement(stream_id(self.session.who.tenant, "agreement", ref)))

    def agreements(self) -> Sequence[Agreement]:
        """Give all agreements that were ever made."""
        return [self.agreement(stream) for stream in sorted(self.session.agreements())]

    def ledger(self, agreement: str, customer: str, period: str) -> Ledger:
        """Give what an agreement owes a customer for a period."""
        ref = ByExternalId(system=agreement, id=f"{customer} {period}")
        return self._state(Ledger(stream_id(self.session.who.tenant, "credit", ref)))

    def customer_of_itself(self) -> Customer:
        """Give the organisation as the customer that it is to itself, registered or not."""
        return self._state(Customer(organisation(self.session.who.tenant)))

    def time(self) -> datetime:
        """Give the instant at which what is asked for happens."""
        return self.request.time or self.now

    def interaction(self) -> tuple[str, InteractionRecorded | None]:
        """Give the stream of the message at hand, and what it said if it was here before."""
        known = self._stream(self.request.commandid).state
        if known is not None and not isinstance(known, InteractionRecorded):
            raise Rejected("id.in_use", "This id already belongs to something else.")
        return self.request.commandid, known

    def owner(self, identifier: Identifier) -> str | None:
        """Give the id of the customer that an identifier leads to."""
        if identifier in self.owners:
            return self.owners[identifier]
        return self.session.owner(identifier)

    def pipeline(self, name: str) -> Pipeline:
        """Give a sales pipeline by its name."""
        pipelines = self.session.pipelines()
        if name not in pipelines:
            known = ", ".join(sorted(pipelines))
            raise Rejected(
                "lead.pipeline_unknown", f"There is no pipeline {name!r}; there are: {known}."
            )
        return pipelines[name]

    # ---- What happens ----------------------------------------------------------------------------

    def _state(self, new: S) -> S:
        state = self._stream(new.id).state
        if state is None:
            return new
        if not isinstance(state, type(new)):
            raise Rejected("id.in_use", "This id already belongs to something else.")
        return state

    def _same(self, customer: Customer) -> set[str]:
        """Give all ids of a customer: who stands for it, and all whom that one stands for."""
        while customer.merged_into is not None:
            customer = self.customer(customer.merged_into)
        same, to_follow = {customer.id}, [customer]
        while to_follow:
            absorbed = to_follow.pop().absorbed - same
            same |= absorbed
            to_follow += [self.customer(other) for other in sorted(absorbed)]
        return same

    def _own_stream(self, kind: str, name: str) -> str:
        return stream_id(self.session.who.tenant, kind, ByExternalId(system="crm", id=name))

    def _of_the_tenant(self, kind: str, name: str) -> Fact:
        subject = organisation(self.session.who.tenant)
        return Fact(id=self._own_stream(kind, name), subject=subject)

    def _stream(self, stream: str) -> Stream:
        return self.streams.get(stream) or self.session.stream(stream)

    def _found_or_met(self, ref: Ref, introduced: CustomerRegistered | None = None) -> str:
        """Everything is about a customer from its first event: who is unknown is a stranger."""
        identifier = ref.identifier()
        owner = self.owner(identifier)
        if owner is not None:
            return owner
        met = Customer(self.session.ports.new_id())
        self.streams[met.id] = Stream(0, None)
        for event in customers.meet(met, identifier, introduced):
            self._happened(met.id, met.id, event)
        return met.id

    def _happened(self, stream: str, subject: str, event: Event) -> None:
        if gone := holds(event) & self.session.forgotten.get(subject, frozenset()):
            raise expired(gone) if self.rights(subject).expired & gone else erased()
        before = self._stream(stream)
        self.streams[stream] = after(stream, before, event)
        if isinstance(event, (IdentifierAdded, IdentifierRemoved)):
            identifier = Identifier(event.kind, event.system, str(event.value))
            self.owners[identifier] = stream if isinstance(event, IdentifierAdded) else None
        self.events.append(self._recorded(stream, before.version + 1, subject, event))

    def _recorded(self, stream: str, version: int, subject: str, event: Event) -> Recorded[Event]:
        request = self.request
        return Recorded(
            event,
            self.session.ports.new_id(),
            self.session.who.tenant,
            stream,
            version,
            event.name,
            subject,
            request.time or self.now,
            self.now,
            self.session.who.authid,
            request.commandid,
            request.correlationid or request.commandid,
            request.causationid,
            {},
        )


def holds(event: Event) -> Set[str]:
    """Tell of which groups of personal data an event has something."""
    return {group for field, group in event.personal.items() if getattr(event, field)}


def subject(about: About, events: Sequence[Event]) -> str:
    """Tell whom a change is about: always a customer."""
    match about:
        case Customer():
            return about.id
        case Fact():
            return about.subject
        case _:
            return about.customer or str(events[0].customer)  # type: ignore[attr-defined]
