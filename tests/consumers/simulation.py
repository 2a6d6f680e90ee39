"""A simulated system around the real loops: log, followers, rebuilds, readers, and what goes wrong.

What is real: applying, the chain of a topic, folding slices, and the rule of when a version may
serve. What is simulated: a database in memory, whose transactions happen or do not, and a world in
which processes crash at any point, pause, wake up too late, and records come twice or out of order.
"""

from collections.abc import Callable
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from random import Random
from zlib import crc32

import orjson

from consumers import follow, follow_kafka, rebuild
from infra import read_models
from infra.builds import Poison, Slice, TakenOver, ranges
from infra.envelope import decode
from infra.log import BUCKETS, Page
from infra.log_kafka import Link, Polled
from infra.read_models import NotLevel
from infra.tables import WHOLE_LOG, Key, Moved
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
        rows = self.system.versions.get(self.version)
        if rows is None:
            raise Moved
        self.token = rows.token
        return rows.checkpoints.get(partition, rows.checkpoints[WHOLE_LOG])

    def positions(self) -> dict[int, int]:
        return dict(self.system.versions[self.version].checkpoints)

    def published(self) -> list[int]:
        return self.system.published() if self.system.topic else []

    @contextmanager
    def transaction(self, after: int, upto: int, partition: int = WHOLE_LOG):
        with self.system.transaction(self.version) as rows:
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

    def write(self, rows, upto):
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


# ---- Processes -----------------------------------------------------------------------------------


class Builder:
    """A process that rebuilds; a crash takes it, a sleeping one may wake up when it is too late."""

    def __init__(self, system: System) -> None:
        self.system, self.work = system, None
        begun = [v for v, rows in system.versions.items() if rows.state == "building"]
        if begun:
            with system.transaction(begun[0]) as rows:
                rows.token += 1
            self.build = Build(system, begun[0])
        else:
            edges = sorted({0, *system.chance.choices(range(1, BUCKETS), k=2), BUCKETS})
            slices = [Slice(a, b - 1) for a, b in pairwise(edges)]
            version = max(system.versions) + 1
            system.versions[version] = Rows(
                state="building", checkpoints={}, target=len(system.log),
                slices={s.low: s for s in slices},
            )  # fmt: skip
            self.build = Build(system, version)

    def step(self) -> bool:
        """Do a little; True when the version was handed over."""
        rows = self.system.versions.get(self.build.table.version)
        if rows is None or rows.token != self.build.token:
            if self.work is None:
                raise TakenOver
        elif WHOLE_LOG in rows.checkpoints:
            return self._follow()
        if self.work is None:
            waiting = [s for s in self.build.slices() if not s.finished]
            if not waiting:
                self.build.complete()
                return False
            memory = self.system.chance.choice([500, 10**9])
            slice_ = self.system.chance.choice(waiting)
            self.work = rebuild.Work(self.system, self.build, slice_, memory)
        self._fold()
        return False

    def _fold(self) -> None:
        if self.work.at < self.build.target:
            self.work.fold_page()
        else:
            self.work.finish()
            self.work = None

    def _follow(self) -> bool:
        table = self.build.table
        table.position()
        table.token = self.build.token
        after = self.system.versions[table.version].checkpoints[WHOLE_LOG]
        page = self.system.read(after, 5, table.projection.ignores)
        if page.upto > after:
            follow.apply(table, WHOLE_LOG, after, page)
        if page.upto >= len(self.system.log):
            self.build.hand_over()
            return True
        return False


