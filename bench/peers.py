"""The customer view from one topic into one PostgreSQL: ours against stream processors.

Ours is twice in every comparison: a follower of the topic, and a rebuild, which reads the log in
the database. The programs in `peers/` fill the columns that all of them have from the topic that
our relay published, each in a process of its own. The clock starts when a program has loaded
itself and ends when its table has everything; its rows are then compared with those expected.
`CRM_BENCH_PEER_EVENTS` says how many facts there are, `--only` names some peers. Beside the rates
stands the time that processors took, that of the program and of the server together: on a machine
that has more to do, only that can be compared.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from brokers import broker, fresh_topic, publish_all
from busy import Busy, busy, seconds, server_of
from follow import fill
from kafka_follow import PARTITIONS
from measure import RUNS, fresh_runtime, report
from psycopg.conninfo import conninfo_to_dict

from consumers import building
from consumers.building import Means
from consumers.follow import advance
from infra.database import url_of
from infra.read_models.tables import Table
from infra.read_models.versions import drop
from infra.runtime import Runtime
from projections.customer_view import customer_view

EVENTS = int(os.environ.get("CRM_BENCH_PEER_EVENTS", "100000"))
CUSTOMERS = (50, EVENTS // 5)
PROGRAMS = Path(__file__).parent / "peers"
LOOK_SECONDS = 0.05
SECONDS = 900
INSTALL_SECONDS = 600
MEMORY = 512_000_000

EXPECTED = "CREATE TABLE public.expected AS SELECT * FROM read.customer_view"
TABLE = """
DROP TABLE IF EXISTS public.peer_customer_view;
CREATE TABLE public.peer_customer_view (
    key text PRIMARY KEY, interactions bigint NOT NULL DEFAULT 0,
    channels jsonb NOT NULL DEFAULT '{}', purchases bigint NOT NULL DEFAULT 0,
    items bigint NOT NULL DEFAULT 0, revenue jsonb NOT NULL DEFAULT '{}',
    last_contact_at timestamptz, last_purchase_at timestamptz)
"""
FACTS = "SELECT coalesce(sum(interactions + purchases), 0) FROM {}"
DIFFERENT = """
SELECT count(*) FROM public.expected e FULL JOIN {} p ON p.key::text = e.key::text
WHERE (e.interactions, e.channels, e.purchases, e.items, e.revenue)
    IS DISTINCT FROM (p.interactions, p.channels, p.purchases, p.items, p.revenue)
  AND coalesce(e.interactions, 1) + coalesce(e.purchases, 1) > 0
"""


class Failed(Exception):
    """A peer cannot be measured here; the sentence says why."""


class Quiet:
    """Watches without a word."""

    def progress(self, progress: object) -> None:
        pass

    def poison(self, poison: object) -> None:
        raise AssertionError(poison)


class Peer(NamedTuple):
    """A stream processor: its program, how it is called, and what it needs."""

    name: str
    program: str
    arguments: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    goals: tuple[float | None, float] = (1, 1)
    """For a follower of ours, and for a rebuild; a follower is not held against a batch."""


PATHWAY = ("pathway==0.33.0",)
PEERS = (
    Peer("Pathway 0.33.0, static", "pathway_view.py", ("static",), PATHWAY, (None, 1.5)),
    Peer("Pathway 0.33.0, streaming", "pathway_view.py", ("streaming",), PATHWAY, (1.5, 1.5)),
    Peer(
        "Bytewax 0.21.1", "bytewax_view.py",
        packages=("bytewax[kafka]==0.21.1", "psycopg[binary]==3.3.9", "orjson==3.13.0"),
    ),
    Peer("Quix Streams 3.28.1", "quix_view.py", packages=("quixstreams[postgresql]==3.28.1",)),
    Peer(
        "Faust 0.15.3", "faust_view.py",
        packages=("faust-streaming==0.15.3", "psycopg[binary]==3.3.9", "orjson==3.13.0"),
    ),
    Peer("Kafka Streams 4.3.1", "kafka_streams/CustomerView.java"),
)  # fmt: skip


# ---- What peers are installed with ---------------------------------------------------------------


def java(program: Path, place: Path) -> list[str]:
    """Fetch what a program's pom names; gives what runs it, Java compiles it when it starts."""
    run("mvn", "-q", "-B", "-Dstyle.color=never", "-f", str(program.with_name("pom.xml")),
        "dependency:copy-dependencies", "-DincludeScope=runtime",
        f"-DoutputDirectory={place}/jars")  # fmt: skip
    return ["java", "-cp", f"{place}/jars/*", str(program)]


