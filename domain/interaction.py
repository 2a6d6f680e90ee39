"""An interaction: one contact between a customer and us. A fact, not an aggregate.

Each has a stream of its own, derived from tenant, source and message id: the constraint that keeps
streams consistent is also what absorbs a message that is sent twice, for ever.
"""

from typing import Literal

from domain.events import Event
from domain.personal import ContentText
from domain.rejected import Rejected
from domain.values import Id, Label

Direction = Literal["inbound", "outbound", "internal"]


class InteractionRecorded(Event, name="interaction.recorded.v1"):
    """Somebody wrote, called, visited or clicked; `about` names a lead or a case."""

    channel: Label
    direction: Direction
    kind: Label
    message: ContentText = ""
    about: Id | None = None


def record(
    known: InteractionRecorded | None, interaction: InteractionRecorded
) -> list[InteractionRecorded]:
    """Keep an interaction once; the same message with another content is reported."""
    if known is None:
        return [interaction]
    if known == interaction:
        return []
    raise Rejected(
        "interaction.conflict",
        "An interaction with this source and id is already known with a different content.",
    )
