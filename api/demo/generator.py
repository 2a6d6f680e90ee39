"""A year of messages from the channels of a coffee company: the same seed gives the same year.

Customers visit, sign up, buy in their own rhythm, ask for help, are sold machines to, and some
fall silent. Calls are noted down late, and some purchases are.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.demo import words
from api.demo.story import story
from api.demo.world import YEAR, Message, Process, Sent, World, soon, whole
from domain.sla import TARGETS

STAYS_STRANGER = 0.12
FALLS_SILENT = 0.2
PURCHASE_LATE = 0.03


def messages(seed: int, customers: int) -> Iterator[Message]:
    """Give the CloudEvents of a year in the order in which they arrive, all of them sound."""
    world = World(seed)
    world.begin(population(world, customers))
    return (sent.message for sent in world.run())


def year(seed: int, customers: int) -> Iterator[Sent]:
    """Give the same with Ada's story among them, and with what should become of each message."""
    world = World(seed)
    world.begin(population(world, customers))
    world.begin(story(world))
    return world.run()


@dataclass(slots=True)
class Person:
    """A customer, from its own point of view."""

    number: int
    ref: Message
    """What the channels know them by at the moment."""
    rhythm: float
    """The usual number of days between two purchases."""
    silent_at: datetime
    spent: int = 0
    tier: str | None = None


def population(world: World, customers: int) -> Process:
    """Customers turn up, more of them early in the year."""
    for number in range(1, customers + 1):
        share = (number - world.random.random()) / customers
        at = whole(world.start + 0.95 * YEAR * share**1.3)
        person = Person(
            number=number,
            ref={"system": "web", "id": f"visitor-{number:06}"},
            rhythm=world.random.triangular(14, 120, 45),
            silent_at=silence(world, at),
        )
        yield visit(world, person, at)
        world.begin(acquaintance(world, person, at))


def silence(world: World, at: datetime) -> datetime:
    """Decide when a customer will fall silent; most never do."""
    if not world.chance(FALLS_SILENT):
        return world.end
    return at + world.random.uniform(0.2, 1.0) * (world.end - at)


def acquaintance(world: World, person: Person, at: datetime) -> Process:
    """A visitor comes back, and mostly signs up in the end."""
    for _ in range(world.random.randint(0, 3)):
        at = world.later(at, world.random.expovariate(0.3))
        yield visit(world, person, at)
    if world.chance(STAYS_STRANGER):
        return
    at = soon(at, 240)
    yield world.tell(
        at, "web", "customer.registered.v1", {"customer": person.ref, **profile(person)}
    )
    at, mail = soon(at, 1), {"email": email(person.number)}
    added = {"customer": person.ref, "identifier": mail}
    yield world.tell(at, "web", "customer.identifier_added.v1", added)
    person.ref = mail
    if world.chance(0.6):
        agreed = {"purpose": "newsletter", "channel": "e-mail", "text_version": "2024-11"}
        at = soon(at, 30)
        yield world.tell(
            at, "web", "customer.consent_granted.v1", {"customer": person.ref, **agreed}
        )
    for process in begun(world, person, at):
        world.begin(process)


def begun(world: World, person: Person, at: datetime) -> Iterable[Process]:
    """What goes on with a customer from the day they signed up."""
    yield shopping(world, person, at)
    yield contacts(world, person, at)
    if person.number % 25 == 0:
        yield employment(world, person, at)
    if world.chance(0.08):
        yield unknown_caller(world, person, at)
    if world.chance(0.3):
        yield lead(world, person, world.later(at, world.random.uniform(0, 90)))


def shopping(world: World, person: Person, at: datetime) -> Process:
    """Buy in one's own rhythm; now and then something is wrong with it, or very right."""
    while True:
        at = world.later(at, world.random.gammavariate(4, person.rhythm / 4))
        if at > person.silent_at:
            return
        product, price = world.random.choice(list(words.GOODS.items()))
        quantity = world.random.choice((1, 1, 1, 2, 3))
        person.spent += price * quantity
        bought = {
            "customer": person.ref,
            "amount": {"amount": price * quantity, "currency": "EUR"},
            "quantity": quantity,
            "product": product,
        }
        sent = world.tell(at, "shop", "customer.purchase_recorded.v1", bought)
        if world.chance(PURCHASE_LATE):
            world.tell_late(sent)
        else:
            yield sent
        yield from aftermath(world, person, at)