class Simulation:
    """One seed's life of a system."""

    def __init__(self, seed: int, table: Callable[[System, int], Table] = Table) -> None:
        self.system = System(seed, topic=seed % 2 == 1)
        self.table, self.builders = table, []
        self.shown: dict[int, int] = {}

    def run(self, steps: int = 120) -> None:
        for _ in range(steps):
            self._live()
        self.system.crashes = False
        self._come_to_rest()
        expected = self.system.expected()
        for version, rows in self.system.versions.items():
            if rows.rows != expected:
                raise Wrong(f"version {version} is not what happened")

    def _live(self) -> None:
        acts = [self._publish, self._follow, self._follow, self._build, self._build, self._pause,
                self._promote, self._sleep]  # fmt: skip
        try:
            self.system.chance.choice(acts)()
        except Crashed:
            self.builders = self.builders[1:]  # whoever slept still sleeps
        except (Moved, TakenOver, NotLevel, rebuild.Paused):
            pass
        self._read()

    def _read(self) -> None:
        """Ask how far the read model is: in no partition it ever goes back."""
        at = Table(self.system, self.system.serving()).positions()
        ends = self.system.published() if self.system.topic else [len(self.system.log)]
        for partition, end in enumerate(ends):
            chosen = partition if self.system.topic else WHOLE_LOG
            reached = min(end, at.get(chosen, at[WHOLE_LOG]))
            if reached < self.shown.get(partition, 0):
                raise Wrong(f"readers went back from {self.shown[partition]} to {reached}")
            self.shown[partition] = reached

    def _publish(self) -> None:
        self.system.publish()

    def _follow(self) -> None:
        for version, rows in list(self.system.versions.items()):
            if rows.state != "building" and not rows.paused:
                self._bring_forward(self.table(self.system, version))

    def _bring_forward(self, table: Table) -> None:
        chance, system = self.system.chance, self.system
        if not system.topic:
            after = table.position()
            page = system.read(after, chance.randint(1, 20), table.projection.ignores)
            if page.upto > after:
                follow.apply(table, WHOLE_LOG, after, page)
            return
        for partition in range(PARTITIONS):
            links = self._delivered(system.links(partition))
            if links:
                follow_kafka.take(table, partition, Polled(links, 0, len(links) - 1))

    def _delivered(self, links: list[Link]) -> list[Link]:
        """Some part of a partition: some of it a second time, some of it too early."""
        chance = self.system.chance
        begin = chance.randint(0, len(links))
        part = links[begin - begin // 2 : begin + chance.randint(1, 9)]
        if chance.random() < 0.3:
            part += chance.sample(part, len(part) // 2)
        if chance.random() < 0.2:
            chance.shuffle(part)
        return part

    def _build(self) -> None:
        if not self.builders:
            waits = any(rows.state == "built" for rows in self.system.versions.values())
            if not waits and self.system.chance.random() < 0.4:
                self.builders.append(Builder(self.system))
            return
        builder = self.system.chance.choice(self.builders)
        try:
            if builder.step():
                self.builders.remove(builder)
        except (TakenOver, Moved):
            self.builders.remove(builder)
            raise

    def _sleep(self) -> None:
        """A builder is believed dead and another one takes over; it may wake up any time."""
        building = any(rows.state == "building" for rows in self.system.versions.values())
        if building and len(self.builders) < 3:
            self.builders.insert(0, Builder(self.system))

    def _pause(self) -> None:
        version = self.system.chance.choice(list(self.system.versions))
        rows = self.system.versions[version]
        rows.paused = not rows.paused
        if rows.state != "building":
            rows.token += 1

    def _promote(self) -> None:
        built = [v for v, rows in self.system.versions.items() if rows.state == "built"]
        if not built:
            return
        new, old = built[0], self.system.serving()
        tables = [Table(self.system, version) for version in (new, old)]
        read_models.behind(*tables, may_lag=False)
        for version in [v for v, rows in self.system.versions.items() if rows.state == "kept"]:
            del self.system.versions[version]
        for version, state in ((old, "kept"), (new, "serving")):
            rows = self.system.versions[version]
            rows.state, rows.token, rows.paused = state, rows.token + 1, False

    def _come_to_rest(self) -> None:
        """No more crashes: everything is published, built and followed to the end."""
        while self.system.future:
            self.system.publish()
        for rows in self.system.versions.values():
            rows.paused = False
        if any(rows.state == "building" for rows in self.system.versions.values()):
            builder = Builder(self.system)
            while not builder.step():
                pass
        for version in self.system.versions:
            table = self.table(self.system, version)
            if not self.system.topic:
                while (after := table.position()) < len(self.system.log):
                    page = self.system.read(after, 50, table.projection.ignores)
                    follow.apply(table, WHOLE_LOG, after, page)
            else:
                for partition in range(PARTITIONS):
                    links = self.system.links(partition)
                    follow_kafka.take(table, partition, Polled(links, 0, len(links) - 1))
