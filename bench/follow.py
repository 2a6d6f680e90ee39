"""Following the log into the customer view: ours, and the `eventsourcing` library's runner.

Both make the same changes to the same columns for interactions and purchases of as many customers.
Ours reads the log from the beginning, opens no seal, folds a part at a time and writes its rows and
checkpoint in one transaction; the library's runner does one transaction an event.
"""

from datetime import UTC, datetime, timedelta
from random import Random

from eventsourcing.application import Application
from library import Contact, Purchase, follow_rate, settings
from measure import compare, fresh_runtime, per_second

from commands.ports import Batch
from consumers.follow import advance
from domain.customer import CustomerRegistered, IdentifierAdded, PurchaseRecorded
from domain.events import Event, Recorded
from domain.interaction import InteractionRecorded
from domain.values import Money
from infra.ids import uuid7
from infra.runtime import Runtime
from infra.store.sequencing import Sequencing

CUSTOMERS = 3_000
EVENTS = 60_000
LIBRARY_EVENTS = 1_500
"""The library's rate does not depend on how many there are; more would take minutes."""

CHANNELS = ("mail", "chat", "phone", "shop")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


def happened(chance: Random) -> Event:
    """Make what customers mostly do: three contacts to a purchase."""
    if chance.random() < 0.25:
        return PurchaseRecorded(amount=Money(amount=chance.randrange(10_000), currency="EUR"))
    message = f"Where is order {chance.randrange(10**9)}? It should have been here on Monday."
    return InteractionRecorded(
        channel=chance.choice(CHANNELS), direction="inbound", kind="message", message=message
    )


def recorded(event: Event, subject: str, stream: str, version: int, number: int) -> Recorded[Event]:
    """Record a fact, a second after the one before."""
    at, id_ = BEGAN + timedelta(seconds=number), uuid7()
    return Recorded(
        event=event, id=id_, tenant="bench", stream=stream, version=version, type=event.name,
        subject=subject, time=at, recordedtime=at, authid="bench", commandid=id_,
        correlationid=id_, causationid="", sealed={},
    )  # fmt: skip


def fill(runtime: Runtime, events: int, customers: int = CUSTOMERS) -> int:
    """Fill the log with customers and what they do; gives how many events that is."""
    chance, subjects = Random(7), [uuid7() for _ in range(customers)]
    versions = dict.fromkeys(subjects, 2)
    history = []
    for subject in subjects:
        met = CustomerRegistered(kind="person", stage="stranger", channel="mail")
        known_by = IdentifierAdded(
            number=1, kind="email", system="", value=f"{subject}@example.org"
        )
        history += [
            recorded(met, subject, subject, 1, 0),
            recorded(known_by, subject, subject, 2, 0),
        ]
    for number in range(events):
        subject, event = chance.choice(subjects), happened(chance)
        stream, version = uuid7(), 1
        if isinstance(event, PurchaseRecorded):
            versions[subject] += 1
            stream, version = subject, versions[subject]
        history.append(recorded(event, subject, stream, version, number))
    for start in range(0, len(history), 1000):
        runtime.store.append(Batch("bench", history[start : start + 1000]))
    sequencing = Sequencing(runtime.pool, "bench")
    while sequencing.run_once():
        pass
    return len(history)


def fill_library(application: Application) -> None:
    """Record facts of the same kind with the library."""
    chance, subjects = Random(7), [uuid7() for _ in range(CUSTOMERS)]
    for _ in range(LIBRARY_EVENTS):
        subject, event = chance.choice(subjects), happened(chance)
        if isinstance(event, PurchaseRecorded):
            application.save(Purchase(subject, event.amount.amount, event.amount.currency))
        else:
            said = str(event.message)
            application.save(Contact(subject, event.channel, event.direction, event.kind, said))


def ours(runtime: Runtime, events: int) -> float:
    """Follow everything from the beginning."""
    table = runtime.tables["customer_view"]
    table.drop()
    table.create()

    def follow() -> None:
        while advance(runtime.events, table):
            pass

    return per_second(events, follow)


def librarys(runtime: Runtime) -> float:
    """Follow everything from the beginning."""
    with runtime.pool.connection() as conn:
        conn.execute("DROP TABLE IF EXISTS library_customer_view, counted_tracking")
    return follow_rate(settings(str(runtime.settings.database_url)), LIBRARY_EVENTS)


def main() -> None:
    """Compare into fresh read models."""
    with fresh_runtime() as runtime:
        events = fill(runtime, EVENTS)
        application = Application(env=settings(str(runtime.settings.database_url)))
        fill_library(application)
        application.close()
        measured = {
            "ours": lambda: ours(runtime, events),
            "eventsourcing 9.5.6": lambda: librarys(runtime),
        }
        compare("follow", "events/s into the customer view", measured, {"eventsourcing 9.5.6": 30})


if __name__ == "__main__":
    main()