def aftermath(world: World, person: Person, at: datetime) -> Process:
    """What follows from a purchase: a tier, a rating, a case."""
    tier = "gold" if person.spent >= 100_000 else "silver" if person.spent >= 30_000 else None
    if tier != person.tier:
        person.tier, at = tier, soon(at, 60)
        assigned = {"customer": person.ref, "tier": tier}
        yield world.tell(at, "shop", "customer.tier_assigned.v1", assigned)
    if world.chance(0.08):
        at = world.later(at, 1)
        yield rating(world, person, at, "nps", (3, 6, 7, 8, 9, 9, 10))
    if world.chance(0.12):
        world.begin(case(world, person, world.later(at, world.random.uniform(1, 6))))


def contacts(world: World, person: Person, at: datetime) -> Process:
    """Visit, write, chat and call between the purchases."""
    while True:
        at = world.later(at, world.random.expovariate(1.6 / person.rhythm))
        if at > person.silent_at:
            return
        match world.random.choices(("web", "mail", "chat", "phone"), (70, 12, 12, 6))[0]:
            case "web":
                yield visit(world, person, at)
            case "mail":
                letter = world.random.choice(words.LETTERS)
                yield contact(world, person, at, channel="mail", kind="letter", message=letter)
                at = soon(at, 3600 * world.random.randint(1, 20))
                yield reply(world, person, at)
            case "chat":
                question = world.random.choice(words.QUESTIONS)
                yield contact(world, person, at, channel="chat", kind="question", message=question)
            case _:
                question = world.random.choice(words.QUESTIONS)
                call = contact(world, person, at, channel="phone", kind="call", message=question)
                world.tell_late(call)


def unknown_caller(world: World, person: Person, at: datetime) -> Process:
    """Somebody calls, and is found to be a customer only days later."""
    caller = {"phone": phone(person.number)}
    at = world.later(at, world.random.uniform(5, 40))
    called = {"customer": caller, "channel": "phone", "kind": "call"}
    yield world.tell(at, "phone", "interaction.recorded.v1", called)
    at = world.later(at, world.random.uniform(1, 5))
    same = {"customer": caller, "into": person.ref, "reason": "same person"}
    yield world.tell(at, "desk", "customer.merged.v1", same)


def employment(world: World, person: Person, at: datetime) -> Process:
    """Somebody turns out to work for a company that buys, too."""
    company = {"system": "erp", "id": f"O-{person.number:05}"}
    name = f"{words.COMPANIES[person.number // 25 % len(words.COMPANIES)]} {person.number} Ltd"
    at = world.later(at, world.random.uniform(1, 20))
    known = {"customer": company, "kind": "organisation", "channel": "erp", "full_name": name}
    yield world.tell(at, "erp", "customer.registered.v1", known)
    at = soon(at, 1)
    works = {"customer": person.ref, "other": company, "relation": "works_for"}
    yield world.tell(at, "erp", "customer.linked.v1", works)


def lead(world: World, person: Person, at: datetime) -> Process:
    """Try to sell a machine: won, lost, given up, or still going on."""
    ref = {"system": "sales", "id": f"L-{world.number('lead'):05}"}
    product, price = world.random.choice(list(words.MACHINES.items()))
    owner = world.random.choice(list(words.OWNERS))

    def told(what: str, **data: object) -> Sent:
        return world.tell(at, "sales", f"lead.{what}.v1", {"lead": ref, **data})

    source = world.random.choice(("web form", "fair", "phone", "recommendation"))
    yield told("captured", customer=person.ref, source=source, product=product)
    at = soon(at, 600)
    yield told("assigned", owner=owner, territory=words.OWNERS[owner])
    at = world.later(at, 1)
    yield told("scored", score=world.random.randint(10, 95))
    due = world.later(at, 3)
    yield told("activity_planned", activity="first call", kind="call", due=due.isoformat())
    at = due
    yield told("activity_done", activity="first call", outcome="reached")
    if world.chance(0.1):
        yield told("disqualified", reason="no interest")
        return
    for stage in ("contacted", "qualified", "proposal", "negotiation"):
        yield told("stage_moved", stage=stage)
        if stage == "qualified":
            at = soon(at, 60)
            yield told("qualified")
        if stage == "proposal":
            at = soon(at, 60)
            worth = price * world.random.randint(10, 25) // 10
            yield told("value_estimated", value={"amount": worth, "currency": "EUR"})
        at = world.later(at, world.random.gammavariate(2, 6))
        if world.chance(0.1):
            yield told("lost", reason=world.random.choice(words.LOST_REASONS))
            return
    yield told("won")


