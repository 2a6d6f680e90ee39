"""What privacy and audit cost: sealing on against off, proofs, verification, and an erasure.

Sealing: the same events appended, and folded by a follower, sealed and in the clear. Verification:
`crm audit verify --leaves` against hashing the same nodes and nothing else. A leaf, a proof and an
erasure have no control; they are measured against the time that they may take.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import cycle, repeat
from pathlib import Path

from append import SUBJECTS, interaction
from measure import RUNS, compare, fresh_runtime, per_second, per_second_in_threads, report

from commands.command import ByExternalId
from commands.customers import RegisterCustomer
from commands.execute import execute
from commands.interactions import RecordInteraction
from commands.ports import Batch, Request, Who
from consumers.follow import fold
from infra.approvals import Approvals
from infra.audit.merkle import HASH
from infra.audit.proofs import leaf_hash
from infra.audit.tree import EVENTS
from infra.ids import uuid7
from infra.privacy.erasure import ask, erase
from infra.runtime import Runtime
from infra.store import envelope
from infra.store.envelope import decode, encode, slots
from projections.customer_view import customer_view

SECONDS = 1.5
WRITERS = 4
FOLLOWED = 20_000
LEAVES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
PROOFS = 2_000
LEAF_SECONDS, PROOF_SECONDS, ERASURE_SECONDS = 0.000_002, 0.001, 5.0

FILL = """
WITH filled AS (
    INSERT INTO crm.log (position, seq, leaf)
    SELECT n, -n, sha256(('leaf ' || n)::bytea) FROM generate_series(1, %s) AS n
)
UPDATE crm.lease SET position = %s WHERE name = 'sequencer'
"""

BACKENDS = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"


@contextmanager
def in_the_clear() -> Iterator[None]:
    """Write events as if nothing in them were personal."""
    sealing = envelope.groups
    envelope.groups = lambda _: set()
    try:
        yield
    finally:
        envelope.groups = sealing


def append(runtime: Runtime) -> float:
    subjects = cycle(SUBJECTS)

    def once() -> None:
        runtime.store.append(Batch("bench", [interaction(next(subjects))]))

    return per_second_in_threads(WRITERS, SECONDS, lambda: once)


def append_in_the_clear(runtime: Runtime) -> float:
    with in_the_clear():
        return append(runtime)


def followed(runtime: Runtime) -> list[bytes]:
    subjects = cycle(SUBJECTS)
    made = [interaction(next(subjects)) for _ in range(FOLLOWED)]
    keys = runtime.keyring.ensure("bench", {slot for each in made for slot in slots(each)})
    return [encode(each, keys) for each in made]


def follow(envelopes: list[bytes]) -> float:
    def once() -> None:
        fold(customer_view, {}, (decode(each, at) for at, each in enumerate(envelopes, 1)))

    return per_second(len(envelopes), once)


def cost(runtime: Runtime) -> None:
    """Sealing, on against off."""
    runtime.keyring.ensure("bench", {s for each in SUBJECTS for s in slots(interaction(each))})
    measured = {"ours": lambda: append(runtime), "clear": lambda: append_in_the_clear(runtime)}
    compare("privacy", f"events/s sealed, {WRITERS} writers", measured, {"clear": 0.85})
    sealed = followed(runtime)
    with in_the_clear():
        clear = followed(runtime)
    measured = {"ours": lambda: follow(sealed), "clear": lambda: follow(clear)}
    compare("privacy", "sealed events/s folded by a follower", measured, {"clear": 0.8})


def seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def cpu_seconds(runtime: Runtime, act: Callable[[], object]) -> float:
    """How long this process and the server's for it computed; who waits costs nothing."""
    with runtime.pool.connection() as conn:
        pids = [pid for (pid,) in conn.execute(BACKENDS)]
    began = time.process_time() + sum(map(computed, pids))
    act()
    return time.process_time() + sum(map(computed, pids)) - began


