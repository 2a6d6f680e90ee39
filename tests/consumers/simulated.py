"""What simulated processes live on: a log, a topic and rows, as the real loops see them."""

from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from random import Random
from zlib import crc32

import orjson

from consumers import follow
from infra.kafka.log import Link
from infra.read_models.builds import Poison, Slice, TakenOver, ranges
from infra.read_models.change import Key
from infra.read_models.tables import WHOLE_LOG, Moved, Step
from infra.store.envelope import decode
from infra.store.log import BUCKETS, Page
from projections.catalogue import ALL
from tests.strategies import story

PARTITIONS = 3
STORIES = 40


class Crashed(BaseException):
    """The process is gone, and all it had in memory."""


class Wrong(AssertionError):
    """Something that must never happen."""


@dataclass
class Rows:
    """What is safe of one version."""

    token: int = 1
    state: str = "serving"
    paused: bool = False
    rows: dict = field(default_factory=dict)
    checkpoints: dict = field(default_factory=lambda: {WHOLE_LOG: 0})
    parked: dict = field(default_factory=dict)
    target: int = 0
    slices: dict = field(default_factory=dict)
    saved: dict = field(default_factory=dict)


class System:
    """Everything that outlives a process."""

    def __init__(self, seed: int, *, topic: bool) -> None:
        self.chance, self.topic = Random(seed), topic
        self.projection = self.chance.choice(ALL)
        self.future, self.log = list(envelopes(seed % STORIES)), []
        self.versions: dict[int, Rows] = {1: Rows()}
        self.crashes = True

    def maybe_crash(self) -> None:
        if self.crashes and self.chance.random() < 0.04:
            raise Crashed

    @contextmanager
    def transaction(self, version: int):
        """Change a version, all or nothing; a crash may come before the commit or after it."""
        copy = deepcopy(self.versions[version])
        yield copy
        self.maybe_crash()
        self.versions[version] = copy
        self.maybe_crash()

    def publish(self) -> None:
        count = self.chance.randint(1, 9)
        self.log += self.future[:count]
        del self.future[:count]

    def read(self, after: int, limit: int, ignored) -> Page:
        upto = min(len(self.log), after + limit)
        return Page(
            [(p, e) for p, e, _ in self.read_slice(after, upto, ignored, ALL_BUCKETS)], upto
        )

    def read_slice(self, after: int, upto: int, ignored, buckets):
        low, high = buckets
        page = enumerate(self.log[after:upto], after + 1)
        found = [
            (p, e, bucket_of(subject)) for p, (e, subject, type_) in page if type_ not in ignored
        ]
        return [each for each in found if low <= each[2] <= high]

    def links(self, partition: int) -> list[Link]:
        """A partition of the topic, as a chain."""
        links, last = [], 0
        for position, (envelope, subject, type_) in enumerate(self.log, 1):
            if bucket_of(subject) % PARTITIONS == partition:
                links.append(Link(position, last, type_, envelope))
                last = position
        return links

    def published(self) -> list[int]:
        ends = [[link.position for link in self.links(p)] for p in range(PARTITIONS)]
        return [positions[-1] if positions else 0 for positions in ends]

    def serving(self) -> int:
        [version] = [v for v, rows in self.versions.items() if rows.state == "serving"]
        return version

    def expected(self) -> dict[Key, dict]:
        history = [decode(envelope, p) for p, (envelope, _, _) in enumerate(self.log, 1)]
        return follow.fold(self.projection, {}, history).rows


ALL_BUCKETS = (0, BUCKETS - 1)


def bucket_of(subject: str) -> int:
    return crc32(subject.encode()) % BUCKETS


@cache
def envelopes(seed: int) -> tuple[tuple[bytes, str, str], ...]:
    """What happened in a story; some of it came late."""
    world = story(seed, 25)
    world.history()
    parsed = [orjson.loads(envelope) for envelope in world.envelopes]
    return tuple(
        (envelope, each["subject"], each["type"])
        for envelope, each in zip(world.envelopes, parsed, strict=True)
    )


