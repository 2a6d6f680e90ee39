"""Rebuilding a read model: the next version is folded beside the one that serves.

Slices of the customers are folded in parallel, each in memory, and written in bulk; then the new
version follows the log until it is level. Killed at any moment, it goes on from what is safe.
"""

import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from math import ceil

import orjson

from consumers.follow import fold, fold_into, fold_keyed, key_of
from domain.events import Event, Recorded
from infra.read_models.builds import Build, Fits, Slice
from infra.read_models.change import Key, Parking
from infra.store.envelope import decode
from infra.store.log import BUCKETS, EmbeddedLog, Found
from projections.projection import Row

PAGE = 8_000
"""How many positions are read at a time, and as many times more as a slice is narrower than all
customers: what a page costs by itself would otherwise be paid for a handful of events."""

SAVE_SECONDS = 30.0
SAVE_SHARE = 20
"""How long a worker folds before it makes its rows safe, and at most a twentieth of its time."""

PYTHON_FACTOR = 5
"""How much more room a row takes than as JSON: 2 to 4 measured, and what is lost between rows."""


PARTS_MAX = 16
"""Into how many parts a slice is divided at most: each looks at every position again."""


MARGIN = 1.25
"""How much larger than expected a part may turn out before it is divided again."""


class Paused(Exception):
    """Somebody paused the rebuild; what was done so far is safe."""


def fold_slice(events: EmbeddedLog, build: Build, slice_: Slice, memory: int) -> None:
    """Fold one slice up to the target, and write its rows. Raises `Paused` or `TakenOver`."""
    work = Work(events, build, slice_, memory)
    while work.at < build.target:
        work.fold_page()
    work.finish()


class Work:
    """The rows of one slice in memory, and how far they are."""

    def __init__(self, events: EmbeddedLog, build: Build, slice_: Slice, memory: int) -> None:
        self._events, self._build, self._slice, self._memory = events, build, slice_, memory
        self._projection = build.table.projection
        self.at, self._folded = slice_.saved, 0
        saved, self._buckets = build.load(slice_)
        self._rows: dict[Key, Row | None] = {**saved}
        waiting = (p for p in build.parked() if p.position <= self.at)
        self._parked = {Key(each.tenant, each.key) for each in waiting}
        self._saved_at, self._saving_took = time.monotonic(), 0.0

    def fold_page(self) -> None:
        """Take the next part of the log into account."""
        width = self._slice.high - self._slice.low + 1
        upto = min(self.at + PAGE * BUCKETS // width, self._build.target)
        self._folded = 0
        self._take(self._keyed(self._read(self.at, upto)))
        self.at = upto
        paused = self._build.note(self._slice, upto, self._folded)
        if paused or self._is_time_to_save():
            self._save()
        if paused:
            raise Paused
        if self._is_too_much():
            self._divide()

    def finish(self) -> None:
        """Write the rows for good."""
        self._build.finish(self._slice, self._kept(), self._settled)

    def _kept(self) -> dict[Key, Row]:
        """Give the rows without those that were removed."""
        return {key: row for key, row in self._rows.items() if row is not None}

    def _read(self, after: int, upto: int) -> Iterator[Found]:
        buckets = (self._slice.low, self._slice.high)
        return self._events.read_slice(after, upto, self._projection.ignores, buckets)

    def _keyed(self, page: Iterator[Found]) -> Iterator[tuple[Key, Recorded[Event]]]:
        """Give event by event: a page of them taken apart at once is out of the caches again."""
        for position, envelope, bucket in page:
            recorded = decode(envelope, position)
            key = key_of(self._projection, recorded)
            if key not in self._rows:
                self._buckets[key] = bucket
            self._folded += 1
            yield key, recorded

    def _take(self, page: Iterable[tuple[Key, Recorded[Event]]]) -> None:
        """Take events into account; nothing being worked out once a page, rows change in place."""
        projection, rows = self._projection, self._rows
        if projection.finish is None:
            folded = fold_into(projection, {}, rows, page, self._parked)
        else:
            folded = fold_keyed(projection, rows, page, self._parked)
            rows |= folded.rows
        if folded.parkings:
            self._parked |= {parking.key for parking in folded.parkings}
            self._build.park(folded.parkings)

    def _is_time_to_save(self) -> bool:
        waited = time.monotonic() - self._saved_at
        return waited >= max(SAVE_SECONDS, SAVE_SHARE * self._saving_took)

    def _save(self) -> None:
        began = time.monotonic()
        self._build.save(self._slice, self._kept(), self._buckets, self.at)
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - began

    def _is_too_much(self) -> bool:
        return self._slice.low < self._slice.high and room(self._rows) > self._memory

    def _divide(self) -> None:
        """Go on with as many customers as there is room for; the others go on later from here.

        So many parts are made that each is expected to fit up to the target.
        """
        expected = MARGIN * room(self._rows) * self._build.target / self.at
        parts = min(
            ceil(expected / self._memory), PARTS_MAX, self._slice.high - self._slice.low + 1
        )
        self._slice = self._build.divide(
            self._slice, max(2, parts), self._kept(), self._buckets, self.at
        )
        high = self._slice.high
        self._rows = {k: row for k, row in self._rows.items() if self._buckets[k] <= high}
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket <= high}

    def _settled(self, unfit: dict[Key, str], fits: Fits) -> tuple[dict[Key, Row], list[Parking]]:
        """Take rows that cannot be written back to before the events that made them so."""
        rows: dict[Key, Row | None] = {}
        parkings: dict[Key, Parking] = {}
        for after in range(0, self._build.target, PAGE):
            upto = min(after + PAGE, self._build.target)
            for recorded in (decode(e, position) for position, e, _ in self._read(after, upto)):
                key = key_of(self._projection, recorded)
                if key not in unfit or key in parkings:
                    continue
                folded = fold(self._projection, rows, [recorded]).rows
                row = folded.get(key)
                if row is not None and not fits(key, row):
                    position, name = recorded.position, recorded.type
                    parkings[key] = Parking(key, position, name, unfit[key])
                else:
                    rows |= folded
        kept = {key: row for key, row in rows.items() if row is not None}
        return kept, list(parkings.values())


def room(rows: Mapping[Key, Row | None]) -> int:
    """Estimate how much memory rows take, from some of them."""
    some = list(islice(rows.values(), 100))
    if not some:
        return 0
    written = len(orjson.dumps(some, default=str)) / len(some)
    return int(len(rows) * written * PYTHON_FACTOR)
