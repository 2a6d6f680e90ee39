"""A process that takes messages in as fast as it can, until it is killed; and what it tells.

The messages follow from their ids, so that whoever sends an id again sends the same message.
"""

import os
import threading
from collections.abc import Iterable, Sequence
from itertools import count, islice
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from commands.cloudevents import message_id
from commands.ingest import Message, ingest
from commands.ports import Who
from consumers.service import running
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings

ME = Who("test", "channel")
SOURCE = "/tests/faults"
WRITERS = 4
CUSTOMERS = 40


class Told(NamedTuple):
    """What the process says: it is `up`, it has `sent` messages, their `verdicts` are there."""

    what: str
    ids: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()


def settings(directory: Path, *, unsafe: bool = False) -> Settings:
    return Settings(directory=directory, database_url=None, allow_unsafe_database=unsafe)


def live(directory: Path, name: str, in_doubt: Sequence[str], unsafe: bool, to: Connection) -> None:
    """Start, send again what is in doubt, then send new messages from several threads."""
    os.setsid()
    log = os.open(directory / "process.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    told = threading.Lock()

    def tell(what: Told) -> None:
        with told:
            to.send(what)

    def send(runtime: Runtime, ids: Iterable[str]) -> None:
        left, sizes = iter(ids), Random(name)
        while batch := tuple(islice(left, sizes.choice((1, 1, 2, 5)))):
            tell(Told("sent", batch))
            messages = [message(id_) for id_ in batch]
            verdicts = ingest(messages, ME, runtime.ports, runtime.refused)
            tell(Told("verdicts", batch, tuple(verdict.status for verdict in verdicts)))

    with open_runtime(settings(directory, unsafe=unsafe)) as runtime:
        end_leases(runtime)
        with running(runtime):
            tell(Told("up"))
            send(runtime, in_doubt)
            for writer in range(WRITERS):
                ids = (f"{name}-{writer}-{number}" for number in count())
                threading.Thread(target=send, args=(runtime, ids)).start()
            threading.Event().wait()


def end_leases(runtime: Runtime) -> None:
    """Take over at once from the process that was killed: lives are shorter than leases here."""
    with runtime.pool.connection() as conn:
        conn.execute("UPDATE crm.lease SET expires_at = '-infinity'")


def message(id_: str) -> Message:
    """Give the message of an id: somebody visits, writes, buys, or is given a name."""
    chance = Random(id_)
    customer = {"system": "shop", "id": str(chance.randrange(CUSTOMERS))}
    type_, data = chance.choice(
        (
            ("interaction.recorded.v1", {"channel": "web", "kind": "visit"}),
            ("interaction.recorded.v1", {"channel": "mail", "kind": "message", "message": id_}),
            ("customer.purchase_recorded.v1", {"amount": {"amount": 499, "currency": "EUR"}}),
            ("customer.profile_changed.v1", {"full_name": f"Ada {id_}"}),
        )
    )
    parsed: dict[str, Any] = {
        "specversion": "1.0",
        "id": id_,
        "source": SOURCE,
        "type": type_,
        "data": {"customer": customer, **data},
    }
    return Message(parsed, str(parsed).encode())


def commandid(id_: str) -> str:
    """Give the command id under which the events of a message are kept."""
    return message_id(ME.tenant, SOURCE, id_)