def python(program: Path, place: Path, packages: tuple[str, ...]) -> list[str]:
    """Make an environment with packages, by uv if there is one; gives what runs a program in it."""
    environment = str(place / "venv")
    own = f"{environment}/bin/python"
    try:
        run("uv", "venv", "--quiet", "--python", sys.executable, environment)
        run("uv", "pip", "install", "--quiet", "--python", own, *packages)
    except Failed:
        run(sys.executable, "-m", "venv", "--clear", environment)
        run(own, "-m", "pip", "install", "--quiet", *packages)
    return [own, str(program)]


def run(*command: str) -> None:
    """Run a command to its end. Raises `Failed` with what it said last."""
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=INSTALL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Failed(f"{command[0]} cannot be run: {type(error).__name__}") from error
    except subprocess.CalledProcessError as error:
        raise Failed("it cannot be installed: " + last_line(error.stdout + error.stderr)) from error


@contextmanager
def installed(peer: Peer) -> Iterator["Program"]:
    """Put a peer into a temporary place outside the repository."""
    with tempfile.TemporaryDirectory(prefix="crm-bench-peer-") as name:
        place, program = Path(name), PROGRAMS / peer.program
        if program.suffix == ".java":
            yield Program(java(program, place), place)
        else:
            yield Program([*python(program, place, peer.packages), *peer.arguments], place)


