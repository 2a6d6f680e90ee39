"""What can be asked about interactions: to keep one."""

from commands.command import ByExternalId, Change, Command, CustomerIdRef, Fact, Reader
from domain.interaction import Direction, InteractionRecorded, record
from domain.values import Id, Label, Text


class RecordInteraction(Command, name="interaction.record", publishes="interaction.recorded.v1"):
    """Keep one contact with a customer, over any channel; `about` is a case or a lead, if any."""

    is_fact = True

    customer: CustomerIdRef
    channel: Label
    direction: Direction = "inbound"
    kind: Label
    message: Text = ""
    case: Id | ByExternalId | None = None
    lead: Id | ByExternalId | None = None

    def decide(self, the: Reader) -> list[Change]:
        """Keep it once."""
        stream, known = the.interaction()
        about = None
        if self.case is not None:
            about = the.case_id(self.case)
        elif self.lead is not None:
            about = the.lead_id(self.lead)
        interaction = InteractionRecorded(
            channel=self.channel,
            direction=self.direction,
            kind=self.kind,
            message=self.message,
            about=about,
        )
        happened = record(known, interaction)
        if not happened:
            return []  # whoever it was about then: the reference may lead to somebody else by now
        return [(Fact(id=stream, subject=the.customer_id(self.customer)), happened)]


INTERACTION_COMMANDS: tuple[type[Command], ...] = (RecordInteraction,)
