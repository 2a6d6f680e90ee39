"""What must come out of the messages that were sent: counted apart from all that is under test.

The books see nothing but the messages. They know no aggregate, no event and no read model, so that
two mistakes would have to be alike to go unnoticed.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from api.demo.world import Message, Sent
from domain.sla import TARGETS
from domain.values import Priority

Name = tuple[str, ...]
SILENCE_FACTOR = 3
CONTACTS_MIN = 3


@dataclass(slots=True)
class Ticket:
    """A case, as whoever works on it would note it down."""

    priority: Priority
    opened: datetime
    answered: datetime | None = None
    resolved: datetime | None = None
    stopped: datetime | None = None
    """Since when the clock of the resolution stands still."""
    pauses: timedelta = timedelta()
    closed: datetime | None = None


@dataclass(slots=True)
class Deal:
    """A lead, as whoever sells would note it down."""

    status: str = "open"
    amount: int = 0


@dataclass(slots=True)
class Books:
    """Kept while the messages are sent."""

    verdicts: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    cents: int = 0
    deals: dict[str, Deal] = field(default_factory=lambda: defaultdict(Deal))
    tickets: dict[str, Ticket] = field(default_factory=dict)
    contacts: dict[int, list[datetime]] = field(default_factory=lambda: defaultdict(list))
    """When each customer gave a sign of life."""
    merged: set[int] = field(default_factory=set)
    _customers: dict[Name, int] = field(default_factory=dict)

    def note(self, sent: Sent) -> None:
        """Note a message: only what is to be accepted counts."""
        self.verdicts[sent.verdict] += 1
        if sent.verdict != "accepted":
            return
        type_, data = sent.message["type"], sent.message["data"]
        at = datetime.fromisoformat(sent.message["time"])
        self.types[type_] += 1
        who = self.customer(data["customer"]) if "customer" in data else 0
        topic, what, _ = type_.split(".")
        match topic:
            case "case":
                self._note_case(what, data, at)
            case "lead":
                self._note_lead(what, data)
            case _:
                self._note_customer(what, who, data, at)

    def customer(self, ref: Message) -> int:
        """Give the number of the customer that a channel names; a new name is a new customer."""
        return self._customers.setdefault(name(ref), len(self._customers))

    def customers(self) -> int:
        """Count the customers, those that were merged with another left out."""
        return len(set(self._customers.values()) - self.merged)

    def won(self) -> list[Deal]:
        """Give the deals that were won."""
        return [deal for deal in self.deals.values() if deal.status == "won"]

    def open_deals(self) -> list[Deal]:
        """Give the deals that are not decided."""
        return [deal for deal in self.deals.values() if deal.status == "open"]

    def answered_late(self, at: datetime) -> int:
        """Count the cases whose first answer did not come, or will not come, as promised."""
        return sum(
            (ticket.answered or ticket.closed or at)
            > ticket.opened + TARGETS[ticket.priority].first_response
            for ticket in self.tickets.values()
        )

    def resolved_late(self, at: datetime) -> int:
        """Count the cases whose resolution did not come, or will not come, as promised."""
        return sum(
            (ticket.resolved or ticket.closed or ticket.stopped or at)
            > ticket.opened + TARGETS[ticket.priority].resolution + ticket.pauses
            for ticket in self.tickets.values()
        )

    def silent(self, at: datetime) -> int:
        """Count the customers who are silent three times as long as is usual for them."""
        return sum(is_silent(signs, at) for signs in self.contacts.values())

    def _note_customer(self, what: str, who: int, data: Message, at: datetime) -> None:
        match what:
            case "identifier_added":
                self._customers[name(data["identifier"])] = who
            case "merged":
                self.merged.add(who)
            case "linked":
                self.customer(data["other"])
            case "purchase_recorded":
                self.cents += data["amount"]["amount"]
                self.contacts[who].append(at)
            case "satisfaction_rated":
                self.contacts[who].append(at)
            case "recorded" if data.get("direction") != "outbound":
                self.contacts[who].append(at)

    def _note_lead(self, what: str, data: Message) -> None:
        deal = self.deals[data["lead"]["id"]]
        if "value" in data:
            deal.amount = data["value"]["amount"]
        if what in ("won", "lost", "disqualified"):
            deal.status = what

    def _note_case(self, what: str, data: Message, at: datetime) -> None:
        if what == "opened":
            self.tickets[data["case"]["id"]] = Ticket(data["priority"], at)
            return
        ticket = self.tickets[data["case"]["id"]]
        match what:
            case "agent_answered":
                ticket.answered = ticket.answered or at
            case "waiting":
                ticket.stopped = at
            case "resumed" | "reopened":
                ticket.pauses += at - (ticket.stopped or ticket.resolved or at)
                ticket.stopped = ticket.resolved = ticket.closed = None
            case "resolved":
                ticket.resolved = at
            case "closed":
                ticket.closed = at


def name(ref: Message) -> Name:
    """Give the name that a channel uses; blanks in a telephone number do not matter."""
    return tuple("".join(str(part).split()).lower() for part in ref.values())


def is_silent(signs: list[datetime], at: datetime) -> bool:
    """Tell whether somebody is silent three times as long as is usual for them."""
    if len(signs) < CONTACTS_MIN or min(signs) == max(signs):
        return False
    usual = (max(signs) - min(signs)) / (len(signs) - 1)
    return at - max(signs) > SILENCE_FACTOR * usual