# ---- What the real loops see ---------------------------------------------------------------------


class Table:
    """One version, as a process sees it: with the token that it once read."""

    def __init__(self, system: System, version: int) -> None:
        self.system, self.version, self.projection = system, version, system.projection
        self.name, self.pool, self.token = f"simulated_v{version}", None, None

    def position(self, partition: int = WHOLE_LOG) -> int:
        return self.checkpoints([partition])[partition]

    def checkpoints(self, partitions) -> dict[int, int]:
        rows = self.system.versions.get(self.version)
        if rows is None:
            raise Moved
        self.token = rows.token
        return {p: rows.checkpoints.get(p, rows.checkpoints[WHOLE_LOG]) for p in partitions}

    def positions(self) -> dict[int, int]:
        return dict(self.system.versions[self.version].checkpoints)

    def published(self) -> list[int]:
        return self.system.published() if self.system.topic else []

    @contextmanager
    def transaction(self, *steps: Step):
        with self.system.transaction(self.version) as rows:
            for after, upto, partition in steps:
                at = rows.checkpoints.get(partition, rows.checkpoints[WHOLE_LOG])
                if at != after or rows.paused or rows.token != self.token:
                    raise Moved
                rows.checkpoints[partition] = upto
            yield Change(rows)


class Change:
    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def rows(self, keys):
        return {key: self._rows.rows[key] for key in keys if key in self._rows.rows}

    def write(self, rows, removed):
        for key, row in rows.items():
            if row is None:
                self._rows.rows.pop(key, None)
            else:
                self._rows.rows[key] = row
        return {}

    def parked(self):
        return set(self._rows.parked)

    def park(self, parkings):
        for parking in parkings:
            self._rows.parked.setdefault(parking.key, parking)


class Build:
    """A version being built, as the process that builds it sees it."""

    def __init__(self, system: System, version: int) -> None:
        self.system, self.table = system, Table(system, version)
        rows = system.versions[version]
        self.token, self.target = rows.token, rows.target

    @contextmanager
    def _transaction(self):
        if self.table.version not in self.system.versions:
            raise TakenOver
        with self.system.transaction(self.table.version) as rows:
            if rows.token != self.token:
                raise TakenOver
            yield rows

    def slices(self):
        return list(self.system.versions[self.table.version].slices.values())

    def note(self, slice_, seen, events):
        with self._transaction() as rows:
            return rows.paused

    def divide(self, slice_, parts, rows, buckets, at):
        (_, high), *others = ranges(slice_.low, slice_.high, parts)
        lower = slice_._replace(high=high, saved=0)
        with self._transaction() as safe:
            safe.slices[slice_.low] = lower
            safe.saved.pop(slice_.low, None)
            for low, top in others:
                its = {key: row for key, row in rows.items() if low <= buckets[key] <= top}
                safe.slices[low] = Slice(low, top, saved=at)
                safe.saved[low] = (its, dict(buckets))
        return lower

    def save(self, slice_, rows, buckets, at):
        with self._transaction() as safe:
            safe.saved[slice_.low] = (dict(rows), dict(buckets))
            safe.slices[slice_.low] = slice_._replace(saved=at)

    def load(self, slice_):
        if not slice_.saved:
            return {}, {}
        rows, buckets = self.system.versions[self.table.version].saved[slice_.low]
        return dict(rows), dict(buckets)

    def finish(self, slice_, rows, settled):
        with self._transaction() as safe:
            safe.rows.update(rows)
            safe.slices[slice_.low] = slice_._replace(finished=True)

    def park(self, parkings):
        with self._transaction() as rows:
            Change(rows).park(parkings)

    def parked(self):
        parked = self.system.versions[self.table.version].parked.values()
        return [Poison(*p.key, p.position, p.type, p.reason, None) for p in parked]

    def complete(self):
        with self._transaction() as rows:
            rows.checkpoints = {WHOLE_LOG: self.target}

    def hand_over(self):
        with self._transaction() as rows:
            rows.state, rows.token = "built", rows.token + 1
