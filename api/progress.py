"""How far a long task is: a bar on a terminal, a log line every few seconds elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

SECONDS_BETWEEN_LINES = 5.0

Show = Callable[[int, int, int, float], None]
"""Is told how much is done, how much there is (0 when nobody knows), items, and seconds."""

log = structlog.get_logger()


@contextmanager
def showing(what: str) -> Iterator[Show]:
    """Show progress while the block lasts."""
    if sys.stderr.isatty():
        with bar(what) as show:
            yield show
    else:
        yield log_lines(what)


@contextmanager
def bar(what: str) -> Iterator[Show]:
    """Draw a bar on the terminal; it goes away at the end."""
    from rich.console import Console  # noqa: PLC0415 - slow to import, and only terminals need it
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    told = TextColumn("{task.fields[items]:,} items  {task.fields[rate]:,.0f}/s")
    columns = (TextColumn("{task.description}"), BarColumn(), told, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None, items=0, rate=0.0)

        def show(done: int, total: int, items: int, seconds: float) -> None:
            rate = items / seconds if seconds else 0.0
            progress.update(task, completed=done, total=total or None, items=items, rate=rate)

        yield show


def log_lines(what: str) -> Show:
    """Write a line now and then."""
    last = time.monotonic()

    def show(done: int, total: int, items: int, seconds: float) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            percent = round(100 * done / total) if total else None
            rate = round(items / seconds) if seconds else 0
            log.info("import.progress", file=what, percent=percent, items=items, per_second=rate)

    return show
