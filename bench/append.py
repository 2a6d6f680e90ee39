"""Appending one event a transaction: ours, the `eventsourcing` library's, and raw inserts.

Ours is everything from the fact to the commit: the event is made, its message sealed, its envelope
written, and event and pending row inserted. The library saves a new aggregate with the same fields
through its PostgreSQL application, as its manual shows. The raw control inserts ready-made rows
into our tables with one prepared statement on a connection per thread.

Sixteen writers are measured twice: as threads of one process, where Python lets one of them work at
a time, and as four processes of four threads, as they are behind a load balancer.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from uuid import UUID, uuid4

from eventsourcing.application import Application
from library import Contact, settings
from measure import compare, fresh_runtime, per_second_in_processes, silence
from psycopg import Connection

from commands.ports import Batch
from domain.events import Recorded
from domain.interaction import InteractionRecorded
from infra.audit.proofs import leaf_hash
from infra.ids import uuid7
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from infra.store.envelope import encode, slots

SECONDS = 1.5
LAYOUTS = ((1, 1), (1, 4), (1, 16), (4, 4))
"""How many processes, and how many threads in each."""

GOALS = {"eventsourcing 9.5.6": 8, "raw inserts": 0.8}
"""For sixteen writers, wherever they are."""

SUBJECTS = [str(UUID(int=n + 1, version=4)) for n in range(1000)]
MESSAGE = "My parcel has not arrived, although it was promised for Monday. What now?"

INSERT = """
WITH appended AS (
    INSERT INTO crm.event (tenant, stream, version, type, subject, envelope)
    VALUES (%s, %s, %s, %s, %s, %b) RETURNING seq
)
INSERT INTO crm.pending (seq, leaf) SELECT seq, %b FROM appended
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
    ready = (1, made.type, made.subject, envelope, leaf_hash(envelope))

    def once() -> None:
        conn.execute(INSERT, ("raw", uuid4(), *ready), prepare=True)

    return once


@contextmanager
def writer(kind: str, url: str, directory: Path) -> Iterator[Callable[[], Callable[[], None]]]:
    """Open in a process of its own what its threads need; the keys of all subjects are known."""
    silence()
    if kind == "library":
        application = Application(env=settings(url) | {"CREATE_TABLE": "no"})
        yield lambda: librarys(application)
        application.close()
        return
    with open_runtime(Settings(database_url=url, directory=directory)) as runtime:
        runtime.keyring.ensure("bench", {s for each in SUBJECTS for s in slots(interaction(each))})
        yield lambda: ours(runtime) if kind == "ours" else raw(runtime)


def main() -> None:
    """Compare one writer, four, and sixteen, for whom the goals are set."""
    with fresh_runtime() as runtime:
        at = (str(runtime.settings.database_url), runtime.settings.directory)
        Application(env=settings(at[0])).close()  # makes its tables
        for processes, threads in LAYOUTS:

            def rate(kind: str, layout: tuple[int, int] = (processes, threads)) -> float:
                return per_second_in_processes(*layout, SECONDS, writer, kind, *at)

            measured = {
                "ours": lambda rate=rate: rate("ours"),
                "eventsourcing 9.5.6": lambda rate=rate: rate("library"),
                "raw inserts": lambda rate=rate: rate("raw"),
            }
            goals = GOALS if processes * threads == 16 else dict.fromkeys(GOALS)
            compare("append", f"events/s with {told(processes, threads)}", measured, goals)


def told(processes: int, threads: int) -> str:
    """Say how many writers there are, and where."""
    writers = "1 writer" if processes * threads == 1 else f"{processes * threads} writers"
    return writers if processes == 1 else f"{writers} in {processes} processes"


if __name__ == "__main__":
    main()
