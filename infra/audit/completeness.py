"""What a customer's bundle must hold: every event up to a size of the tree, told by a signed note.

Proofs show that what is in a bundle was recorded, not that nothing is missing. So the positions of
all events about the customer are signed with the size and root of the tree, under a name of its
own: whoever passes the bundle on can drop none of them. That we leave none out is our word.
"""

import time
from collections.abc import Sequence

import orjson

from infra.audit.signing import Signer
from infra.audit.tree import EVENTS, Head
from infra.runtime import Runtime

COMPLETE = f"{EVENTS}/complete"

# Without the condition on whom one may see: hiding an event is no reason to say there is none.
POSITIONS = """
SELECT l.position FROM crm.event e JOIN crm.log l USING (seq)
WHERE e.tenant = %s AND e.subject = ANY(%s::uuid[]) AND l.position <= %s ORDER BY 1
"""
WAITING = """
SELECT count(*) FROM crm.pending JOIN crm.event USING (seq)
WHERE tenant = %s AND subject = ANY(%s::uuid[])
"""


def complete(
    signer: Signer, tenant: str, subjects: Sequence[str], head: Head, positions: Sequence[int]
) -> str:
    """Sign which positions are all that a tree has about a customer."""
    _, size, root, *_ = head.note.split("\n")
    told = orjson.dumps({"tenant": tenant, "customers": subjects, "positions": positions})
    return signer.sign(COMPLETE, "\n".join([signer.origin(COMPLETE), size, root, told.decode()]))


def positions_of(runtime: Runtime, tenant: str, subjects: Sequence[str], size: int) -> list[int]:
    """Give the positions of all events about a customer that a tree of this size has."""
    with runtime.pool.connection() as conn:
        return [at for (at,) in conn.execute(POSITIONS, [tenant, list(subjects), size])]


def wait_for_log(runtime: Runtime, tenant: str, subjects: Sequence[str]) -> int:
    """Wait a little until all events about a customer are in the log; tells how many are not."""
    deadline = time.monotonic() + runtime.settings.read_wait_seconds
    while waiting := still_waiting(runtime, tenant, subjects):
        if time.monotonic() > deadline:
            break
        time.sleep(0.02)
    return waiting


def still_waiting(runtime: Runtime, tenant: str, subjects: Sequence[str]) -> int:
    """Count the events about a customer that have no position yet."""
    with runtime.pool.connection() as conn:
        row = conn.execute(WAITING, [tenant, list(subjects)]).fetchone()
    return int(row[0]) if row else 0
