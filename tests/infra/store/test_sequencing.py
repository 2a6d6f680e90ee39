"""Every committed event gets one position, in order, whatever writers and sequencers do."""

import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from uuid import uuid4

import psycopg
import pytest

from consumers.sequencer import sequence
from infra.database import Conn, Pool, connect, pool
from infra.store.log import EmbeddedLog
from infra.store.recorder import EventRow, statement
from infra.store.sequencing import Fenced, Sequencing

WRITERS = 8
EVENTS_PER_STREAM = 25
"""How many events a transaction adds to each of the two streams that it writes."""


@pytest.fixture
def connections(database_url: str) -> Iterator[Pool]:
    with pool(database_url) as opened:
        yield opened


def insert(conn: Conn, events: list[tuple[str, int]]) -> None:
    """Append events, each given by its stream and version, which is also what it says."""
    rows = []
    for stream, version in events:
        envelope = f"{stream} {version}".encode()
        leaf = sha256(b"\x00" + envelope).digest()
        rows.append(EventRow("test", stream, version, "test.v1", stream, envelope, leaf))
    conn.execute(*statement(rows))


def what_it_says(envelope: bytes) -> tuple[str, int]:
    stream, version = envelope.decode().split()
    return stream, int(version)


class Writers:
    """Write to streams that they share, two in each transaction, and hold before they commit."""

    def __init__(self, url: str, seed: int) -> None:
        self.url, self.random = url, random.Random(seed)
        self.versions = {str(uuid4()): 0 for _ in range(64)}
        self.locks = {stream: threading.Lock() for stream in self.versions}
        self.committed: list[tuple[str, int]] = []

    def write(self, events: int) -> None:
        """Write about this many events, at least; raises what any writer raised."""
        transactions = events // (2 * EVENTS_PER_STREAM * WRITERS) + 1
        with ThreadPoolExecutor(WRITERS) as threads:
            done = [threads.submit(self._write_all, transactions) for _ in range(WRITERS)]
        for each in done:
            each.result()

    def _write_all(self, transactions: int) -> None:
        with connect(self.url) as conn:
            while transactions:
                transactions -= self._write(conn)

    def _write(self, conn: Conn) -> bool:
        """Write to two streams; they are locked in a fixed order, so writers do not meet."""
        one, other = sorted(self.random.sample(list(self.versions), 2))
        with self.locks[one], self.locks[other]:
            first = {stream: self.versions[stream] + 1 for stream in (one, other)}
            events = [(s, first[s] + n) for n in range(EVENTS_PER_STREAM) for s in first]
            gives_up = self.random.random() < 0.03
            with conn.transaction(force_rollback=gives_up):
                insert(conn, events)
                time.sleep(self.random.choice((0, 0, self.random.uniform(0, 0.005), 0.02)))
            if not gives_up:
                self.versions |= {stream: v + EVENTS_PER_STREAM - 1 for stream, v in first.items()}
                self.committed += events
        return not gives_up


@contextmanager
def running(loop: Callable[[threading.Event], None]) -> Iterator[None]:
    """Run a loop in a thread; it is told to stop when the block ends, and has then ended."""
    stop = threading.Event()
    with ThreadPoolExecutor(1) as thread:
        ended = thread.submit(loop, stop)
        try:
            yield
        finally:
            stop.set()
        ended.result()


def tail(events: EmbeddedLog, seen: list[tuple[int, bytes]], stop: threading.Event) -> None:
    """Read the log as a follower does."""
    after, stopping = 0, False
    while not stopping:
        stopping = stop.is_set()
        while (page := events.read(after, 1000, ())).upto > after:
            seen.extend(page.events)
            after = page.upto
        time.sleep(0.001)


def tail_naively(connections: Pool, seen: list[bytes], stop: threading.Event) -> None:
    """Read events in order of their serial number, as is often done."""
    last, stopping = 0, False
    while not stopping:
        stopping = stop.is_set()
        query = "SELECT seq, envelope FROM crm.event WHERE seq > %s ORDER BY seq"
        with connections.connection() as conn:
            for seq, envelope in conn.execute(query, [last]):
                seen.append(envelope)
                last = seq
        time.sleep(0.001)