def last_line(text: str) -> str:
    """Give the last line of what a program wrote."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no word"


# ---- What is measured ----------------------------------------------------------------------------


class Program(NamedTuple):
    """What runs a program, and where."""

    command: list[str]
    place: Path

    def measured(self, runtime: Runtime, source: list[str], done: Callable[[], bool]) -> Busy:
        """Run from when the program is loaded until all is done. Raises `Failed`."""
        at = conninfo_to_dict(str(runtime.settings.database_url))
        env = {**os.environ, "PGPASSWORD": str(at.get("password", ""))}
        where = [str(at.get(name, "5432")) for name in ("host", "port", "dbname", "user")]
        server = server_of(runtime.pool)
        errors = self.place / "errors"
        started = subprocess.Popen(
            [*self.command, *source, *where], cwd=self.place, env=env, text=True,
            stdout=subprocess.PIPE, stderr=errors.open("w"),
        )  # fmt: skip
        try:
            if started.stdout is None or started.stdout.readline() != "ready\n":
                raise Failed("it did not start: " + last_line(errors.read_text()))
            began = Busy(time.perf_counter(), seconds(started.pid), seconds(server))
            while not done():
                if time.perf_counter() - began.wall > SECONDS:
                    raise Failed(f"it was not ready after {SECONDS} s")
                if started.poll() is not None:
                    raise Failed("it ended: " + last_line(errors.read_text()))
                time.sleep(LOOK_SECONDS)
            ended = Busy(time.perf_counter(), seconds(started.pid), seconds(server))
        finally:
            started.kill()
            started.wait(30)
        return Busy(*(after - before for before, after in zip(began, ended, strict=True)))


def peer_fills(runtime: Runtime, source: list[str], program: Program) -> Busy:
    """Let a peer fill its table. Raises `Failed`."""
    with runtime.pool.connection() as conn:
        conn.execute(TABLE)
    facts = number(runtime, FACTS.format("public.expected"))

    def done() -> bool:
        return number(runtime, FACTS.format("public.peer_customer_view")) == facts

    took = program.measured(runtime, source, done)
    check(runtime, "public.peer_customer_view")
    return took


def we_follow(runtime: Runtime, source: list[str]) -> Busy:
    """Follow the topic with one follower."""
    table, head = Table(runtime.pool, customer_view, source[1]), runtime.events.head()
    table.drop()
    table.create()
    with tempfile.TemporaryDirectory(prefix="crm-bench-ours-") as place:
        program = Program([sys.executable, str(PROGRAMS / "ours.py")], Path(place))
        took = program.measured(runtime, source, lambda: table.reached() >= head)
    check(runtime, f"read.{table.name}")
    return took


def we_rebuild(runtime: Runtime) -> Busy:
    """Rebuild until the version is level and indexed."""
    means = Means(url_of(runtime.pool), os.cpu_count() or 1, MEMORY)
    built: list[Table] = []
    took = busy(
        runtime.pool,
        lambda: built.append(building.rebuild(runtime.tables, customer_view.name, means, Quiet())),
    )
    check(runtime, f"read.{built[0].name}")
    drop(runtime.tables, customer_view.name, built[0].version)
    return took


def check(runtime: Runtime, table: str) -> None:
    """Compare rows with those expected. Raises `Failed`."""
    if different := number(runtime, DIFFERENT.format(table)):
        raise Failed(f"{different} of its rows are not as expected")


def number(runtime: Runtime, query: str) -> int:
    """Ask for one number."""
    with runtime.pool.connection() as conn:
        row = conn.execute(query).fetchone()
    return int(row[0]) if row else 0


# ---- Comparing -----------------------------------------------------------------------------------


def compare_on(
    runtime: Runtime, bootstrap: str, customers: int, programs: dict[Peer, Program]
) -> None:
    """Measure ours and every peer by turns."""
    events = fill(runtime, EVENTS, customers)
    case = f"{events:,} events of {customers:,} customers"
    source = [bootstrap, fresh_topic(bootstrap, PARTITIONS)]
    publish_all(runtime, *source)
    while advance(runtime.events, runtime.tables[customer_view.name]):
        pass
    with runtime.pool.connection() as conn:
        conn.execute(EXPECTED)
    ours: dict[str, list[Busy]] = {"following": [], "rebuilding": []}
    theirs: dict[Peer, list[Busy]] = {peer: [] for peer in programs}
    for _ in range(RUNS):
        ours["following"].append(we_follow(runtime, source))
        ours["rebuilding"].append(we_rebuild(runtime))
        for peer in list(theirs):
            try:
                theirs[peer].append(peer_fills(runtime, source, programs[peer]))
            except Failed as failed:
                leave_out(peer, failed)
                del theirs[peer]
    for peer, its in theirs.items():
        for (how, mine), goal in zip(ours.items(), peer.goals, strict=True):
            tell(f"{how} {case}", events, (mine, its), peer.name, goal)


def tell(
    case: str, events: int, took: tuple[list[Busy], list[Busy]], peer: str, goal: float | None
) -> None:
    """Print a line by the clock and one by processor time, ours first."""
    rates = [events / statistics.median(each.wall for each in found) for found in took]
    costs = [statistics.median(each.both for each in found) / events * 1e6 for found in took]
    report("peers", f"{case}, events/s, against {peer}", *rates, goal, RUNS)
    what = f"{case}, processor µs an event, against {peer}"
    report("peers", what, *costs, None, RUNS, less=True)


def leave_out(peer: Peer, failed: Failed) -> None:
    """Say why a peer is not compared with."""
    print(f"# {peer.name} is not compared with: {failed}.", file=sys.stderr, flush=True)


def main() -> None:
    """Compare on few customers and on many."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--only", nargs="*", help="names of peers, or how they begin")
    only = asked.parse_args().only
    with ExitStack() as stack:
        programs: dict[Peer, Program] = {}
        for peer in PEERS:
            if only is None or peer.name.lower().startswith(tuple(name.lower() for name in only)):
                try:
                    programs[peer] = stack.enter_context(installed(peer))
                except Failed as failed:
                    leave_out(peer, failed)
        for customers in CUSTOMERS:
            with fresh_runtime() as runtime, broker() as bootstrap:
                compare_on(runtime, bootstrap, customers, programs)


if __name__ == "__main__":
    main()
