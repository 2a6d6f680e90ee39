"""The plain values that facts are made of."""

import re
from datetime import UTC, datetime
from typing import Annotated, Literal, NamedTuple
from unicodedata import normalize

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
)

UUID_PATTERN = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"

Id = Annotated[str, StringConstraints(pattern=UUID_PATTERN, to_lower=True)]
"""A UUID in its canonical form; read in either case, kept in lower case."""


def written_out(at: object) -> object:
    """Refuse bare numbers: nobody can tell seconds from milliseconds."""
    if isinstance(at, datetime) or (isinstance(at, str) and re.match(r"\d{4}-\d\d-\d\d", at)):
        return at
    raise ValueError("a time is written as in 2026-01-31T12:00:00Z")


def in_utc(at: datetime) -> datetime:
    """Bring a moment to UTC; next to the ends of the calendar there may be none."""
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time is out of range") from None


Instant = Annotated[AwareDatetime, BeforeValidator(written_out), AfterValidator(in_utc)]
"""A moment in UTC with microseconds; input without a zone is refused."""

Label = Annotated[
    str, StringConstraints(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f\x7f]+$")
]
"""A short name from a list somebody maintains (source, owner, category): declared not personal."""

Text = Annotated[
    str, StringConstraints(max_length=65_536, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")
]
"""Free text as a person wrote it: always personal when it is kept."""

Percent = Annotated[int, Field(ge=0, le=100)]

Priority = Literal["low", "normal", "high", "urgent"]
"""How urgent something is."""


class Money(BaseModel):
    """An amount in minor units (cents) of an ISO 4217 currency; never a float."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: Annotated[int, Field(ge=-(2**53), le=2**53, strict=True)]
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]


class Identifier(NamedTuple):
    """What a channel knows a customer by. `system` is empty except for external ids."""

    kind: str
    system: str
    value: str


def email(address: str) -> Identifier:
    """An e-mail address; neither case, nor blanks around it, nor how é is composed, tell people
    apart.
    """
    return Identifier("email", "", normalize("NFC", address.strip().lower()))


def phone(number: str) -> Identifier:
    """A telephone number; only digits and a leading plus count."""
    plus = "+" if number.strip().startswith("+") else ""
    return Identifier("phone", "", plus + re.sub(r"\D", "", number))


def external_id(system: str, value: str) -> Identifier:
    """The id that another system gave this customer, kept to the letter."""
    return Identifier("external", system, value)
