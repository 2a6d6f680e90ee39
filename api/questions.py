"""What can be asked of a read: filters, pages, instants, and how fresh the answer must be.

A parameter that we do not know is refused: a typo must never widen an answer.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from api.problems import Problem, in_words
from commands.command import ByEmail, ByExternalId, ByPhone, IdentifierRef
from domain import customer
from domain.events import EVENTS
from domain.values import UUID_PATTERN, Id, Identifier, Instant, Label
from projections.sales_pipeline import GROUPS, PERIODS

POSITION = r"[0-9]{1,18}"

# ---- Cursors and tokens: opaque to the caller ----------------------------------------------------


def opaque(kind: str, value: str | int) -> str:
    """Hide what a cursor or token is made of, so that nobody builds on it."""
    return urlsafe_b64encode(f"{kind}{value}".encode()).decode().rstrip("=")


def plain(kind: str, pattern: str, shown: str) -> str:
    """Give back what `opaque` hid; raises `ValueError` for anything else."""
    try:
        text = urlsafe_b64decode(shown + "=" * (-len(shown) % 4)).decode("ascii")
    except ValueError:
        text = ""
    if not re.fullmatch(kind + pattern.strip("^$"), text) or opaque(text[0], text[1:]) != shown:
        raise ValueError("this is not one that we gave out")
    return text[1:]


def key_of(cursor: str) -> str:
    """Read a cursor of a listing."""
    return plain("k", UUID_PATTERN, cursor) if cursor else ""


def position_of(cursor: str) -> str:
    """Read a cursor of a history."""
    return plain("p", POSITION, cursor) if cursor else ""


def change_of(cursor: str) -> str:
    """Read a cursor of a change feed: the version of the read model, and a position."""
    return plain("c", rf"[0-9]{{1,9}}\.{POSITION}", cursor) if cursor else ""


def write_of(token: str) -> int:
    """Read the token of a write."""
    return int(plain("w", POSITION, token)) if token else 0


def token_of(seq: int) -> str:
    """Give the token of a write; one that changed nothing has none."""
    return opaque("w", seq) if seq else ""


def known_type(name: str) -> str:
    """Refuse the name of an event that does not exist."""
    if name not in EVENTS:
        raise ValueError("there is no event of this name")
    return name


def known_group(name: str) -> str:
    """Refuse a grouping that does not exist."""
    if name not in (*GROUPS, *PERIODS):
        raise ValueError(f"it can be one of {', '.join((*GROUPS, *PERIODS))}")
    return name


# ---- Questions -----------------------------------------------------------------------------------


class Strict(BaseModel):
    """A question that has these parameters and no other."""

    model_config = ConfigDict(extra="forbid")


class Question(Strict):
    """What every read model can be asked."""

    at_least: str | None = Field(
        None, description="A write's token: wait until the answer is at least that fresh."
    )

    def filters(self) -> dict[str, Any]:
        """Give what the reader wants to know."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "at_least"}


class Page(Question):
    """One page of a listing."""

    limit: int = Field(100, ge=1, le=1000)
    after: Annotated[str, AfterValidator(key_of)] = Field("", description="The last page's `next`.")


class Customers(Page):
    """Customers by stage and tier, or the one whom an identifier leads to."""

    stage: customer.Stage | None = None
    tier: Label | None = None
    email: str | None = None
    phone: str | None = None
    system: str | None = None
    id: str | None = None

    def identifier(self) -> Identifier | None:
        """Give the identifier that is asked for, if there is one."""
        asked = self.model_dump(include={"email", "phone", "system", "id"}, exclude_none=True)
        if not asked:
            return None
        if len(asked) < len(self.model_fields_set - {"at_least"}):
            raise Problem(400, "request.invalid", "An identifier takes no other filter beside it.")
        return identifier_of(asked)


def identifier_of(asked: dict[str, str]) -> Identifier:
    """Read by what a customer is asked for."""
    kinds: dict[tuple[str, ...], type[IdentifierRef]] = {
        ("email",): ByEmail, ("phone",): ByPhone, ("id", "system"): ByExternalId
    }  # fmt: skip
    kind = kinds.get(tuple(sorted(asked)))
    if kind is None:
        raise Problem(
            400, "request.invalid", "Ask by email, by phone, or by system and id together."
        )
    try:
        return kind(**asked).identifier()
    except ValidationError as error:
        raise Problem(400, "request.invalid", in_words(error.errors(include_input=False))) from None


class CustomerAsOf(Question):
    """One customer, as of now or as of an instant."""

    recorded_at: Instant | None = Field(None, description="What we knew by then.")
    effective_at: Instant | None = Field(None, description="What had happened by then.")


class History(Question):
    """The events about a customer, in order."""

    limit: int = Field(100, ge=1, le=1000)
    after: Annotated[str, AfterValidator(position_of)] = ""
    types: list[Annotated[str, AfterValidator(known_type)]] = []
    stream: Id | None = None
    recorded_before: Instant | None = None
    effective_before: Instant | None = None


class Leads(Page):
    """Leads by where they stand."""

    status: Literal["open", "won", "lost", "disqualified"] | None = None
    stage: Label | None = None
    owner: Label | None = None
    customer: Id | None = None


class PipelineSummary(Question):
    """Totals of the sales pipeline."""

    group_by: Annotated[str, AfterValidator(known_group)] = Field(
        "stage", json_schema_extra={"enum": [*GROUPS, *PERIODS]}
    )
    at: Instant | None = None
    pipeline: Label | None = None
    decided_from: Instant | None = None
    decided_to: Instant | None = None


class AtInstant(Question):
    """Something that depends on when it is asked; now, unless another instant is given."""

    at: Instant | None = None


class Cases(Page):
    """Cases by where they stand, with their clocks as of an instant."""

    at: Instant | None = None
    status: Literal["open", "waiting", "resolved", "closed"] | None = None
    verdict: Literal["met", "breached", "paused", "running", "cancelled"] | None = None
    customer: Id | None = None


class ChurnAlerts(Page):
    """Silent customers as of an instant."""

    at: Instant | None = None


class Refused(Strict):
    """Messages that were not kept, all or those refused for one reason."""

    limit: int = Field(100, ge=1, le=1000)
    after: Annotated[str, AfterValidator(key_of)] = ""
    code: Label | None = None


class Changes(Question):
    """The next changes of a read model."""

    limit: int = Field(100, ge=1, le=1000)
    after: Annotated[str, AfterValidator(change_of)] = Field(
        "", description="The last answer's `next`; without it, from the beginning."
    )
