"""What the tests of the Kafka path share: traffic, waiting, and what the read models hold."""

import random
import time
from collections.abc import Callable
from hashlib import sha256

from commands.catalogue import BY_NAME
from commands.execute import execute
from commands.ports import Request, Verdict, Who
from consumers.follow import advance
from infra.ids import uuid7
from infra.read_models.tables import Table
from infra.runtime import Runtime
from projections.catalogue import ALL

WHO = Who("demo", "test")


def traffic(runtime: Runtime, events: int, seed: int = 1) -> list[Verdict]:
    """Keep some interactions and purchases of a few customers."""
    source = random.Random(seed)
    requests = []
    for _ in range(events):
        customer = {"system": "web", "id": f"c{source.randrange(40)}"}
        if source.random() < 0.5:
            asked = {"customer": customer, "channel": "web", "kind": "click", "message": "hello"}
            command = BY_NAME["interaction.record"].model_validate(asked)
        else:
            asked = {"customer": customer, "amount": {"amount": 500, "currency": "EUR"}}
            command = BY_NAME["customer.record_purchase"].model_validate(asked)
        requests.append(Request(command, uuid7()))
    return execute(requests, WHO, runtime.ports)


def eventually(done: Callable[[], bool], seconds: float = 90) -> bool:
    """Wait until something is so."""
    give_up = time.monotonic() + seconds
    while time.monotonic() < give_up:
        if done():
            return True
        time.sleep(0.05)
    return False


def level(runtime: Runtime) -> bool:
    """Tell whether everything is numbered, published and followed by every read model."""
    if pending(runtime):
        return False
    head = runtime.events.head()  # asked after nothing was pending: it counts everything
    return all(table.reached() >= head for table in runtime.tables.values())


def pending(runtime: Runtime) -> int:
    """Count the events without a position."""
    with runtime.pool.connection() as conn:
        row = conn.execute("SELECT count(*) FROM crm.pending").fetchone()
    return int(row[0]) if row else 0


def digests(tables: dict[str, Table]) -> dict[str, str]:
    """Give a digest of the rows of every read model."""
    return {name: digest(table) for name, table in tables.items()}


def digest(table: Table) -> str:
    """Give a digest of the rows of a read model, in order of their keys."""
    query = f"SELECT t::text FROM read.{table.name} t ORDER BY tenant, key"
    with table.pool.connection() as conn:
        return sha256("\n".join(row for (row,) in conn.execute(query)).encode()).hexdigest()


def folded_from_the_store(runtime: Runtime) -> dict[str, str]:
    """Give the digests of the same read models followed from the embedded log, from scratch."""
    found = {}
    for projection in ALL:
        table = Table(runtime.pool, projection)
        table.drop()
        table.create()
        while advance(runtime.events, table):
            pass
        found[projection.name] = digest(table)
    return found
