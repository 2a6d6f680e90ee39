"""The acceptance run: three real data sets, every total published with them, from the read models.

    .venv/bin/python bench/real_data.py [--data ../shared/data] [--only maven helpdesk cdnow]

Imports all of it, asks for the totals, imports all of it again (nothing may change), drops the
read models and follows the log again, and rebuilds each beside the one that serves and promotes it
(they must come out byte for byte the same, each time). Exits 1 if any of this is not so. Works on a
database of its own, which is dropped at the end: on an embedded server, or on the one of
CRM_BENCH_DATABASE_URL.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from measure import fresh_runtime
from real_figures import CDNOW, CDNOW_SAMPLE, HELPDESK, MAVEN, Books, Figure

from api.files.importing import ImportReport, run_import
from consumers import building
from consumers.building import Means, Progress
from consumers.follow import advance
from consumers.switching import promote
from infra.database import url_of
from infra.read_models.builds import Poison
from infra.runtime import Runtime
from infra.store.sequencing import Sequencing

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("CRM_REAL_DATA", ROOT.parent / "shared" / "data"))
MAPPINGS = ROOT / "bench" / "mappings"
SECONDS_BETWEEN_LINES = 5.0
MEMORY = 512_000_000
"""What a rebuild may take; that is its default."""

FINGERPRINT = """
SELECT count(*), coalesce(encode(sha256(convert_to(
    string_agg(r::text, E'\\n' ORDER BY r::text COLLATE "C"), 'UTF8')), 'hex'), '')
