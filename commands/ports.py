"""What the write path needs from the outside, and what it hands over."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

from commands.command import Command
from domain.events import Event, Recorded
from domain.lead import Pipeline
from domain.values import Identifier


class StaleStream(Exception):
    """Somebody else was quicker and what was read is not true any more: decide again."""


class Busy(Exception):
    """Too many others were quicker; nothing was kept, and sending again is safe."""


class Forgotten(Exception):
    """Keys of these customers were destroyed: nothing of these groups can be kept any more."""

    def __init__(self, groups: Mapping[str, Set[str]]) -> None:
        super().__init__("The customer was erased.")
        self.groups = groups


class Who(NamedTuple):
    """On whose behalf a request is made; the tenant comes from the key that was shown."""

    tenant: str
    authid: str
    operates: bool = False
    """Whether this is more than a channel: one who may say what is promised to whom."""


class Request(NamedTuple):
    """A command and what is known of how it came. `commandid` makes it safe to send again."""

    command: Command
    commandid: str
    time: datetime | None = None
    correlationid: str = ""
    causationid: str = ""


Status = Literal["accepted", "duplicate", "conflict", "rejected"]


class Kept(NamedTuple):
    """An event that was kept, as it is told to whoever asked for it."""

    id: str
    type: str
    stream: str
    version: int


def kept(recorded: Recorded[Event]) -> Kept:
    """Tell what was kept."""
    return Kept(recorded.id, recorded.type, recorded.stream, recorded.version)


class Verdict(NamedTuple):
    """What became of a request. A read that shows `token` is at least as fresh as its events."""

    status: Status
    code: str = ""
    sentence: str = ""
    events: tuple[Kept, ...] = ()
    token: int = 0


class Answer(NamedTuple):
    """The answer that a command got the first time, and the fingerprint of what was asked."""

    fingerprint: bytes
    events: tuple[Kept, ...]
    token: int = 0


FACT = b""
"""The fingerprint of a fact: whether it is the same is seen by itself."""


@dataclass(slots=True)
class Batch:
    """What is kept in one transaction, or not at all."""

    tenant: str
    events: list[Recorded[Event]] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    owners: dict[Identifier, str | None] = field(default_factory=dict)
    """Whom identifiers lead to from now on; None is nobody."""
    owners_before: dict[Identifier, str] = field(default_factory=dict)
    """Whom these led to until now, where they led to anybody."""


class EventStore(Protocol):
    """Where events are kept. Reads are of one tenant; personal data comes opened."""

    def answers(self, tenant: str, commandids: Sequence[str]) -> Mapping[str, Answer]:
        """Give the first answers of the commands that were here before."""

    def token(self, tenant: str, facts: Sequence[str]) -> int:
        """Give the token of facts that were kept before: their streams have one event each."""

    def fingerprint(self, tenant: str, command: Command) -> bytes:
        """Give what tells two requests with the same command id apart."""

    def owners(self, tenant: str, identifiers: Iterable[Identifier]) -> Mapping[Identifier, str]:
        """Give the customers that identifiers lead to."""

    def load(self, tenant: str, streams: Iterable[str]) -> Mapping[str, Sequence[Recorded[Event]]]:
        """Give the events of each stream, first to last; some may be `Unreadable`."""

    def subjects(self, tenant: str, streams: Iterable[str]) -> Mapping[str, str]:
        """Give the customer that each known stream is about."""

    def pipelines(self, tenant: str) -> Mapping[str, Pipeline]:
        """Give the sales pipelines of a tenant."""

    def agreements(self, tenant: str) -> Mapping[str, Sequence[Recorded[Event]]]:
        """Give the events of every agreement of a tenant, first to last."""

    def append(self, batch: Batch) -> int:
        """Keep a batch and give its token. Raises `StaleStream` when a version is taken, and
        `Forgotten` when it holds personal data of a customer who was erased.
        """
