"""What an event is: a named, immutable fact. Its envelope tells who, when and about whom."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict

from domain.personal import Group, personal_fields

EVENTS: dict[str, type["Event"]] = {}
"""Every event that can be stored, by its name. The names are a storage format: never change one."""


class Event(BaseModel):
    """A fact. Subclasses give it a hand-written, versioned name: `case.opened.v1`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    personal: ClassVar[dict[str, Group]] = {}

    def __init_subclass__(cls, *, name: str, **options: object) -> None:
        super().__init_subclass__()
        cls.name = name

    @classmethod
    def __pydantic_init_subclass__(cls, **options: object) -> None:
        if cls.name and EVENTS.setdefault(cls.name, cls) is not cls:
            raise TypeError(f"Two events are named {cls.name}.")
        cls.personal = personal_fields(cls)


Old = TypeVar("Old", bound=Event)
Upcast = Callable[[Any], Event]
RETIRED: dict[str, Upcast] = {}
"""What brings an event of a retired version to the version that followed it, by its stored name."""


def retired(kind: type[Old]) -> Callable[[Callable[[Old], Event]], Callable[[Old], Event]]:
    """Retire a version of an event: it is only read any more, as what the function makes of it.

    The function is pure and gives one event. Personal fields come closed where nobody may open
    them, so it hands them on and never looks into them.
    """

    def register(upcast: Callable[[Old], Event]) -> Callable[[Old], Event]:
        RETIRED[kind.name] = upcast
        return upcast

    return register


def present(event: Event) -> Event:
    """Give an event as it is written today, whatever version it was stored in."""
    while event.name in RETIRED:
        event = RETIRED[event.name](event)
    return event


class Unreadable(Event, name=""):
    """Stands for a stored event that this version of the program cannot read."""

    reason: str


E_co = TypeVar("E_co", bound=Event, covariant=True)


class Recorded(NamedTuple, Generic[E_co]):
    """An event as the log tells it: the fact and its envelope (CloudEvents names where they exist).

    `time` is when it happened, `recordedtime` when we learned of it; both are UTC. `position` is
    the event's place in the log, 0 while it has none. `sealed` holds the closed personal blocks.
    `type` is the event's present name, `storedtype` that of a retired version it was stored as.
    """

    event: E_co
    id: str
    tenant: str
    stream: str
    version: int
    type: str
    subject: str
    time: datetime
    recordedtime: datetime
    authid: str
    commandid: str
    correlationid: str
    causationid: str
    sealed: dict[str, str]
    position: int = 0
    storedtype: str = ""
