"""The story of Ada, from an anonymous visit to a silence that somebody should notice.

Told once in every demo, among the generated customers, always on the same days. Two messages in it
are faulty on purpose: a chat message that comes again with another text, and a purchase whose
amount is not in cents.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from api.demo.world import Message, Process, Sent, World, soon, whole
from domain.sla import TARGETS

EMAIL = "ada@example.org"
NAME = "Ada Keller"
STORY = "story-of-ada"
"""The correlation id of all her messages."""

VISITOR = {"system": "web", "id": "visitor-ada"}
ADA = {"email": EMAIL}
LEAD = {"system": "sales", "id": "ada-1"}
FIRST_CASE = {"system": "desk", "id": "ada-1"}
SECOND_CASE = {"system": "desk", "id": "ada-2"}

MORNING = timedelta(hours=9, minutes=20)
MET = 300
"""How many days before the end of the year she turns up, and so on."""
CASE_SOLVED = 160
CASE_OVERDUE = 84
SILENT_SINCE = 80


def story(world: World) -> Process:
    """Give all messages of the story in the order in which they arrive."""
    for chapter in (known, sold, regular, helped, disappointed):
        yield from chapter(world)


def tell(world: World, at: datetime, channel: str, type_: str, /, **data: object) -> Sent:
    """Let a channel tell something about Ada."""
    sent = world.tell(at, channel, type_, data)
    return sent._replace(message={**sent.message, "correlationid": STORY})


def day(world: World, before_end: float) -> datetime:
    """Give a moment, counted back in days from twenty past nine on the last day of the year."""
    return whole(world.end - timedelta(days=before_end + 1) + MORNING)


def known(world: World) -> Process:
    """She looks around without a name, comes back, and signs up."""
    for before, page in ((MET, "start page"), (MET - 1.2, "machines"), (MET - 3, "prices")):
        yield tell(
            world, day(world, before), "web", "interaction.recorded.v1",
            customer=VISITOR, channel="web", kind="visit", message=page,
        )  # fmt: skip
    at = day(world, MET - 3.02)
    yield tell(
        world, at, "web", "customer.registered.v1",
        customer=VISITOR, channel="web", full_name=NAME, country="DE", language="en",
    )  # fmt: skip
    at = soon(at, 1)
    added = {"customer": VISITOR, "identifier": ADA}
    yield tell(world, at, "web", "customer.identifier_added.v1", **added)
    yield tell(
        world, soon(at, 30), "web", "customer.consent_granted.v1",
        customer=ADA, purpose="newsletter", channel="e-mail", text_version="2024-11",
    )  # fmt: skip


def sold(world: World) -> Process:
    """She asks for an office machine, and buys it three weeks later."""

    def told(before: float, what: str, **data: object) -> Sent:
        return tell(world, day(world, before), "sales", f"lead.{what}.v1", lead=LEAD, **data)

    product = "office machine"
    yield told(296, "captured", customer=ADA, source="web form", product=product)
    yield told(295.9, "assigned", owner="owner-1", territory="north")
    yield told(295.8, "scored", score=82)
    due = day(world, 294).isoformat()
    yield told(295.7, "activity_planned", activity="first call", kind="call", due=due)
    yield told(294, "activity_done", activity="first call", outcome="reached")
    yield told(293.9, "stage_moved", stage="contacted")
    yield told(290, "stage_moved", stage="qualified")
    yield told(289.9, "qualified")
    yield told(284, "value_estimated", value={"amount": 249_000, "currency": "EUR"})
    yield told(283.9, "stage_moved", stage="proposal")
    yield told(279, "stage_moved", stage="negotiation")
    yield told(275, "won", value={"amount": 239_000, "currency": "EUR"})


def regular(world: World) -> Process:
    """She becomes a regular: beans every two weeks, a question now and then."""
    for number, before in enumerate(range(270, CASE_SOLVED, -14)):
        yield bean_order(world, before)
        if number == 2:
            yield from asked_twice(world, before - 3)
        if number == 4:
            yield from wrong_amount(world, before - 5)


def bean_order(world: World, before: float) -> Sent:
    """Two bags of beans."""
    return tell(
        world, day(world, before), "shop", "customer.purchase_recorded.v1",
        customer=ADA, amount={"amount": 2980, "currency": "EUR"}, quantity=2,
        product="coffee beans",
    )  # fmt: skip


def asked_twice(world: World, before: float) -> Process:
    """The chat sends her question, sends it again, and then again with another text."""
    question = tell(
        world, day(world, before), "chat", "interaction.recorded.v1",
        customer=ADA, channel="chat", kind="question", message="Which beans do you recommend?",
    )  # fmt: skip
    yield question
    yield Sent(soon(question.arrival, 20), question.message, "duplicate")
    data = {**question.message["data"], "message": "Which grinder do you recommend?"}
    other = {**question.message, "data": data}
    yield Sent(soon(question.arrival, 40), other, "conflict")


def wrong_amount(world: World, before: float) -> Process:
    """The shop sends an amount that is not in cents: it is refused, and told why."""
    order = bean_order(world, before)
    data = {**order.message["data"], "amount": {"amount": 29.8, "currency": "EUR"}}
    yield Sent(order.arrival, {**order.message, "data": data}, "rejected")


def helped(world: World) -> Process:
    """Her first case is answered and solved in time; she is content."""
    told = case(world, FIRST_CASE, CASE_SOLVED)
    yield told(0, "opened", customer=ADA, channel="mail", category="billing", priority="normal",
               title="I was charged twice for the beans")  # fmt: skip
    yield told(0.2, "assigned", agent="agent-2", team="service")
    yield told(2, "agent_answered", agent="agent-2", message="Thank you, we are checking that.")
    yield told(5, "waiting", waiting_for="third_party")
    yield told(28, "resumed")
    yield told(30, "resolved", resolution="paid back")
    yield told(54, "closed")
    yield rating(world, CASE_SOLVED - 2.5, 5, "Quick and friendly.")
    for before in range(CASE_SOLVED - 6, CASE_OVERDUE + 3, -14):
        yield bean_order(world, before)


def disappointed(world: World) -> Process:
    """Her second case is answered late and solved late; she complains, and is not seen again."""
    targets = TARGETS["high"]
    answered = targets.first_response / timedelta(hours=1) * 3
    solved = targets.resolution / timedelta(hours=1) * 2.5
    told = case(world, SECOND_CASE, CASE_OVERDUE)
    yield told(0, "opened", customer=ADA, channel="mail", category="defect", priority="high",
               title="The office machine does not heat up")  # fmt: skip
    yield told(0.5, "assigned", agent="agent-4", team="service")
    yield told(answered, "agent_answered", agent="agent-4", message="Have you switched it on?")
    yield told(answered + 1, "customer_wrote", message="Yes. Fifteen people are waiting for it.")
    yield told(30, "escalated", level=2, reason="resolution overdue")
    yield told(solved, "resolved", resolution="replaced")
    yield tell(
        world, day(world, SILENT_SINCE + 1), "mail", "interaction.recorded.v1",
        customer=ADA, channel="mail", kind="complaint", case=SECOND_CASE,
        message="Three days without coffee. I am very disappointed.",
    )  # fmt: skip
    yield rating(world, SILENT_SINCE, 1, "Never again.")


def case(world: World, ref: Message, opened: float) -> Callable[..., Sent]:
    """Give what tells about a case, in hours from its opening."""

    def told(hours: float, what: str, **data: object) -> Sent:
        at = whole(day(world, opened) + timedelta(hours=hours))
        return tell(world, at, "desk", f"case.{what}.v1", case=ref, **data)

    return told


def rating(world: World, before: float, score: int, comment: str) -> Sent:
    """She tells how satisfied she is."""
    return tell(
        world, day(world, before), "mail", "customer.satisfaction_rated.v1",
        customer=ADA, scale="csat", score=score, comment=comment,
    )  # fmt: skip