def assert_complete(seen: list[tuple[int, bytes]], committed: list[tuple[str, int]]) -> None:
    """Every committed event once, no gap in the positions, every stream in order."""
    assert [position for position, _ in seen] == list(range(1, len(committed) + 1))
    told = [what_it_says(envelope) for _, envelope in seen]
    assert sorted(told) == sorted(committed)
    streams = defaultdict(list)
    for stream, version in told:
        streams[stream].append(version)
    assert all(versions == list(range(1, len(versions) + 1)) for versions in streams.values())


def wait_for_all(events: EmbeddedLog, writers: Writers) -> None:
    deadline = time.monotonic() + 30
    while events.head() < len(writers.committed) and time.monotonic() < deadline:
        time.sleep(0.01)


def test_a_reader_misses_nothing_of_100_000_events(database_url: str, connections: Pool) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    writers, events = Writers(database_url, seed), EmbeddedLog(connections)
    seen: list[tuple[int, bytes]] = []
    with (
        running(lambda stop: tail(events, seen, stop)),
        running(lambda stop: sequence(Sequencing(connections, "test"), stop)),
    ):
        writers.write(100_000)
        wait_for_all(events, writers)
    assert len(writers.committed) >= 100_000
    assert_complete(seen, writers.committed)


def test_a_naive_reader_does_miss_events(database_url: str, connections: Pool) -> None:
    """The control: under the same load, reading by serial number loses what committed late."""
    writers = Writers(database_url, seed=random.randrange(2**32))
    seen: list[bytes] = []
    with running(lambda stop: tail_naively(connections, seen, stop)):
        writers.write(20_000)
    assert len(seen) < len(writers.committed)


SEQUENCER = """
import sys, threading
from consumers.sequencer import sequence
from infra.database import pool
from infra.store.sequencing import Sequencing
with pool(sys.argv[1]) as connections:
    sequence(Sequencing(connections, "child", seconds=0.2, limit=100), threading.Event())
"""


def holder(connections: Pool) -> str:
    with connections.connection() as conn:
        row = conn.execute("SELECT holder FROM crm.lease WHERE name = 'sequencer'").fetchone()
    return str(row[0]) if row else ""


def wait_for_holder(connections: Pool, name: str) -> None:
    deadline = time.monotonic() + 20
    while holder(connections) != name:
        assert time.monotonic() < deadline, f"{name} did not become the sequencer."
        time.sleep(0.01)


