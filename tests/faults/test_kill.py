"""Kill -9 of everything, again and again: what was acknowledged is there, once, and in order."""

import contextlib
import multiprocessing
import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands.ingest import ingest
from consumers.follow import advance
from infra.database import connect, url_of
from infra.runtime import Runtime, open_runtime
from infra.store.envelope import decode
from infra.store.sequencing import Sequencing
from tests.faults.life import ME, Told, commandid, end_leases, live, message, settings

ROUNDS = 25
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.faults.life", "infra.embedded"])


@pytest.fixture
def directory() -> Iterator[Path]:
    """A place that the server's own account can reach when the tests are run by root."""
    with tempfile.TemporaryDirectory(prefix="crm-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def chance() -> random.Random:
    seed = random.randrange(2**32)
    print(f"seed {seed}")  # shown when the test fails
    return random.Random(seed)


class Lives:
    """Lives of one process, and what its clients know after each: acknowledged, or in doubt."""

    def __init__(self, directory: Path, chance: random.Random, *, unsafe: bool = False) -> None:
        self.directory, self.chance, self.unsafe = directory, chance, unsafe
        self.acknowledged: set[str] = set()
        self.in_doubt: set[str] = set()
        self.starts = 0

    def live_and_be_killed(self) -> None:
        """Start a process; kill it and its database at some moment, mostly when it is at work."""
        self.starts += 1
        ours, theirs = PROCESSES.Pipe(duplex=False)
        again = sorted(self.in_doubt)
        arguments = (self.directory, f"life-{self.starts}", again, self.unsafe, theirs)
        process = PROCESSES.Process(target=live, args=arguments)
        process.start()
        theirs.close()
        if self.chance.random() < 0.8:
            self._listen_until_up(ours)
        self._listen(ours, self.chance.uniform(0, 0.4))
        kill_all(self.directory, process.pid or 0)
        with contextlib.suppress(EOFError):  # what it had already said
            while True:
                self._note(ours.recv())
        process.join()
        ours.close()

    def _listen_until_up(self, ours) -> None:
        assert ours.poll(60), f"It did not start again. {self._log()}"
        try:
            assert ours.recv() == Told("up")
        except EOFError:
            pytest.fail(f"It ended while starting. {self._log()}")

    def _listen(self, ours, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and ours.poll(left):
            self._note(ours.recv())

    def _note(self, told: Told) -> None:
        if told.what == "sent":
            self.in_doubt |= set(told.ids)
        elif told.what == "verdicts":
            assert set(told.verdicts) <= {"accepted", "duplicate"}, told
            self.in_doubt -= set(told.ids)
            self.acknowledged |= set(told.ids)

    def send_again(self, runtime: Runtime) -> None:
        """Send what is still in doubt to a process that is not killed."""
        ids = tuple(sorted(self.in_doubt))
        verdicts = ingest([message(id_) for id_ in ids], ME, runtime.ports, runtime.refused)
        self._note(Told("verdicts", ids, tuple(verdict.status for verdict in verdicts)))

    def acknowledged_but_not_in(self, counted: Counter[tuple[str, str]]) -> list[str]:
        return [
            id_
            for id_ in self.acknowledged
            if (commandid(id_), message(id_).parsed["type"]) not in counted
        ]

    def _log(self) -> str:
        return (self.directory / "process.log").read_text()[-3000:]


def kill_all(directory: Path, leader: int) -> None:
    """Kill a session's processes and the server of a directory, in no order, until none is left."""
    while found := processes(directory, leader):
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes(directory: Path, leader: int) -> list[int]:
    """The living processes that belong to a session, or that work in or for a directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            state, _, _, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
            ours = str(leader) in (session, process.name)
            inside = (process / "cwd").readlink().is_relative_to(directory)
            named = str(directory) in (process / "cmdline").read_text()
            if state != "Z" and (ours or inside or named):
                found.append(int(process.name))
    return [pid for pid in found if pid != os.getpid()]


def catch_up(runtime: Runtime) -> None:
    """Number what is pending and bring every read model level."""
    end_leases(runtime)
    sequencing = Sequencing(runtime.pool, "test")
    while sequencing.run_once():
        pass
    for table in runtime.tables.values():
        while advance(runtime.events, table):
            pass


def kept(runtime: Runtime) -> Counter[tuple[str, str]]:
    """Count the events of each request, by its id and the type of event."""
    with runtime.pool.connection() as conn:
        rows = conn.execute("SELECT envelope FROM crm.event", binary=True).fetchall()
    events = [decode(envelope) for (envelope,) in rows]
    return Counter((event.commandid, event.type) for event in events)


def read_models(runtime: Runtime) -> dict[str, list[str]]:
    """Every row of every read model, as text."""
    with runtime.pool.connection() as conn:
        return {
            name: [row for (row,) in conn.execute(f"SELECT t::text FROM read.{name} t ORDER BY 1")]
            for name in runtime.tables
        }


def assert_nothing_lost_nothing_doubled(lives: Lives, runtime: Runtime) -> None:
    counted = kept(runtime)
    lost = lives.acknowledged_but_not_in(counted)
    assert not lost, f"{len(lost)} of {len(lives.acknowledged)} acknowledged messages are lost."
    assert {request for request, _ in counted} == set(map(commandid, lives.acknowledged))
    assert set(counted.values()) == {1}, "A message has the same event twice."


def assert_in_order(runtime: Runtime) -> None:
    """Positions are gapless, cover every event, and keep each stream's versions in order."""
    query = """
        SELECT l.position, e.stream, e.version FROM crm.event e LEFT JOIN crm.log l USING (seq)
        ORDER BY l.position
    """
    with runtime.pool.connection() as conn:
        rows = conn.execute(query).fetchall()
    assert [position for position, _, _ in rows] == list(range(1, len(rows) + 1))
    versions: Counter[str] = Counter()
    for _, stream, version in rows:
        versions[stream] += 1
        assert version == versions[stream]


def assert_same_as_fresh(runtime: Runtime) -> None:
    """The read models are what following from the beginning makes of the log."""
    followed = read_models(runtime)
    for table in runtime.tables.values():
        table.drop()
        table.create()
    catch_up(runtime)
    assert read_models(runtime) == followed
    assert followed["customer_view"]


def test_killing_everything_loses_and_doubles_nothing(
    directory: Path, chance: random.Random
) -> None:
    survive(ROUNDS, directory, chance)


@pytest.mark.slow
def test_killing_everything_many_times_loses_and_doubles_nothing(
    directory: Path, chance: random.Random
) -> None:
    survive(200, directory, chance)


def survive(rounds: int, directory: Path, chance: random.Random) -> None:
    lives = Lives(directory, chance)
    for _ in range(rounds):
        lives.live_and_be_killed()
    with open_runtime(settings(directory)) as runtime:
        lives.send_again(runtime)
        catch_up(runtime)
        assert_nothing_lost_nothing_doubled(lives, runtime)
        assert_in_order(runtime)
        assert_same_as_fresh(runtime)
    assert len(lives.acknowledged) > rounds, "The process was hardly ever at work."


def test_without_synchronous_commit_acknowledged_messages_are_lost(
    directory: Path, chance: random.Random
) -> None:
    """The control: the same, on a database that acknowledges before it has written."""
    with open_runtime(settings(directory)) as runtime, connect(url_of(runtime.pool)) as conn:
        conn.autocommit = True
        conn.execute("ALTER DATABASE crm SET synchronous_commit = off")
        # It would write five times a second all the same, and on a busy machine before the kill.
        conn.execute("ALTER SYSTEM SET wal_writer_delay = '10s'")
        conn.execute("SELECT pg_reload_conf()")
    lives = Lives(directory, chance, unsafe=True)
    for _ in range(10):
        lives.live_and_be_killed()
        with open_runtime(settings(directory, unsafe=True)) as runtime:
            if lives.acknowledged_but_not_in(kept(runtime)):
                return
    pytest.fail("Nothing was lost in 10 rounds: these tests would not notice a loss.")
