"""What a command is, and how it names what it is about."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha1
from typing import Annotated, ClassVar, NamedTuple, Protocol
from uuid import NAMESPACE_URL

from pydantic import BaseModel, ConfigDict, Discriminator, StringConstraints, Tag

from domain.agreement import Agreement
from domain.case import Case
from domain.churn_alert import ChurnAlerts
from domain.consent import Statement
from domain.credit import Ledger
from domain.customer import Customer, CustomerRegistered
from domain.events import Event
from domain.interaction import InteractionRecorded
from domain.lead import Lead, Pipeline
from domain.retention_policy import RetentionPolicyHeld
from domain.rights import Rights
from domain.schedule import SchedulesHeld
from domain.segment import Membership
from domain.value_model import ValueModel
from domain.values import Id, Identifier, Label, email, external_id, phone

Retention = ChurnAlerts | Membership | RetentionPolicyHeld | ValueModel
Privacy = Rights | SchedulesHeld
State = Customer | Lead | Case | Agreement | Ledger | InteractionRecorded | Retention | Privacy


class Fact(NamedTuple):
    """The place of events whose state does not tell whom they are about: a stream and a subject."""

    id: str
    subject: str


About = Customer | Lead | Case | Ledger | ChurnAlerts | Membership | Rights | Fact
Change = tuple[About, Sequence[Event]]


class Ref(BaseModel):
    """Names something by what its channel knows it by."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def identifier(self) -> Identifier:
        """As a customer is known by it."""
        raise NotImplementedError


class ByExternalId(Ref):
    """By the id that another system gave it."""

    system: Label
    id: Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]{1,200}$")]

    def identifier(self) -> Identifier:
        """As a customer is known by it."""
        return external_id(self.system, self.id)


class ByEmail(Ref):
    """By an e-mail address."""

    email: Annotated[
        str, StringConstraints(pattern=r"^[^@\s\x00-\x1f]{1,64}@[^@\s\x00-\x1f]{1,190}$")
    ]

    def identifier(self) -> Identifier:
        """As a customer is known by it."""
        return email(self.email)


class ByPhone(Ref):
    """By a telephone number."""

    phone: Annotated[str, StringConstraints(pattern=r"^\+?[0-9][0-9 ()./-]{2,30}$")]

    def identifier(self) -> Identifier:
        """As a customer is known by it."""
        return phone(self.phone)


IdentifierRef = ByExternalId | ByEmail | ByPhone

KINDS: dict[type, str] = {
    ByEmail: "by_email",
    ByPhone: "by_phone",
    ByExternalId: "by_system",
    str: "by_id",
}
KEYS = {"email": "by_email", "phone": "by_phone", "system": "by_system", "id": "by_system"}


def kind_of(ref: object) -> str | None:
    """Tell by what something is named, so that only what is wrong with that is told."""
    if isinstance(ref, dict):
        return next((kind for key, kind in KEYS.items() if key in ref), None)
    return KINDS.get(type(ref))


def named_by(told: str) -> Discriminator:
    """Choose by what is given; what gives nothing is told what it may be."""
    return Discriminator(kind_of, "ref.invalid", f"it is {told}")


OwnId = Annotated[Id, Tag("by_id")]
OtherId = Annotated[ByExternalId, Tag("by_system")]
Email = Annotated[ByEmail, Tag("by_email")]
Phone = Annotated[ByPhone, Tag("by_phone")]

ChosenIdentifier = Annotated[Email | Phone | OtherId, named_by("{system, id}, {email} or {phone}")]
AnyName = Annotated[
    OwnId | OtherId | Email | Phone,
    named_by("named by its id, or by {system, id}, {email} or {phone}"),
]
IdOrOther = Annotated[OwnId | OtherId, named_by("named by its id, or by {system, id}")]

CustomerRef = Annotated[AnyName, "customer"]
CustomerIdRef = Annotated[AnyName, "customer_id"]
"""Like `CustomerRef`, where the decision does not depend on the customer's history."""
LeadRef = Annotated[IdOrOther, "lead"]
CaseRef = Annotated[IdOrOther, "case"]
AgreementRef = Annotated[IdOrOther, "agreement"]
MARKERS = ("customer", "customer_id", "lead", "case", "agreement")


def stream_id(tenant: str, kind: str, ref: str | Ref) -> str:
    """Name the stream of a lead or case; the same external id always leads to the same one."""
    if isinstance(ref, ByExternalId):
        return named_id(tenant, kind, ref.system, ref.id)
    return str(ref)


