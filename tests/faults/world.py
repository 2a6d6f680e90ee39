"""A whole system of real processes, each of which can be killed, frozen, and brought back."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg
import structlog
from kafka.admin import KafkaAdminClient

from api.cli.common import UNREACHABLE
from infra.embedded import EmbeddedPostgres
from infra.kafka.topics import TopicNames, Topics, wanted
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings
from projections.catalogue import ALL
from tests.faults.counted import counted
from tests.faults.cutter import Cutter
from tests.kafka.broker import SESSION_MS, Cluster, die_with_parent, free_ports

ROOT = Path(__file__).parents[2]
CRM = (str(Path(sys.executable).with_name("crm")),)
COUNTING = (sys.executable, "-m", "tests.faults.counted")
PARTITIONS = 4
ALONE_MS = 2000
"""The session of a broker that has nobody to hand over to: it comes back the sooner."""
LEAVE_SECONDS = 20


class Role(NamedTuple):
    """One process: what it runs, and the name that it keeps in its groups."""

    command: tuple[str, ...]
    member: str = ""


ROLES = {
    "sequencer-1": Role((*CRM, "sequencer")),
    "sequencer-2": Role((*CRM, "sequencer")),
    "relay-1": Role((*CRM, "relay")),
    "relay-2": Role((*CRM, "relay")),
    "follower-1": Role((*COUNTING, "follow"), member="one"),
    "follower-2": Role((*COUNTING, "follow", "counted")),
}
"""Two of each: one acts and one stands by, and followers share the partitions of `counted`."""


class Places(NamedTuple):
    """Where a world has its things: PostgreSQL and Kafka are started unless they are given."""

    directory: Path
    database_url: str | None = None
    bootstrap: str | None = None


class World:
    """PostgreSQL, brokers and all roles, on one machine, as long as the block lasts."""

    def __init__(self, places: Places, nodes: int = 1, *, control: bool = False) -> None:
        self.directory = places.directory
        self.postgres = None if places.database_url else EmbeddedPostgres(self.directory / "pg")
        self._data = self._where_data_is() if self.postgres else None
        self.wires: list[Cutter] = []
        self.cluster = None if places.bootstrap else self._cluster(nodes)
        self.settings = Settings(
            directory=self.directory / "crm",
            database_url=places.database_url or self.postgres.url,
            kafka_bootstrap_servers=places.bootstrap or self.cluster.bootstrap,
            kafka_prefix=f"faults-{os.getpid()}-{time.monotonic_ns()}",
            kafka_partitions=PARTITIONS,
            kafka_replicas=nodes,
        )
        self._control = control
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._log = (self.directory / "roles.log").open("ab")

    def _cluster(self, nodes: int) -> Cluster:
        """Start brokers, each behind a wire that can be cut."""
        ports = free_ports(2 * nodes)
        self.wires = [Cutter(port) for port in ports[::2]]
        behind = {node: wire.port for node, wire in enumerate(self.wires, 1)}
        session = ALONE_MS if nodes == 1 else SESSION_MS
        return Cluster(
            self.directory / "kafka", nodes, ports=ports, advertised=behind, session_ms=session
        ).start()

    @property
    def names(self) -> TopicNames:
        return TopicNames(self.settings.kafka_prefix)

    def prepare(self) -> None:
        """Create the topics."""
        topics = Topics(self.settings.kafka_bootstrap_servers)
        models = [f"{p.name}_v{p.version}" for p in (*ALL, counted)]
        topics.apply(
            wanted(self.names, PARTITIONS, self.settings.kafka_replicas, models),
            self.settings.kafka_replicas,
        )
        topics.close()

    def start(self, name: str) -> None:
        """Start a role."""
        role, given = ROLES[name], self.settings
        inherited = dict(os.environ)
        inherited.pop("PYTHONDONTWRITEBYTECODE", None)  # every start would compile everything
        env = {
            **inherited,
            "CRM_DATABASE_URL": str(given.database_url),
            "CRM_DIRECTORY": str(given.directory),
            "CRM_KAFKA_BOOTSTRAP_SERVERS": str(given.kafka_bootstrap_servers),
            "CRM_KAFKA_PREFIX": given.kafka_prefix,
            "CRM_KAFKA_REPLICAS": str(given.kafka_replicas),
            "CRM_KAFKA_MEMBER": role.member,
            "CRM_FAULTS_CONTROL": "1" if self._control else "",
        }
        self._processes[name] = subprocess.Popen(
            role.command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL,
            stdout=self._log, stderr=self._log,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - calls nothing but the kernel
        )  # fmt: skip

    def acting(self, kind: str) -> str:
        """Name the process of a kind that holds its lease; the first one where none does."""
        pids = {str(process.pid): name for name, process in self._processes.items()}
        with contextlib.suppress(psycopg.Error), psycopg.connect(
            str(self.settings.database_url), connect_timeout=2
        ) as conn:  # fmt: skip
            row = conn.execute("SELECT holder FROM crm.lease WHERE name = %s", [kind]).fetchone()
            holder = str(row[0]).rpartition("/")[2] if row else ""
            return pids.get(holder, f"{kind}-1")
        return f"{kind}-1"

    def freeze(self, target: str) -> None:
        """Stop a target where it stands, without its noticing."""
        self._signal(target, signal.SIGSTOP)

    def thaw(self, target: str) -> None:
        """Let it go on as if nothing had happened."""
        self._signal(target, signal.SIGCONT)

    def leave(self, target: str) -> None:
        """Ask a role to end, and wait until it has put everything in order."""
        for process in self._children(target):
            process.terminate()
            process.wait(LEAVE_SECONDS * overload())

    def cut(self, _: str) -> None:
        """Cut all connections to the brokers in the middle of what is being said."""
        for wire in self.wires:
            wire.cut()

    def leader(self) -> str:
        """Name the broker that leads the first partition of the log."""
        admin = KafkaAdminClient(bootstrap_servers=self.settings.kafka_bootstrap_servers)
        try:
            (topic,) = admin.describe_topics([self.names.events])
            return f"broker-{topic['partitions'][0]['leader_id']}"
        finally:
            admin.close()

    def kill(self, target: str) -> None:
        """Kill a target, leaving it no moment to put anything in order."""
        self._signal(target, signal.SIGKILL)
        for process in self._children(target):
            process.wait(10)

    def _signal(self, target: str, number: signal.Signals) -> None:
        for pid in self._pids(target):
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(pid, number)

    def revive(self, target: str) -> None:
        """Start it again; what others can only wait for answers when this returns."""
        if target == "wire":
            return
        if target == "postgres":
            # This use is beside the one that we have had since the beginning, and ends with it.
            with EmbeddedPostgres(self.directory / "pg"):
                pass
        elif target.startswith("broker"):
            self.cluster.start(node_of(target))
        else:
            self.start(target)

    def supervise(self) -> None:
        """Start again, as Compose does, what ended because something could not be reached."""
        for name, process in list(self._processes.items()):
            if process.poll() == UNREACHABLE:
                self.start(name)

    def ended(self) -> list[str]:
        """Name the roles that have ended by themselves."""
        return [
            name
            for name, process in self._processes.items()
            if process.poll() not in (None, UNREACHABLE)
        ]

    def close(self) -> None:
        """End everything."""
        for process in self._processes.values():
            process.kill()
        for process in self._processes.values():
            process.wait(10)
        if self.cluster:
            self.cluster.stop()
        for wire in self.wires:
            wire.close()
        if self.postgres:
            self.postgres.stop()
        self._log.close()

    def told(self) -> str:
        """Give the end of what the roles have said."""
        return (self.directory / "roles.log").read_text(errors="replace")[-6000:]

    def _where_data_is(self) -> Path:
        with psycopg.connect(self.postgres.url) as conn:
            return Path(conn.execute("SELECT current_setting('data_directory')").fetchone()[0])

    def _children(self, target: str) -> list[subprocess.Popen[bytes]]:
        if target.startswith("broker"):
            return [self.cluster.processes[node_of(target)]]
        return [self._processes[target]] if target in self._processes else []

    def _pids(self, target: str) -> list[int]:
        if target != "postgres":
            return [process.pid for process in self._children(target)]
        postmaster = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        listed = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text()
        return [postmaster, *map(int, listed.split())]


def overload() -> float:
    """Tell how many times more there is to do on this machine than it can, 1 at least.

    Who shares a machine with others gets that much less of it, and recovers that much later.
    """
    return max(1.0, os.getloadavg()[0] / (2 * (os.cpu_count() or 1)))


def node_of(target: str) -> int:
    """Read the number in the name of a broker."""
    return int(target.rpartition("-")[2])


@contextmanager
def running(
    places: Places, nodes: int = 1, *, control: bool = False, roles: tuple[str, ...] = tuple(ROLES)
) -> Iterator[tuple[World, Runtime]]:
    """Run a world while the block lasts, with a runtime for those who write and look."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    world = World(places, nodes, control=control)
    try:
        world.prepare()
        with open_runtime(world.settings) as runtime:
            for name in roles:
                world.start(name)
            yield world, runtime
    finally:
        world.close()
