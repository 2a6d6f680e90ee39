"""What a person asks about its data becomes a case under the law's own clock."""

from collections.abc import Mapping

from commands.command import Change, Command, Reader, named_id
from domain import case as rules
from domain.case import AgreementMatched, CaseOpened
from domain.privacy_request import SAYS, Kind, Law, category, due, must_be_request, terms
from domain.rejected import Rejected
from domain.values import Id, Instant, Label

LAWS: Mapping[str, Law] = {named_id("law", law): law for law in SAYS}
"""What stands in the place of an agreement: the law, by an id that no agreement has."""
IDS: Mapping[Law, str] = {law: id_ for id_, law in LAWS.items()}


class OpenPrivacyRequest(Command, name="privacy_request.open", publishes="case.opened.v1"):
    """Note that a person asked for something; the clock began when it was received."""

    case: Id
    customer: Id
    kind: Kind
    law: Law = "gdpr"
    channel: Label = "itself"

    def decide(self, the: Reader) -> list[Change]:
        """Open the case under the law, whatever agreements there are."""
        opened = CaseOpened(
            customer=the.customer_id(self.customer),
            channel=self.channel,
            category=category(self.kind),
            priority="normal",
        )
        case = the.case(self.case)
        events = rules.open_case(case, opened)
        return [(case, [*events, under(self.law, the)] if events else [])]


def under(law: Law, the: Reader) -> AgreementMatched:
    """Put a case that is opened now under the law."""
    return AgreementMatched(
        agreement=IDS[law], version=1, reason=SAYS[law], terms=terms(law, the.time())
    )


class ExtendPrivacyRequest(
    Command, name="privacy_request.extend", publishes="case.agreement_matched.v1"
):
    """Take the longer time that the law allows once, before the first has passed."""

    case: Id
    received: Instant
    reason: Label

    def decide(self, the: Reader) -> list[Change]:
        """Give the clock its longer target; what it used stays used."""
        case = the.case(self.case)
        must_be_request(case)
        law = LAWS.get(case.agreement[0]) if case.agreement else None
        if law is None:
            raise Rejected("privacy_request.unknown", "There is no such request of a customer.")
        if the.time() > due(law, self.received):
            raise Rejected("privacy_request.late", "It is too late: the time has passed already.")
        matched = AgreementMatched(
            agreement=IDS[law],
            version=2,
            reason=self.reason,
            terms=terms(law, self.received, extended=True),
        )
        return [(case, rules.match_agreement(case, matched))]