def named_id(*parts: str) -> str:
    """Give the id that these parts always lead to: a UUID of version 5, as `uuid5` makes it."""
    name = "crm:" + "\x1f".join(parts)
    digest = sha1(NAMESPACE_URL.bytes + name.encode(), usedforsecurity=False).digest()
    bits = int.from_bytes(digest[:16], "big")
    bits = bits & ~(0xF << 76 | 0x3 << 62) | 0x5 << 76 | 0x2 << 62
    text = f"{bits:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def organisation(tenant: str) -> str:
    """Give the id that an organisation itself has as a customer: what it promises is about it."""
    return named_id(tenant, "organisation")


class Reader(Protocol):
    """What a decision may look at; whatever it reads is checked again when the events are kept."""

    def customer(
        self, ref: Id | IdentifierRef, introduced: CustomerRegistered | None = None
    ) -> Customer:
        """Give the customer; one who is met for the first time is a stranger or as introduced."""

    def customer_id(self, ref: Id | IdentifierRef) -> str:
        """Give only the id of the customer, without its history."""

    def lead(self, ref: Id | ByExternalId) -> Lead:
        """Give the lead, known or not."""

    def case(self, ref: Id | ByExternalId) -> Case:
        """Give the case, known or not."""

    def agreement(self, ref: Id | ByExternalId) -> Agreement:
        """Give the agreement, known or not."""

    def agreements(self) -> Sequence[Agreement]:
        """Give all agreements that were ever made."""

    def ledger(self, agreement: str, customer: str, period: str) -> Ledger:
        """Give what an agreement owes a customer for a period."""

    def customer_of_itself(self) -> Customer:
        """Give the organisation as the customer that it is to itself: agreements are about it."""

    def time(self) -> datetime:
        """Give the instant at which what is asked for happens."""

    def lead_id(self, ref: Id | ByExternalId) -> str:
        """Give only the id of the lead."""

    def case_id(self, ref: Id | ByExternalId) -> str:
        """Give only the id of the case."""

    def churn_alerts(self, customer: str) -> ChurnAlerts:
        """Give the churn alerts of a customer."""

    def membership(self, customer: str) -> Membership:
        """Give the segment that a customer belongs to."""

    def value_model(self, name: str) -> tuple[Fact, ValueModel]:
        """Give a fitted model of the tenant, and the place of its facts."""

    def retention_policy(self) -> tuple[Fact, RetentionPolicyHeld]:
        """Give what the tenant agreed on for keeping customers, and the place of its facts."""

    def rights(self, customer: str) -> Rights:
        """Give what a customer has asked about its data."""

    def consents(self, customer: Customer) -> Sequence[Statement]:
        """Give what a customer, and those it stands for, said about purposes and channels."""

    def schedules(self) -> tuple[Fact, SchedulesHeld]:
        """Give how long the tenant keeps personal data, and the place of its facts."""

    def interaction(self) -> tuple[str, InteractionRecorded | None]:
        """Give the stream of the message at hand, and what it said if it was here before."""

    def owner(self, identifier: Identifier) -> str | None:
        """Give the id of the customer that an identifier leads to."""

    def pipeline(self, name: str) -> Pipeline:
        """Give a sales pipeline by its name."""


class Command(BaseModel):
    """Something that can be asked: `name` asks for it, `publishes` tells that it happened."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    publishes: ClassVar[str]
    by_channels: ClassVar[bool] = True
    """Whether a channel may ask for it, or only who operates the whole."""
    is_fact: ClassVar[bool] = False
    """Whether it records a fact with a stream of its own, named by the command id."""
    refs: ClassVar[tuple[tuple[str, str], ...]] = ()

    def __init_subclass__(cls, *, name: str = "", publishes: str = "", **options: object) -> None:
        super().__init_subclass__()
        cls.name, cls.publishes = name, publishes

    @classmethod
    def __pydantic_init_subclass__(cls, **options: object) -> None:
        cls.refs = tuple(
            (name, marker)
            for name, field in cls.model_fields.items()
            for marker in field.metadata
            if marker in MARKERS
        )

    def named(self) -> list[tuple[str, str | Ref]]:
        """Tell what the command names: the kind of each, and how it is named."""
        return [(kind, getattr(self, field)) for field, kind in self.refs]

    def decide(self, the: Reader) -> list[Change]:
        """Say what changes. Raises `Rejected` when a rule is broken."""
        raise NotImplementedError