def test_a_sequencer_paused_past_its_lease_is_fenced(database_url: str, connections: Pool) -> None:
    """A process is stopped at random moments of its work; another one takes over meanwhile."""
    writers, events = Writers(database_url, seed=7), EmbeddedLog(connections)
    command = [sys.executable, "-c", SEQUENCER, database_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            wait_for_holder(connections, "child")
            with running(lambda _: writers.write(15_000)):
                for _ in range(4):
                    time.sleep(random.uniform(0, 0.1))
                    child.send_signal(signal.SIGSTOP)
                    second = Sequencing(connections, "second", seconds=0.2, limit=100)
                    with running(lambda stop, second=second: sequence(second, stop)):
                        wait_for_holder(connections, "second")
                        child.send_signal(signal.SIGCONT)
                        time.sleep(0.05)
                    wait_for_holder(connections, "child")
            wait_for_all(events, writers)
        finally:
            child.kill()
        told = child.communicate()[0]
    assert_complete(list(events.read(0, 10**9, ()).events), writers.committed)
    assert "sequencer.fenced" in told


def test_the_lease_has_one_holder_until_it_runs_out(connections: Pool) -> None:
    first, second = (Sequencing(connections, name, seconds=60) for name in ("first", "second"))
    assert first.lease.take()
    for _ in range(3):
        left(connections, 30)
        first._renew_at = 0.0  # a third of its time has gone
        assert first.number() == 0  # with nothing to number, too, the lease is renewed
        assert left(connections) > 50
        assert not second.lease.take()
    left(connections, -0.001)
    assert second.lease.take()
    assert second.lease.epoch == (first.lease.epoch or 0) + 1


def left(connections: Pool, seconds: float | None = None) -> float:
    """Tell for how many seconds the sequencer's lease still lasts, or let it last so long."""
    query = """
        UPDATE crm.lease SET expires_at = coalesce(
            clock_timestamp() + make_interval(secs => %s), expires_at)
        WHERE name = 'sequencer' RETURNING extract(epoch FROM expires_at - clock_timestamp())::float
    """
    with connections.connection() as conn:
        row = conn.execute(query, [seconds]).fetchone()
    assert row is not None
    return float(row[0])


def test_a_lease_that_is_given_up_can_be_taken_at_once(connections: Pool) -> None:
    first, second = (Sequencing(connections, name, seconds=60) for name in ("first", "second"))
    assert first.lease.take()
    assert not second.lease.take()
    first.lease.give_up()
    assert second.lease.take()


def test_a_fenced_sequencer_numbers_nothing_and_says_so(connections: Pool) -> None:
    first = Sequencing(connections, "first", seconds=0.0)
    second = Sequencing(connections, "second", seconds=60)
    with connections.connection() as conn:
        insert(conn, [(str(uuid4()), 1)])
    assert first.lease.take()
    assert second.lease.take()
    with pytest.raises(Fenced, match="The lease of first has gone to another sequencer"):
        first.number()
    assert EmbeddedLog(connections).head() == 0
    assert second.number() == 1


def test_a_part_is_numbered_at_a_time_in_order_of_appending(connections: Pool) -> None:
    stream = str(uuid4())
    with connections.connection() as conn:
        insert(conn, [(stream, version) for version in range(1, 11)])
    sequencing = Sequencing(connections, "test", seconds=60, limit=4)
    assert [sequencing.run_once() for _ in range(4)] == [4, 4, 2, 0]
    page = EmbeddedLog(connections).read(0, 100, ())
    assert page.events == [(n, f"{stream} {n}".encode()) for n in range(1, 11)]


def test_the_leaf_is_the_hash_of_the_envelope_whoever_appended_it(connections: Pool) -> None:
    streams = [str(uuid4()) for _ in range(3)]
    with connections.connection() as conn:
        insert(conn, [(streams[0], version) for version in range(1, 20)])
        insert(conn, [(streams[1], 1)])
        conn.execute("UPDATE crm.pending SET leaf = NULL")  # an older version wrote none
        insert(conn, [(streams[2], version) for version in range(1, 20)])
        Sequencing(connections, "test", seconds=60).run_once()
        query = "SELECT envelope, leaf FROM crm.log JOIN crm.event USING (seq)"
        found = dict(conn.execute(query).fetchall())
    assert found == {each: sha256(b"\x00" + each).digest() for each in found}
    assert len(found) == 39


def test_a_transaction_left_open_holds_up_nobody(
    server_url: str, database_url: str, connections: Pool
) -> None:
    """Neither one that has written events here, nor one in another database of the server."""
    sequencing, early, late = Sequencing(connections, "test", seconds=60), str(uuid4()), uuid4()
    with psycopg.connect(server_url) as elsewhere, connect(database_url) as slow:
        elsewhere.execute("CREATE TEMPORARY TABLE held (n int)")
        with slow.transaction():
            insert(slow, [(early, 1)])
            with connections.connection() as conn:
                insert(conn, [(str(late), 1)])
            assert sequencing.run_once() == 1
        assert sequencing.run_once() == 1
        elsewhere.rollback()
    told = [envelope for _, envelope in EmbeddedLog(connections).read(0, 10, ()).events]
    assert told == [f"{late} 1".encode(), f"{early} 1".encode()]
