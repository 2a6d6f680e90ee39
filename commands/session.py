"""What a batch of requests works on: everything is read at once, and decided on in memory."""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import datetime
from types import MappingProxyType
from typing import NamedTuple

from commands.command import Ref, State, stream_id
from commands.ports import FACT, Answer, Batch, EventStore, Kept, Request, Who, kept
from domain import (
    agreement,
    case,
    churn_alert,
    credit,
    customer,
    lead,
    retention_policy,
    rights,
    schedule,
    segment,
    value_model,
)
from domain.agreement import Agreement
from domain.case import Case
from domain.churn_alert import ChurnAlerts
from domain.credit import Ledger
from domain.customer import Customer
from domain.events import Event, Recorded, Unreadable
from domain.lead import Lead, Pipeline
from domain.rejected import Rejected
from domain.retention_policy import RetentionPolicyHeld
from domain.rights import Rights
from domain.schedule import SchedulesHeld
from domain.segment import Membership
from domain.value_model import ValueModel
from domain.values import Identifier

Evolve = Callable[..., State]

AGGREGATES: dict[str, tuple[Callable[[str], State], Evolve]] = {
    "customer": (Customer, customer.evolve),
    "lead": (Lead, lead.evolve),
    "case": (Case, case.evolve),
    "churn_alert": (ChurnAlerts, churn_alert.evolve),
    "segment": (Membership, segment.evolve),
    "retention_policy": (RetentionPolicyHeld, retention_policy.evolve),
    "value_model": (ValueModel, value_model.evolve),
    "rights": (Rights, rights.evolve),
    "schedule": (SchedulesHeld, schedule.evolve),
    "agreement": (Agreement, agreement.evolve),
    "credit": (Ledger, credit.evolve),
}
"""The aggregates by the first word of their events' names: how each begins and goes on."""


class Ports(NamedTuple):
    """Where events are kept, what time it is, and where new ids come from."""

    store: EventStore
    now: Callable[[], datetime]
    new_id: Callable[[], str]


class Stream(NamedTuple):
    """How far a stream has come, and what its events amount to."""

    version: int
    state: State | None


def after(stream: str, before: Stream, event: Event) -> Stream:
    """Take one more event into account; an interaction is its own state."""
    kind = event.name.partition(".")[0]
    if kind not in AGGREGATES:
        return Stream(before.version + 1, event)  # type: ignore[arg-type]
    begin, evolve = AGGREGATES[kind]
    return Stream(before.version + 1, evolve(before.state or begin(stream), event))


def folded(stream: str, history: Iterable[Recorded[Event]]) -> Stream:
    """Give a stream after all its events, or the first of them that cannot be read."""
    state = Stream(0, None)
    for recorded in history:
        if isinstance(recorded.event, Unreadable):
            return Stream(recorded.version, recorded.event)  # type: ignore[arg-type]
        state = after(stream, state, recorded.event)
    return state


