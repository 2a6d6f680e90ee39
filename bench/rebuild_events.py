"""A realistic mix of events, rebuilt from; what the cases of `rebuild.py` share."""

import json
import os
import time
from random import Random

from follow import recorded
from measure import machine, rounded
from peers import MEMORY, Quiet

from commands.ports import Batch
from consumers import building
from consumers.building import Means
from domain.case import AgentAnswered, CaseOpened, CaseResolved, CustomerWrote
from domain.customer import CustomerRegistered, IdentifierAdded, PurchaseRecorded, SatisfactionRated
from domain.events import Event
from domain.interaction import InteractionRecorded
from domain.lead import LeadCaptured, LeadStageMoved, LeadWon
from domain.values import Money
from infra.database import url_of
from infra.ids import uuid7
from infra.read_models.versions import drop
from infra.runtime import Runtime
from infra.store.sequencing import Sequencing

EVENTS = int(os.environ.get("CRM_BENCH_EVENTS", "1000000"))
PER_CUSTOMER = 20
CHANNELS = ("mail", "chat", "phone", "shop")


def lives(chance: Random, customer: str) -> list[tuple[str, Event]]:
    """What one customer does: mostly contacts, some purchases, now and then a lead or a case."""
    told: list[tuple[str, Event]] = [
        (customer, CustomerRegistered(kind="person", stage="stranger", channel="mail")),
        (customer, IdentifierAdded(number=1, kind="email", system="", value=f"{customer}@x.org")),
    ]
    if chance.random() < 0.3:
        told += lead(chance, customer)
    if chance.random() < 0.4:
        told += case(customer)
    while len(told) < PER_CUSTOMER:
        if chance.random() < 0.2:
            amount = Money(amount=chance.randrange(10_000), currency="EUR")
            told.append((customer, PurchaseRecorded(amount=amount)))
        elif chance.random() < 0.05:
            told.append((customer, SatisfactionRated(scale="nps", score=chance.randrange(11))))
        else:
            message = f"Where is order {chance.randrange(10**9)}? It should be here by now."
            channel = chance.choice(CHANNELS)
            contact = InteractionRecorded(
                channel=channel, direction="inbound", kind="message", message=message
            )
            told.append((uuid7(), contact))
    return told


def lead(chance: Random, customer: str) -> list[tuple[str, Event]]:
    stream, worth = uuid7(), Money(amount=chance.randrange(10**6), currency="EUR")
    captured = LeadCaptured(
        customer=customer, source="web", pipeline="sales", stage="new", probability=10
    )
    moved = LeadStageMoved(stage="offer", probability=60)
    return [(stream, captured), (stream, moved), (stream, LeadWon(value=worth))]


def case(customer: str) -> list[tuple[str, Event]]:
    stream = uuid7()
    opened = CaseOpened(
        customer=customer, channel="mail", category="order", priority="normal", title="Help"
    )
    said = (CustomerWrote(message="Hello?"), AgentAnswered(agent="mia", message="Soon."))
    return [(stream, each) for each in (opened, *said, CaseResolved(resolution="sent"))]


def fill(runtime: Runtime, events: int, started: int = 0) -> None:
    """Add so many events; a hundred customers live at the same time."""
    chance, sequencing = Random(started), Sequencing(runtime.pool, "bench", seconds=60)
    for first in range(0, events, 100 * PER_CUSTOMER):
        waiting = [(c, lives(chance, c)) for c in (uuid7() for _ in range(100))]
        versions: dict[str, int] = {}
        batch = []
        for turn in range(PER_CUSTOMER):
            for subject, told in waiting:
                stream, event = told[turn]
                versions[stream] = versions.get(stream, 0) + 1
                number = started + first + turn
                batch.append(recorded(event, subject, stream, versions[stream], number))
        runtime.store.append(Batch("bench", batch))
        while sequencing.run_once():
            pass
    sequencing.lease.give_up()


def rebuilt(runtime: Runtime, names: tuple[str, ...], workers: int, memory: int = MEMORY) -> float:
    """Build the next versions and drop them again; gives the seconds for all of them."""
    seconds = 0.0
    for name in names:
        means = Means(url_of(runtime.pool), workers, memory)
        began = time.perf_counter()
        table = building.rebuild(runtime.tables, name, means, Quiet())
        seconds += time.perf_counter() - began
        drop(runtime.tables, name, table.version)
    return seconds


def line(case: str, **figures: object) -> None:
    """Print a case that has no control."""
    told = {name: rounded(v) if isinstance(v, float) else v for name, v in figures.items()}
    print(json.dumps({"bench": "rebuild", "case": case, **told, "machine": machine()}), flush=True)
