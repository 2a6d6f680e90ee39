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


def ingest(
    messages: Sequence[Message], who: Who, ports: Ports, refused: RefusedMessages
) -> list[Verdict]:
    """Take messages in, in order; raises only when nothing at all could be kept."""
    verdicts: dict[int, Verdict] = {}
    requests: dict[int, Request] = {}
    for number, message in enumerate(messages):
        try:
            if message.fault is not None:
                raise message.fault
            requests[number] = read(message.parsed, who.tenant)
        except Rejected as no:
            verdicts[number] = Verdict("rejected", no.code, no.sentence)
    if requests:
        decided = execute(list(requests.values()), who, ports)
        verdicts.update(zip(requests, decided, strict=True))
    not_kept = [
        Refused(messages[number], verdict)
        for number, verdict in sorted(verdicts.items())
        if verdict.status in ("rejected", "conflict")
    ]
    if not_kept:
        refused.keep(who, not_kept)
    return [verdicts[number] for number in range(len(messages))]
