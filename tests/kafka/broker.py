"""A real Apache Kafka broker on plain Java: KRaft, one node or several, no Docker.

The broker's own jars come from Maven, once, into a cache. Every cluster has its own ports and
directory, and dies with the process that started it.
"""

import base64
import ctypes
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
import uuid
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory

POM = Path(__file__).with_name("pom.xml")
VERSION = "4.3.1"
JAVA_MIN = 17
PORTS = (15_000, 32_000)
SESSION_MS = 6000
"""How long a broker that says nothing counts as there: so long a killed one is not let in again."""
START_SECONDS = 180
"""Much more than it takes: the machine may have other things to do."""
LIBC = ctypes.CDLL(None)
JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")

PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{advertised}
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/log
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={insync}
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={insync}
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={insync}
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms={session}
broker.heartbeat.interval.ms={heartbeat}
log.retention.hours=-1
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=2
"""


class NoBroker(Exception):
    """A broker cannot be started here; the sentence says what is missing."""


def jars() -> Path:
    """Give the directory of the broker's jars, resolving them first if they are not there."""
    if java_version() < JAVA_MIN:
        raise NoBroker(f"Java {JAVA_MIN} or newer is not installed.")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    target = cache / "crm" / f"kafka-{VERSION}"
    if target.is_dir():
        return target
    if shutil.which("mvn") is None:
        raise NoBroker("Maven is not installed.")
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent) as scratch:
        made = subprocess.run(
            ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies",
             "-DincludeScope=runtime", f"-DoutputDirectory={scratch}/jars"],
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        if made.returncode != 0:
            raise NoBroker(f"Maven could not resolve the broker: {made.stdout[-300:]}")
        try:
            Path(scratch, "jars").rename(target)
        except OSError:  # another run was quicker
            if not target.is_dir():
                raise
    return target


def java_version() -> int:
    """Give the number of the Java on the path, 0 without one."""
    if shutil.which("java") is None:
        return 0
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', told)
    return int(found[1]) if found else 0


def free_ports(count: int) -> list[int]:
    """Find ports that nobody uses; all are held at once, so that none is given twice.

    Not those that the kernel gives to connections: while a broker is away, a client that tries to
    reach it could otherwise be given its port, and even connect to itself.
    """
    sockets: list[socket.socket] = []
    while len(sockets) < count:
        each = socket.socket()
        try:
            each.bind(("127.0.0.1", random.SystemRandom().randrange(*PORTS)))
        except OSError:
            each.close()
        else:
            sockets.append(each)
    found = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return found


class Cluster:
    """Some KRaft nodes, each broker and controller in one."""

    def __init__(
        self,
        directory: Path,
        nodes: int = 1,
        *,
        ports: list[int] | None = None,
        jvm: tuple[str, ...] = JVM,
        advertised: dict[int, int] | None = None,
        session_ms: int = SESSION_MS,
    ) -> None:
        """`advertised` are the ports that clients are told to use, by node: those of a proxy."""
        self._jars, self._jvm, self.directory = jars(), jvm, directory
        self._session_ms = session_ms
        self.ports = ports or free_ports(2 * nodes)
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        # Never one that begins with a dash: the tools would take it for an option.
        id_ = uuid.uuid4().bytes
        self._cluster_id = base64.urlsafe_b64encode(bytes([id_[0] & 63]) + id_[1:]).decode()[:22]
        self.nodes = list(range(1, nodes + 1))
        self.advertised = advertised or {}
        for node in self.nodes:
            self._configure(node)
        formatting = [self._java(node, "kafka.tools.StorageTool", "format", "-t",
                                 self._cluster_id, "-c") for node in self.nodes]  # fmt: skip
        for each in formatting:
            if each.wait(START_SECONDS) != 0:
                raise NoBroker("The broker's storage could not be formatted.")

    @property
    def bootstrap(self) -> str:
        """Give the address for clients."""
        return ",".join(f"127.0.0.1:{self._for_clients(node)}" for node in self.nodes)

    def _for_clients(self, node: int) -> int:
        return self.advertised.get(node, self.port(node))

    def port(self, node: int) -> int:
        """Give the port of a node for clients."""
        return self.ports[2 * (node - 1)]

    def start(self, *nodes: int) -> "Cluster":
        """Start nodes (all by default) and wait until they answer."""
        started = nodes or tuple(self.nodes)
        for node in started:
            self.processes[node] = self._java(node, "kafka.Kafka")
        for node in started:
            self._wait(node)
        return self

    def signal(self, node: int, number: signal.Signals) -> None:
        """Send a signal to a node; SIGKILL is waited for."""
        process = self.processes[node]
        process.send_signal(number)
        if number == signal.SIGKILL:
            process.wait(10)

    def stop(self) -> None:
        """Kill all nodes."""
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait(10)

    def _configure(self, node: int) -> None:
        replicas = min(3, len(self.nodes))
        voters = ",".join(f"{n}@127.0.0.1:{self.ports[2 * n - 1]}" for n in self.nodes)
        home = self.directory / str(node)
        home.mkdir(parents=True)
        text = PROPERTIES.format(
            node=node, voters=voters, port=self.port(node),
            advertised=self._for_clients(node), controller=self.ports[2 * node - 1],
            directory=home, replicas=replicas, insync=max(1, replicas - 1),
            session=self._session_ms, heartbeat=self._session_ms // 4,
        )  # fmt: skip
        (home / "server.properties").write_text(text)

    def _java(self, node: int, main: str, *arguments: str) -> "subprocess.Popen[bytes]":
        home = self.directory / str(node)
        with (home / "output.log").open("ab") as output:
            return subprocess.Popen(
                ["java", *self._jvm, "-cp", f"{self._jars}/*", main, *arguments,
                 str(home / "server.properties")],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=home,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - calls nothing but the kernel
            )  # fmt: skip

    def _wait(self, node: int) -> None:
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            if self.processes[node].poll() is not None:
                break
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("127.0.0.1", self.port(node))) == 0:
                    return
            time.sleep(0.1)
        tail = (self.directory / str(node) / "output.log").read_text()[-500:]
        raise NoBroker(f"Node {node} did not start: {tail}")


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent dies, even by kill -9 (Linux)."""
    LIBC.prctl(1, signal.SIGKILL)
