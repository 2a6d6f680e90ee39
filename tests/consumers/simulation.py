"""A simulated system around the real loops: log, followers, rebuilds, readers, and what goes wrong.

What is real: applying, the chain of a topic, folding slices, and the rule of when a version may
serve. What is simulated: a database in memory, whose transactions happen or do not, and a world in
which processes crash at any point, pause, wake up too late, and records come twice or out of order.
"""

from collections.abc import Callable
from itertools import pairwise

from consumers import follow, follow_kafka, rebuild
from infra.kafka.log import Link, Polled
from infra.read_models import versions as read_models
from infra.read_models.builds import Slice, TakenOver
from infra.read_models.tables import WHOLE_LOG, Moved, Step
from infra.read_models.versions import NotLevel
from infra.store.log import BUCKETS
from tests.consumers.simulated import (
    PARTITIONS,
    Build,
    Crashed,
    Rows,
    System,
    Table,
    Wrong,
)


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
            follow.apply(table, [Step(after, page.upto)], page)
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
                follow.apply(table, [Step(after, page.upto)], page)
            return
        for partitions in chance.choice(([[0], [1], [2]], [[0, 1, 2]], [[2, 0]])):
            came = {p: self._delivered(system.links(p)) for p in partitions}
            take({p: links for p, links in came.items() if links}, table)

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
                    follow.apply(table, [Step(after, page.upto)], page)
            else:
                take({p: self.system.links(p) for p in range(PARTITIONS)}, table)


def take(came: dict[int, list[Link]], table: Table) -> None:
    """Let a follower take in what came of some partitions."""
    if came:
        records = {p: Polled(links, 0, len(links) - 1) for p, links in came.items()}
        follow_kafka.take(table, records)
