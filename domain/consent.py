"""Consent per purpose and channel at any instant, and whether something may be sent because of it.

Statements come late and out of order; which one holds follows from when each was made.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from domain.customer import ConsentGranted, ConsentWithdrawn
from domain.events import Event, Recorded
from domain.rejected import Rejected
from domain.rights import Rights, must_allow


class Statement(NamedTuple):
    """What a customer said about a purpose over a channel, and when."""

    at: datetime
    granted: bool
    purpose: str
    channel: str
    text_version: str | None


class Consent(NamedTuple):
    """What held at an instant; `text_version` is the text that was read."""

    granted: bool
    text_version: str | None
    since: datetime | None


NEVER = Consent(granted=False, text_version=None, since=None)


def statements(history: Iterable[Recorded[Event]]) -> list[Statement]:
    """Take the statements out of what happened."""
    return [
        Statement(
            recorded.time,
            isinstance(said, ConsentGranted),
            said.purpose,
            said.channel,
            said.text_version,
        )
        for recorded in history
        if isinstance(said := recorded.event, (ConsentGranted, ConsentWithdrawn))
    ]


def consent(said: Iterable[Statement], purpose: str, channel: str, at: datetime) -> Consent:
    """Give what held at an instant; of two statements of one instant, the one told last."""
    about = [each for each in said if (each.purpose, each.channel) == (purpose, channel)]
    last: Statement | None = None
    for each in about:
        if each.at <= at and (last is None or each.at >= last.at):
            last = each
    return NEVER if last is None else Consent(last.granted, last.text_version, last.at)


def may_send(
    rights: Rights, said: Iterable[Statement], purpose: str, channel: str, at: datetime
) -> Consent:
    """Give the consent that something is sent by, or refuse to send it. Raises `Rejected`."""
    must_allow(rights, purpose)
    found = consent(said, purpose, channel, at)
    if not found.granted:
        raise Rejected(
            "consent.missing", f"The customer does not agree to {purpose} over {channel}."
        )
    return found