FROM read.{} AS r
"""


class DataSet(NamedTuple):
    """Some files, the mapping of each, and what they must come out as."""

    name: str
    files: tuple[tuple[str, str], ...]
    figures: tuple[Figure, ...]


DATA_SETS = (
    DataSet(
        "maven",
        (
            ("maven_crm/accounts.csv", "maven_accounts"),
            ("maven_crm/sales_pipeline.csv", "maven_pipeline"),
        ),
        MAVEN,
    ),
    DataSet("helpdesk", (("helpdesk/helpdesk.csv", "helpdesk"),), HELPDESK),
    DataSet("cdnow", (("cdnow/CDNOW_master.txt", "cdnow"),), CDNOW),
    DataSet("cdnow-sample", (("cdnow/CDNOW_sample.txt", "cdnow_sample"),), CDNOW_SAMPLE),
)


class Result(NamedTuple):
    """A line of the table."""

    data_set: str
    figure: str
    expected: object
    got: object
    source: str

    @property
    def ok(self) -> bool:
        """Tell whether it came out as it must."""
        return self.expected == self.got


def acceptance(runtime: Runtime, data: Path, data_sets: Sequence[DataSet]) -> list[Result]:
    """Do all of it; gives every figure, and every proof that nothing changed."""
    sequencing = Sequencing(runtime.pool, holder="acceptance", seconds=600)
    results = [line for each in data_sets for line in imported(runtime, data, each)]
    head = level(runtime, sequencing)
    results += [line for each in data_sets for line in asked(runtime, data, each)]
    before = fingerprints(runtime)
    say("Everything again, from the first line on.")
    results += [line for each in data_sets for line in imported_again(runtime, data, each)]
    results.append(Result("all", "head of the log", head, level(runtime, sequencing), "log, again"))
    results += compared(before, fingerprints(runtime), "again")
    say("The read models are dropped and made anew.")
    for table in runtime.tables.values():
        table.drop()
        table.create()
    level(runtime, sequencing)
    results += compared(before, fingerprints(runtime), "made anew")
    return results + rebuilt_beside(runtime, before)


def rebuilt_beside(runtime: Runtime, before: dict[str, str]) -> list[Result]:
    """Rebuild every read model beside the one that serves, compare both, and let it serve."""
    say("Every read model is rebuilt beside the one that serves.")
    means, built = Means(url_of(runtime.pool), os.cpu_count() or 1, MEMORY), {}
    for name in runtime.tables:
        version = building.rebuild(runtime.tables, name, means, Quiet())
        built[name] = fingerprint(runtime, version.name)
        promote(runtime.tables, name)
    results = compared(before, built, "rebuilt beside")
    return results + compared(before, fingerprints(runtime), "promoted")


class Quiet:
    """Watches a rebuild; an event that cannot be applied ends it all."""

    def progress(self, progress: Progress) -> None:
        """Say nothing."""

    def poison(self, poison: Poison) -> None:
        """Give up."""
        raise ValueError(f"Event {poison.event} cannot be applied: {poison.reason}")


def imported(runtime: Runtime, data: Path, data_set: DataSet) -> Iterator[Result]:
    """Import the files of a data set; nothing may be refused."""
    for file, report in take_in(runtime, data, data_set):
        refused = report.verdicts["conflict"] + report.verdicts["rejected"]
        yield Result(data_set.name, f"refused of {file}", 0, refused, "verdicts")


def imported_again(runtime: Runtime, data: Path, data_set: DataSet) -> Iterator[Result]:
    """Import the same files once more; every item must be a duplicate."""
    for file, report in take_in(runtime, data, data_set):
        new = report.items - report.verdicts["duplicate"]
        yield Result(data_set.name, f"new of {file}", 0, new, "verdicts, again")


def take_in(runtime: Runtime, data: Path, data_set: DataSet) -> Iterator[tuple[str, ImportReport]]:
    """Import the files of a data set into a tenant of its own."""
    for path, mapping in data_set.files:
        report = run_import(
            runtime,
            data / path,
            tenant=data_set.name,
            authid="acceptance",
            mapping=MAPPINGS / f"{mapping}.toml",
            progress=every_few_seconds(path),
        )
        verdicts = ", ".join(f"{count:,} {name}" for name, count in report.verdicts.items())
        kept = f"{report.events:,} events kept in {report.seconds:.1f} s"
        rate = f"{report.items / report.seconds:,.0f} items/s"
        say(f"{path}: {report.rows:,} rows, {verdicts}; {kept}, {rate}")
        for fault in report.faults:
            say(f"  line {fault.line}: {fault.code}: {fault.sentence}")
        yield path, report


def level(runtime: Runtime, sequencing: Sequencing) -> int:
    """Number all events and bring every read model level; gives the head of the log."""
    with timed("numbered", runtime.events.head):
        while sequencing.run_once():
            pass
    for name, table in runtime.tables.items():
        with timed(name, table.position):
            while advance(runtime.events, table):
                pass
    return runtime.events.head()


def asked(runtime: Runtime, data: Path, data_set: DataSet) -> Iterator[Result]:
    """Ask for every figure of a data set."""
    books = Books(runtime, data_set.name, data)
    for figure in data_set.figures:
        got = figure.answer(books)
        yield Result(data_set.name, figure.name, figure.expected, got, figure.source)


def fingerprints(runtime: Runtime) -> dict[str, str]:
    """Give a digest of all rows of every read model, as text and in order."""
    return {name: fingerprint(runtime, name) for name in runtime.tables}


def fingerprint(runtime: Runtime, name: str) -> str:
    """Give a digest of all rows of one, by the name of its view or of the table of a version."""
    with runtime.pool.connection() as conn:
        count, digest = conn.execute(FINGERPRINT.format(name)).fetchone() or (0, "")
    return f"{count:,} rows, {digest[:12]}"


def compared(before: dict[str, str], now: dict[str, str], when: str) -> list[Result]:
    """Compare the digests of all read models."""
    return [Result("all", name, before[name], now[name], f"SHA-256, {when}") for name in before]


# ---- What is told --------------------------------------------------------------------------------


def say(line: str) -> None:
    """Tell how it goes, apart from the table."""
    print(line, file=sys.stderr, flush=True)


def every_few_seconds(path: str) -> Callable[[int, int, int, float], None]:
    """Tell how far an import is."""
    last = time.monotonic()

    def show(done: int, total: int, items: int, seconds: float) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(f"{path}: {done / total:.0%}, {items:,} items, {items / seconds:,.0f} items/s")

    return show


@contextmanager
def timed(what: str, position: Callable[[], int]) -> Iterator[None]:
    """Tell how quickly a position moved on."""
    before, started = position(), time.perf_counter()
    yield
    moved, seconds = position() - before, time.perf_counter() - started
    say(f"{what}: {moved:,} positions in {seconds:.1f} s, {moved / seconds:,.0f} positions/s")


def table(results: Sequence[Result]) -> str:
    """Lay results out in columns."""
    rows = [("data set", "figure", "expected", "got", "", "source")]
    rows += [
        (r.data_set, r.figure, shown(r.expected), shown(r.got), "ok" if r.ok else "NO", r.source)
        for r in results
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ("<", "<", ">", ">", "<", "<")
    lines = [
        "  ".join(
            f"{cell:{side}{width}}" for cell, side, width in zip(row, aligned, widths, strict=True)
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def shown(value: object) -> str:
    """Write a figure down."""
    return f"{value:,}" if isinstance(value, int) else str(value)


def main() -> int:
    """Run the acceptance; gives the exit code."""
    names = [each.name for each in DATA_SETS]
    parser = argparse.ArgumentParser(
        description="Import the real data sets and check their totals."
    )
    parser.add_argument("--data", type=Path, default=DATA, help="where the data sets are")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="some of them")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        print(f"There is no real data in {arguments.data}; CRM_REAL_DATA can say where it is.")
        return 2
    with fresh_runtime() as runtime:
        chosen = [each for each in DATA_SETS if each.name in arguments.only]
        results = acceptance(runtime, arguments.data, chosen)
    print(table(results))
    wrong = sum(not result.ok for result in results)
    print(f"\n{len(results) - wrong} of {len(results)} came out as they must.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