class Session:
    """What is known to a batch: what was stored, and what its requests have decided so far."""

    def __init__(
        self,
        who: Who,
        ports: Ports,
        requests: Sequence[Request],
        forgotten: Mapping[str, Set[str]] = MappingProxyType({}),
    ) -> None:
        self.who, self.ports, self.batch = who, ports, Batch(who.tenant)
        self.forgotten = forgotten
        """Customers of whom the store keeps nothing of some groups any more."""
        self._streams: dict[str, Stream] = {}
        self._subjects: dict[str, str] = {}
        self._owners: dict[Identifier, str | None] = {}
        self._answers: dict[str, Answer] = {}
        self._facts: dict[str, Recorded[Event]] = {}
        self._pipelines: Mapping[str, Pipeline] | None = None
        self._agreements: set[str] | None = None
        self._read_ahead(requests)

    def stream(self, stream: str) -> Stream:
        """Give a stream as it is by now. Raises `Rejected` if an event of it cannot be read."""
        if stream not in self._streams:
            self._load([stream])
        known = self._streams[stream]
        if isinstance(known.state, Unreadable):
            raise Rejected(
                "stream.unreadable", f"What happened before cannot be read. {known.state.reason}"
            )
        return known

    def is_customer(self, stream: str) -> bool:
        """Tell whether a stream is a customer's, without reading all of it."""
        if stream not in self._subjects:
            self._subjects.update(self.ports.store.subjects(self.who.tenant, [stream]))
        return self._subjects.get(stream) == stream

    def owner(self, identifier: Identifier) -> str | None:
        """Give the customer that an identifier leads to by now."""
        if identifier not in self._owners:
            self._ask_owners([identifier])
        return self._owners[identifier]

    def pipelines(self) -> Mapping[str, Pipeline]:
        """Give the sales pipelines of the tenant."""
        if self._pipelines is None:
            self._pipelines = self.ports.store.pipelines(self.who.tenant)
        return self._pipelines

    def agreements(self) -> set[str]:
        """Give the streams of all agreements of the tenant; they are known from then on."""
        if self._agreements is None:
            stored = self.ports.store.agreements(self.who.tenant)
            for stream in stored.keys() - self._streams.keys():
                self._streams[stream] = folded(stream, stored[stream])
            made = {s for s, known in self._streams.items() if isinstance(known.state, Agreement)}
            self._agreements = made | stored.keys()
        return self._agreements

    def answer(self, request: Request) -> Answer | None:
        """Give the first answer of a request that was here before.

        A fact has none and is known by its stream; a command may not use the id of a fact.
        """
        commandid = request.commandid
        first = self.batch.answers.get(commandid) or self._answers.get(commandid)
        if first is None and not request.command.is_fact and self.stream(commandid).version:
            return Answer(FACT, ())
        return first

    def fact(self, stream: str) -> Kept:
        """Give the fact that was kept under an id."""
        return kept(self._facts[stream])

    def keep(
        self,
        events: Sequence[Recorded[Event]],
        streams: Mapping[str, Stream],
        owners: Mapping[Identifier, str | None],
    ) -> None:
        """Take over what a request has decided, so that the next one builds on it."""
        for identifier in owners.keys() - self.batch.owners.keys():
            before = self.owner(identifier)
            if before is not None:
                self.batch.owners_before[identifier] = before
        self.batch.events.extend(events)
        self.batch.owners.update(owners)
        self._streams.update(streams)
        self._owners.update(owners)
        for event in events:
            self._remember(event)
        if self._agreements is not None:
            made = (event.stream for event in events if event.type.startswith("agreement."))
            self._agreements.update(made)

    def _read_ahead(self, requests: Sequence[Request]) -> None:
        """Read all that the requests name, in few questions whatever their number."""
        self._answers = self._answers_of(requests)
        open_ = [request for request in requests if request.commandid not in self._answers]
        named = [pair for request in open_ for pair in request.command.named()]
        self._ask_owners(
            ref.identifier()
            for kind, ref in named
            if isinstance(ref, Ref) and kind.startswith("customer")
        )
        streams = {request.commandid for request in open_}
        for kind, ref in named:
            if kind == "customer" and isinstance(ref, Ref):
                streams.add(self._owners[ref.identifier()] or "")
            elif kind != "customer_id":
                streams.add(stream_id(self.who.tenant, kind, ref))
        self._load(streams - {""})
        # Again, and last: a command that was kept in between has its effects in the streams, and
        # must not be judged by what it has changed itself. A fact is known by its stream.
        commands = [request for request in open_ if not request.command.is_fact]
        self._answers.update(self._answers_of(commands))

    def _answers_of(self, requests: Sequence[Request]) -> dict[str, Answer]:
        commandids = [request.commandid for request in requests]
        return dict(self.ports.store.answers(self.who.tenant, commandids))

    def _ask_owners(self, identifiers: Iterable[Identifier]) -> None:
        asked = set(identifiers) - self._owners.keys()
        found = self.ports.store.owners(self.who.tenant, asked) if asked else {}
        self._owners.update({identifier: found.get(identifier) for identifier in asked})
        self._subjects.update((owner, owner) for owner in found.values())

    def _load(self, streams: Iterable[str]) -> None:
        missing = set(streams) - self._streams.keys()
        stored = self.ports.store.load(self.who.tenant, missing) if missing else {}
        for stream in missing:
            history = stored.get(stream, ())
            self._streams[stream] = folded(stream, history)
            for recorded in history:
                self._remember(recorded)

    def _remember(self, recorded: Recorded[Event]) -> None:
        self._subjects[recorded.stream] = recorded.subject
        if recorded.stream == recorded.commandid:
            self._facts[recorded.stream] = recorded
