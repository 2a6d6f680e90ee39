"""How a benchmark is run: ours and its control by turns on one server, one JSON line per case."""

import json
import multiprocessing
import os
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import structlog
from psycopg.conninfo import make_conninfo

from infra.embedded import EmbeddedPostgres
from infra.runtime import Runtime, open_runtime
from infra.settings import Settings

RUNS = int(os.environ.get("CRM_BENCH_RUNS", "5"))
CONTROL_GROUPS, MEMBERS = Path("/sys/fs/cgroup"), "cgroup.procs"
Measurement = Callable[[], float]


def compare(
    bench: str,
    case: str,
    measured: Mapping[str, Measurement],
    goals: Mapping[str, float | None],
    *,
    turn: bool = True,
) -> None:
    """Measure `ours` and its controls by turns; print a line for each control with its goal.

    Every second run goes in the opposite order, unless `turn` says that a control needs ours first.
    """
    rates: dict[str, list[float]] = {name: [] for name in measured}
    for run in range(RUNS):
        order = list(reversed(measured)) if turn and run % 2 else list(measured)
        for name in order:
            rates[name].append(measured[name]())
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for control, goal in goals.items():
        against = f"{case}, against {control}"
        report(bench, against, medians["ours"], medians[control], goal, RUNS)


def report(
    bench: str,
    case: str,
    ours: float,
    control: float,
    goal: float | None,
    runs: int,
    *,
    less: bool = False,
) -> None:
    """Print a case. A higher ratio is always better: where `less` is better it is turned round."""
    ratio = control / ours if less else ours / control
    line = {
        "bench": bench,
        "case": case,
        "ours": rounded(ours),
        "control": rounded(control),
        "ratio": rounded(ratio),
        "goal": goal,
        "met": None if goal is None else ratio >= goal,
        "runs": runs,
        "machine": machine(),
    }
    print(json.dumps(line), flush=True)


def rounded(number: float) -> float:
    """Keep three significant digits: no run is more exact than that."""
    return float(f"{number:.3g}")


def machine() -> str:
    """Say what it ran on."""
    python, system = platform.python_version(), f"{platform.system()} {platform.machine()}"
    return f"{os.cpu_count()} cores, {system}, Python {python}"


def per_second(count: int, work: Callable[[], object]) -> float:
    """Give the rate at which a known number of things is done."""
    started = time.perf_counter()
    work()
    return count / (time.perf_counter() - started)


def per_second_in_threads(threads: int, seconds: float, make: Callable[[], Callable[[], None]]):
    """Give the rate at which threads repeat something; `make` prepares it for each thread."""
    begin, done = threading.Barrier(threads + 1), threading.Event()

    def repeat() -> int:
        once, count = make(), 0
        begin.wait()
        while not done.is_set():
            once()
            count += 1
        return count

    with ThreadPoolExecutor(threads) as pool:
        counts = [pool.submit(repeat) for _ in range(threads)]
        begin.wait()
        started = time.perf_counter()
        time.sleep(seconds)
        done.set()
        return sum(count.result() for count in counts) / (time.perf_counter() - started)


def per_second_in_processes(
    processes: int, threads: int, seconds: float, prepare: Callable[..., Any], *arguments: object
) -> float:
    """Give the rate at which threads of several processes together repeat something.

    `prepare` is called with the arguments in each process, gives what `per_second_in_threads` takes
    and is a function of a module: nothing but names and arguments gets to another process.
    """
    context = multiprocessing.get_context("spawn")
    begin, rates = context.Barrier(processes), context.SimpleQueue()
    started = [
        context.Process(
            target=_repeat_in_process, args=(begin, rates, threads, seconds, prepare, arguments)
        )
        for _ in range(processes)
    ]
    for process in started:
        process.start()
    total = sum(rates.get() for _ in started)
    for process in started:
        process.join()
    return total


def _repeat_in_process(begin, rates, threads, seconds, prepare, arguments) -> None:
    try:
        with prepare(*arguments) as make:
            begin.wait(60)
            rates.put(per_second_in_threads(threads, seconds, make))
    except BaseException:
        begin.abort()
        rates.put(0.0)
        raise


def silence() -> None:
    """Let the log say nothing: a benchmark's lines are alone."""
    structlog.configure(processors=[structlog.processors.JSONRenderer()], wrapper_class=Silent)


@contextmanager
def fresh_runtime() -> Iterator[Runtime]:
    """Open everything on a database of its own, on CRM_BENCH_DATABASE_URL or an embedded one."""
    silence()
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as directory, server(directory) as url:
        name = f"crm_bench_{os.getpid()}"
        execute(url, f"CREATE DATABASE {name} TEMPLATE template0")
        try:
            settings = Settings(
                database_url=make_conninfo(url, dbname=name), directory=Path(directory) / "crm"
            )
            with open_runtime(settings) as runtime:
                yield runtime
        finally:
            execute(url, f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def as_a_service() -> Iterator[bool]:
    """Share processors as under a service manager or in a container; tells whether that was so.

    Outside of any control group Linux shares them by session (`sched(7)`, "autogroup"), and each
    process of the server is a session: on busy processors one of them now and then waits for 200 to
    400 ms, whoever else is at work. Making a group takes root.
    """
    group = own_group()
    if group is None:
        yield False
        return
    (group / MEMBERS).write_text(str(os.getpid()))
    try:
        yield True
    finally:
        for process in (group / MEMBERS).read_text().split():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                (group.parent / MEMBERS).write_text(process)
        group.rmdir()


def own_group() -> Path | None:
    """Make a control group that shares processors, of either version; None where that cannot be."""
    for place, sharing in ((CONTROL_GROUPS / "cpu", "cpu.shares"), (CONTROL_GROUPS, "cpu.weight")):
        group = place / f"crm-bench-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        if (group / sharing).exists():
            return group
        group.rmdir()
    return None


@contextmanager
def server(directory: str) -> Iterator[str]:
    """Give the server to measure on."""
    given = os.environ.get("CRM_BENCH_DATABASE_URL")
    if given:
        yield given
        return
    Path(directory).chmod(0o755)  # run by root, the server has an account of its own
    with EmbeddedPostgres(Path(directory) / "postgres") as embedded:
        yield embedded.url


def execute(url: str, statement: str) -> None:
    """Run one statement on a connection of its own."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(statement)


Silent = structlog.make_filtering_bound_logger(50)
