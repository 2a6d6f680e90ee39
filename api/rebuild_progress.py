"""How a rebuild is told: lines always, and a bar on a terminal; faults at once."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from consumers.building import Progress
from infra.read_models.builds import Poison

SECONDS_BETWEEN_LINES = 2.0
POISONS_TOLD = 20
"""How many events that could not be applied are told one by one; `crm parked list` has them all."""

log = structlog.get_logger()


class Lines:
    """Writes a line when the phase changes, and every few seconds."""

    def __init__(self, name: str) -> None:
        self.last: Progress | None = None
        self.poisons = 0
        self._name, self._told = name, 0.0

    def progress(self, progress: Progress) -> None:
        """Tell how far it is."""
        now, known = time.monotonic(), self.last
        self.last = progress
        changed = known is None or known.phase != progress.phase
        if changed or now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            log.info("rebuild.progress", projection=self._name, **told(progress))

    def poison(self, poison: Poison) -> None:
        """Tell an event that could not be applied; its row waits, the others go on."""
        self.poisons += 1
        if self.poisons <= POISONS_TOLD:
            log.error("rebuild.parked", projection=self._name, **poison._asdict())


class Bar(Lines):
    """Draws a bar besides."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        from rich.console import Console  # noqa: PLC0415 - slow to import; only terminals need it
        from rich.progress import BarColumn, TextColumn  # noqa: PLC0415
        from rich.progress import Progress as Display  # noqa: PLC0415

        columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[rate]}"))
        self.display = Display(*columns, console=Console(stderr=True), transient=True)
        self._task = self.display.add_task(name, total=1.0, rate="")

    def progress(self, progress: Progress) -> None:
        """Draw how far it is."""
        super().progress(progress)
        eta = progress.eta_seconds
        rate = f"{progress.per_second:,.0f} events/s" + (f", {eta:,.0f} s left" if eta else "")
        self.display.update(
            self._task, completed=progress.share, description=progress.phase, rate=rate
        )


@contextmanager
def watching(name: str) -> Iterator[Lines]:
    """Tell how a rebuild goes while the block lasts."""
    if not sys.stderr.isatty():
        yield Lines(name)
        return
    bar = Bar(name)
    with bar.display:
        yield bar


def told(progress: Progress) -> dict[str, object]:
    """Lay progress out as the fields of a line; at the target it is not over, only level."""
    eta = progress.eta_seconds
    return {
        "version": progress.version,
        "phase": progress.phase,
        "position": progress.position,
        "target": progress.target,
        "percent": round(100 * progress.share),
        "events": progress.events,
        "per_second": round(progress.per_second),
        "eta_seconds": None if eta is None else round(eta),
    }
