"""What can be asked about interactions: to keep one."""

from commands.command import Change, Command, CustomerIdRef, Fact, IdOrOther, Reader
from domain.consent import may_send
from domain.interaction import Direction, InteractionRecorded, record
from domain.values import Label, Text


class RecordInteraction(Command, name="interaction.record", publishes="interaction.recorded.v1"):
    """Keep one contact with a customer, over any channel; `about` is a case or a lead, if any.

    What is sent for a `purpose` is refused without the customer's consent to it over the channel.
    """

    is_fact = True

    customer: CustomerIdRef
    channel: Label
    direction: Direction = "inbound"
    kind: Label
    message: Text = ""
    purpose: Label | None = None
    case: IdOrOther | None = None
    lead: IdOrOther | None = None

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
        subject = the.customer_id(self.customer)
        if self.purpose is not None and self.direction == "outbound":
            said = the.consents(the.customer(subject))
            may_send(the.rights(subject), said, self.purpose, self.channel, the.time())
        return [(Fact(id=stream, subject=subject), happened)]


INTERACTION_COMMANDS: tuple[type[Command], ...] = (RecordInteraction,)
