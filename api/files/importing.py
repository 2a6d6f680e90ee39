"""Takes a file in: the same ingest as everywhere, in batches, with a verdict for every item.

The ids of the messages come from the file alone, so an import that was interrupted is simply run
again: what is in already is a duplicate, and nothing is lost or counted twice.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import structlog

from api.files.mapping import Mapping, load
from api.files.sources import Item, source_of
from api.progress import Show, showing
from commands.ingest import Reading, reading, rejected, take_in
from commands.ports import Busy, Verdict, Who
from domain.rejected import Rejected
from infra.runtime import Runtime

BATCH = 1000
BATCH_BYTES_MAX = 8 << 20
FAULTS_TOLD = 10
SAMPLES_TOLD = 5
BUSY_ATTEMPTS_MAX = 5
BUSY_PAUSE_SECONDS = 0.5

Part = tuple[list[Item], list[Reading]]
Judge = Callable[[Sequence[Item], Sequence[Reading]], list[Verdict]]

log = structlog.get_logger()


class Fault(NamedTuple):
    """An item that was not taken in: where it is and why."""

    line: int
    code: str
    sentence: str


class Sample(NamedTuple):
    """An event as a dry run would send it."""

    line: int
    event: dict[str, Any]


@dataclass
class ImportReport:
    """What became of a file. An item is an event, or a row of which none could be made."""

    path: Path
    dry_run: bool = False
    rows: int = 0
    skipped: int = 0
    """Rows that gave no event: by a skip rule, or because no event applied."""
    empty: int = 0
    """Empty lines; they are nothing."""
    verdicts: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    """Why items were not taken in, and how many for each reason."""
    types: Counter[str] = field(default_factory=Counter)
    """The types of the items that were taken in, now or before."""
    events: int = 0
    """How many events were kept: an accepted item may change nothing, or more than one thing."""
    faults: list[Fault] = field(default_factory=list)
    """The first of those that were not taken in."""
    samples: list[Sample] = field(default_factory=list)
    """The first events of a dry run."""
    token: int = 0
    """A read that shows this is at least as fresh as the import."""
    seconds: float = 0.0

    @property
    def items(self) -> int:
        """Give the number of verdicts."""
        return sum(self.verdicts.values())

    @property
    def clean(self) -> bool:
        """Tell whether everything was taken in, now or before."""
        return not self.codes

    def note(self, item: Item, verdict: Verdict) -> None:
        """Take a verdict into account."""
        self.verdicts[verdict.status] += 1
        if verdict.status in ("conflict", "rejected"):
            self.codes[verdict.code] += 1
            if len(self.faults) < FAULTS_TOLD:
                self.faults.append(Fault(item.line, verdict.code, verdict.sentence))
            return
        event: Any = item.message.parsed
        self.types[event["type"]] += 1
        self.token = max(self.token, verdict.token)
        if verdict.status == "accepted":
            self.events += len(verdict.events)
            if self.dry_run and len(self.samples) < SAMPLES_TOLD:
                self.samples.append(Sample(item.line, event))


def run_import(
    runtime: Runtime | None,
    path: Path,
    *,
    tenant: str,
    authid: str,
    mapping: Path | Mapping | None = None,
    batch: int = BATCH,
    dry_run: bool = False,
    progress: Show | None = None,
) -> ImportReport:
    """Take a file in: one CloudEvent a line, or rows that a mapping makes events of.

    A dry run writes nothing and needs no runtime: it checks the form of every item, not the rules
    that depend on what happened before. Raises `Rejected`, before anything is written, when the
    file cannot be read or the mapping does not fit it.
    """
    mapping = load(mapping) if isinstance(mapping, Path) else mapping
    writes = None if dry_run else runtime
    report, started = ImportReport(path, dry_run=writes is None), time.perf_counter()
    with ExitStack() as stack:
        file = stack.enter_context(opened(path))
        secret = writes.keyring.tenant_key(tenant).secret if writes else b""
        source = stack.enter_context(closing(source_of(file, path, mapping, secret)))
        judge: Judge = form_only
        if writes is not None:
            judge = ingester(writes, Who(tenant, authid, operates=True))
            configure_pipelines(writes, tenant, mapping)
        show = progress or stack.enter_context(showing(path.name))
        parts = stack.enter_context(closing(ahead(read_in(batches(source, batch), tenant))))
        for items, readings in parts:
            for item, verdict in zip(items, judge(items, readings), strict=True):
                report.note(item, verdict)
            report.seconds = time.perf_counter() - started
            show(*how_far(file), report.items, report.seconds)
        report.rows, report.skipped, report.empty = source.rows, source.skipped, source.empty
    log.info("import.done", file=path.name, **report.verdicts, seconds=round(report.seconds, 1))
    return report


def opened(path: Path) -> BinaryIO:
    """Open a file; raises `Rejected` when that is not possible."""
    try:
        return path.open("rb", buffering=1 << 16)
    except OSError as error:
        raise Rejected("file.unreadable", f"{path} cannot be read: {error.strerror}.") from None


def how_far(file: BinaryIO) -> tuple[int, int]:
    """Tell how many bytes are read and how many there are; a pipe tells neither."""
    if not file.seekable():
        return 0, 0
    return file.tell(), os.fstat(file.fileno()).st_size


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Give items in parts that fit into memory, however long each of them is."""
    part: list[Item] = []
    weight = 0
    for item in items:
        part.append(item)
        weight += len(item.message.raw)
        if len(part) >= size or weight >= BATCH_BYTES_MAX:
            yield part
            part, weight = [], 0
    if part:
        yield part


def read_in(parts: Iterable[list[Item]], tenant: str) -> Iterator[Part]:
    """Read the messages of each part."""
    for items in parts:
        yield items, [reading(item.message, tenant) for item in items]


def ahead(parts: Iterator[Part]) -> Generator[Part]:
    """Prepare the next part while this one is being kept: the database leaves time for it."""
    with ThreadPoolExecutor(1, "reader") as reader:
        coming = reader.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = reader.submit(next, parts, None)
            yield part


def ingester(runtime: Runtime, who: Who) -> Judge:
    """Give what takes messages in, and is patient while others change the same things."""

    def judge(items: Sequence[Item], readings: Sequence[Reading]) -> list[Verdict]:
        messages = [item.message for item in items]
        for _ in range(BUSY_ATTEMPTS_MAX):
            try:
                return take_in(messages, readings, who, runtime.ports, runtime.refused)
            except Busy:
                log.warning("import.busy", tenant=who.tenant)
                time.sleep(BUSY_PAUSE_SECONDS)
        return take_in(messages, readings, who, runtime.ports, runtime.refused)

    return judge


def form_only(_: Sequence[Item], readings: Sequence[Reading]) -> list[Verdict]:
    """Judge nothing but the form of messages."""
    return [rejected(r) if isinstance(r, Rejected) else Verdict("accepted") for r in readings]


def configure_pipelines(runtime: Runtime, tenant: str, mapping: Mapping | None) -> None:
    """Make the sales pipelines what the mapping says."""
    known = runtime.store.pipelines(tenant)
    for pipeline in mapping.all_pipelines() if mapping is not None else ():
        if known.get(pipeline.name) != pipeline:
            runtime.store.put_pipeline(tenant, pipeline)
            log.info("import.pipeline_configured", tenant=tenant, pipeline=pipeline.name)