def computed(pid: int) -> float:
    """Processor time of a process of this machine; nothing where the server is on another one."""
    stat = Path(f"/proc/{pid}/stat")
    fields = stat.read_text().rpartition(") ")[2].split() if stat.exists() else ["0"] * 20
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def consume(each: Iterable[object]) -> None:
    """Go through all of it and keep nothing: a list of a million hashes costs more to make."""
    for _ in each:
        pass


def bare(count: int) -> float:
    """Hash as many nodes as the tree has, and nothing else."""
    pair = bytes(2 * HASH)

    def once() -> None:
        for _ in range(count):
            sha256(b"\x01" + pair).digest()

    return per_second(count, once)


def audit(runtime: Runtime) -> None:
    """Verifying from leaf hashes, and proving one event of many."""
    with runtime.pool.connection() as conn:
        conn.execute(FILL, [LEAVES, LEAVES])
    one = interaction(SUBJECTS[0])
    sealed = encode(one, runtime.keyring.ensure("bench", slots(one)))
    hashed = cpu_seconds(runtime, lambda: consume(map(leaf_hash, repeat(sealed, LEAVES))))
    grown = cpu_seconds(runtime, runtime.audit.checkpoint)
    case = "processor seconds for a leaf, {}, against what it may take"
    appended, later = "where its event is appended", "and to put it into the tree later"
    report("privacy", case.format(appended), hashed / LEAVES, LEAF_SECONDS, 1, 1, less=True)
    both = (hashed + grown) / LEAVES
    report("privacy", case.format(later), both, LEAF_SECONDS, None, 1, less=True)

    def verify() -> float:
        return per_second(LEAVES, lambda: runtime.audit.verify(deep=False))

    measured = {"ours": verify, "bare SHA-256": lambda: bare(LEAVES - 1)}
    compare("privacy", f"leaves/s verified of {LEAVES:,}", measured, {"bare SHA-256": 0.3})
    tree, took = runtime.audit.trees[EVENTS], []
    for number in range(PROOFS):
        position = 1 + number * 7919 * 131 % LEAVES
        began = time.perf_counter()
        tree.inclusion(position, LEAVES)
        took.append(time.perf_counter() - began)
    case = f"seconds for a proof of one of {LEAVES:,}, against what it may take"
    report("privacy", case, statistics.median(took), PROOF_SECONDS, 1, PROOFS, less=True)


def known(runtime: Runtime, events: int) -> str:
    """Make a customer with so many events; gives its id."""
    ref, who = ByExternalId(system="bench", id=uuid7()), Who("bench", "bench")
    command = RegisterCustomer(customer=ref, full_name="Somebody Benchmarked")
    execute([Request(command, uuid7())], who, runtime.ports)
    visit = RecordInteraction(customer=ref, channel="web", kind="visit", message="hello")
    for start in range(0, events, 500):
        part = range(start, min(start + 500, events))
        execute([Request(visit, uuid7()) for _ in part], who, runtime.ports)
    return runtime.store.owners("bench", [ref.identifier()])[ref.identifier()]


def seconds_to_erase(runtime: Runtime, events: int) -> float:
    customer, one, other = known(runtime, events), Who("bench", "one"), Who("bench", "other")
    asked = ask(runtime, one, customer, "bench")
    Approvals(runtime.pool).approve(other, asked.id, asked.digest)
    began = time.perf_counter()
    erase(runtime, "bench", asked.id)
    return time.perf_counter() - began


def erasing(runtime: Runtime) -> None:
    """Erasing a customer with many events and one with few."""
    many = [seconds_to_erase(runtime, 10_000) for _ in range(RUNS)]
    few = [seconds_to_erase(runtime, 10) for _ in range(RUNS)]
    case = "seconds to erase a customer with 10,000 events, the slowest, against what it may take"
    report("privacy", case, max(many), ERASURE_SECONDS, 1, RUNS, less=True)
    case = "seconds to erase 10,000 events against 10"
    ours, control = statistics.median(many), statistics.median(few)
    report("privacy", case, ours, control, 0.5, RUNS, less=True)


def main() -> None:
    with fresh_runtime() as runtime:
        cost(runtime)
        erasing(runtime)
    with fresh_runtime() as runtime:
        audit(runtime)


if __name__ == "__main__":
    main()
