"""Appending one event a transaction: ours, the `eventsourcing` library's, and raw inserts.

Ours is everything from the fact to the commit: the event is made, its message sealed, its envelope
written, and event and pending row inserted. The library saves a new aggregate with the same fields
through its PostgreSQL application, as its manual shows. The raw control inserts ready-made rows
into our tables with one prepared statement on a connection per thread.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle
from uuid import uuid4

from eventsourcing.application import Application
from library import Contact, settings
from measure import compare, fresh_runtime, per_second_in_threads
from psycopg import Connection

from commands.ports import Batch
from domain.events import Recorded
from domain.interaction import InteractionRecorded
from infra.envelope import encode, slots
from infra.ids import uuid7
from infra.runtime import Runtime

SECONDS = 1.5
SUBJECTS = [uuid7() for _ in range(1000)]
MESSAGE = "My parcel has not arrived, although it was promised for Monday. What now?"

INSERT = """
WITH appended AS (
    INSERT INTO crm.event (tenant, stream, version, type, subject, envelope)
    VALUES (%s, %s, %s, %s, %s, %b) RETURNING seq
)
INSERT INTO crm.pending SELECT seq FROM appended
"""


def interaction(subject: str) -> Recorded[InteractionRecorded]:
    """Make a fact as the write path does."""
    id_, now = uuid7(), datetime.now(UTC)
    happened = InteractionRecorded(
        channel="chat", direction="inbound", kind="message", message=MESSAGE
    )
    return Recorded(
        event=happened, id=id_, tenant="bench", stream=id_, version=1, type=happened.name,
        subject=subject, time=now, recordedtime=now, authid="bench", commandid=id_,
        correlationid=id_, causationid="", sealed={},
    )  # fmt: skip


def ours(runtime: Runtime) -> Callable[[], None]:
    subjects = cycle(SUBJECTS)

    def once() -> None:
        runtime.store.append(Batch("bench", [interaction(next(subjects))]))

    return once


def librarys(application: Application) -> Callable[[], None]:
    subjects = cycle(SUBJECTS)

    def once() -> None:
        application.save(Contact(next(subjects), "chat", "inbound", "message", MESSAGE))

    return once


def raw(runtime: Runtime) -> Callable[[], None]:
    conn = Connection.connect(str(runtime.settings.database_url), autocommit=True)
    made = interaction(SUBJECTS[0])
    envelope = encode(made, runtime.keyring.ensure("bench", slots(made)))

    def once() -> None:
        conn.execute(INSERT, ("raw", uuid4(), 1, made.type, made.subject, envelope), prepare=True)

    return once


def main() -> None:
    """Compare with 1, 4 and 16 writers; the goals are set for 16."""
    with fresh_runtime() as runtime:
        runtime.keyring.ensure("bench", {s for each in SUBJECTS for s in slots(interaction(each))})
        application = Application(env=settings(str(runtime.settings.database_url)))
        for writers in (1, 4, 16):
            measured = {
                "ours": lambda n=writers: rate(n, lambda: ours(runtime)),
                "eventsourcing 9.5.6": lambda n=writers: rate(n, lambda: librarys(application)),
                "raw inserts": lambda n=writers: rate(n, lambda: raw(runtime)),
            }
            goals = {"eventsourcing 9.5.6": 8, "raw inserts": 0.8}
            compare("append", f"events/s with {writers} writers", measured, goals)
        application.close()


def rate(writers: int, make: Callable[[], Callable[[], None]]) -> float:
    return per_second_in_threads(writers, SECONDS, make)


if __name__ == "__main__":
    main()