def case(world: World, person: Person, at: datetime) -> Process:
    """Ask for help, and be helped: mostly in time."""
    ref = {"system": "desk", "id": f"C-{world.number('case'):05}"}
    priority = world.random.choices(tuple(TARGETS), (5, 20, 55, 20))[0]
    category = world.random.choice(words.CATEGORIES)
    agent = world.random.choice(words.AGENTS)

    def told(what: str, **data: object) -> Sent:
        return world.tell(at, "desk", f"case.{what}.v1", {"case": ref, **data})

    asked = {"channel": "mail", "category": category, "priority": priority}
    yield told("opened", customer=person.ref, title=words.TROUBLES[category], **asked)
    opened, at = at, soon(at, 120)
    yield told("assigned", agent=agent, team="service")
    at = max(at, whole(opened + TARGETS[priority].first_response * in_time(world)))
    yield told("agent_answered", agent=agent, message=world.random.choice(words.ANSWERS))
    if world.chance(0.05):
        return  # still open at the end of the year
    if world.chance(0.25):
        yield told("waiting", waiting_for=world.random.choice(("customer", "third_party")))
        at = world.later(at, world.random.uniform(0.5, 4))
        yield told("customer_wrote", message="Here is what you asked for.")
        at = soon(at, 300)
        yield told("resumed")
    at = max(soon(at, 900), whole(opened + TARGETS[priority].resolution * in_time(world)))
    yield told("resolved", resolution="solved")
    if world.chance(0.08):
        at = world.later(at, 1)
        yield told("customer_wrote", message="It is still not working.")
        yield told("reopened", reason="not solved")
        at = world.later(at, 1)
        yield told("resolved", resolution="replaced")
    at = world.later(at, 2)
    yield told("closed")
    if world.chance(0.5):
        at = soon(at, 3600)
        yield rating(world, person, at, "csat", (2, 3, 4, 4, 5, 5))


def in_time(world: World) -> float:
    """Give how much of a target is used up: one in eight is missed."""
    late = world.chance(0.125)
    return world.random.uniform(1.1, 2.5) if late else world.random.uniform(0.05, 0.9)


# ---- Messages and people -------------------------------------------------------------------------


def contact(world: World, person: Person, at: datetime, **said: str) -> Sent:
    """Be in contact over a channel."""
    data = {"customer": person.ref, **said}
    return world.tell(at, said["channel"], "interaction.recorded.v1", data)


def visit(world: World, person: Person, at: datetime) -> Sent:
    """Look at a page."""
    page = world.random.choice(words.PAGES)
    return contact(world, person, at, channel="web", kind="visit", message=page)


def reply(world: World, person: Person, at: datetime) -> Sent:
    """Be written to."""
    answer = world.random.choice(words.ANSWERS)
    said = {"channel": "mail", "direction": "outbound", "kind": "reply", "message": answer}
    return contact(world, person, at, **said)


def rating(world: World, person: Person, at: datetime, scale: str, scores: Sequence[int]) -> Sent:
    """Tell how satisfied one is."""
    rated = {"customer": person.ref, "scale": scale, "score": world.random.choice(scores)}
    return world.tell(at, "mail", "customer.satisfaction_rated.v1", rated)


def full_name(number: int) -> str:
    """Give the name of a person."""
    first = words.FIRST_NAMES[number % len(words.FIRST_NAMES)]
    return f"{first} {words.LAST_NAMES[number % len(words.LAST_NAMES)]}"


def email(number: int) -> str:
    """Give the e-mail address of a person."""
    return f"{full_name(number).lower().replace(' ', '.')}.{number}@example.org"


def phone(number: int) -> str:
    """Give the telephone number of a person: +999 belongs to no country."""
    return f"+999 30 {number:07}"


def profile(person: Person) -> Message:
    """Give what people tell of themselves when they sign up."""
    return {
        "channel": "web",
        "full_name": full_name(person.number),
        "country": words.COUNTRIES[person.number % len(words.COUNTRIES)],
        "language": words.LANGUAGES[person.number % len(words.LANGUAGES)],
    }
