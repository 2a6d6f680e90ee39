"""What every channel goes through: HTTP, files and Kafka alike. A verdict for each message.

A rejected message never stops the others and is not lost: it is kept with its reason, to be looked
at and tried again.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from commands.cloudevents import read
from commands.execute import execute
from commands.ports import Request, Verdict, Who
from commands.session import Ports
from domain.rejected import Rejected


class Message(NamedTuple):
    """A message as it came: parsed if it could be, and to the byte."""

    parsed: object
    raw: bytes
    fault: Rejected | None = None
    """Why it could not even be parsed."""


class Refused(NamedTuple):
    """A message that was not kept, and why."""

    message: Message
    verdict: Verdict


class RefusedMessages(Protocol):
    """Where messages wait that were not kept."""

    def keep(self, who: Who, refused: Sequence[Refused]) -> None:
        """Keep messages with their reasons; the same message again only counts up."""


Reading = Request | Rejected
"""What a message asks for, or why that cannot be told."""


def ingest(
    messages: Sequence[Message], who: Who, ports: Ports, refused: RefusedMessages
) -> list[Verdict]:
    """Take messages in, in order; raises only when nothing at all could be kept."""
    readings = [reading(message, who.tenant) for message in messages]
    return take_in(messages, readings, who, ports, refused)


def reading(message: Message, tenant: str) -> Reading:
    """Read a message; nothing but the message itself is looked at."""
    if message.fault is not None:
        return message.fault
    try:
        return read(message.parsed, tenant)
    except Rejected as no:
        return no


def take_in(
    messages: Sequence[Message],
    readings: Sequence[Reading],
    who: Who,
    ports: Ports,
    refused: RefusedMessages,
) -> list[Verdict]:
    """Take in messages that are read already."""
    readings = [allowed(reading, who) for reading in readings]
    decided = iter(execute([r for r in readings if isinstance(r, Request)], who, ports))
    verdicts = [rejected(r) if isinstance(r, Rejected) else next(decided) for r in readings]
    not_kept = [
        Refused(message, verdict)
        for message, verdict in zip(messages, verdicts, strict=True)
        if verdict.status in ("rejected", "conflict")
    ]
    if not_kept:
        refused.keep(who, not_kept)
    return verdicts


def rejected(no: Rejected) -> Verdict:
    """Tell the sender why a message is not kept."""
    return Verdict("rejected", no.code, no.sentence)


def allowed(reading: Reading, who: Who) -> Reading:
    """Refuse what a channel may not ask for."""
    if isinstance(reading, Rejected) or reading.command.by_channels or who.operates:
        return reading
    return Rejected("key.role", f"{reading.command.name} needs the role operate.")
