"""A follower on Kafka: one member of a group that brings a read model forward along the topic."""

import threading
import time
from collections.abc import Mapping

import structlog

from consumers.follow import PART, apply
from consumers.loop import run
from infra.kafka.log import Chain, KafkaLog, Polled, continue_chain
from infra.kafka.log_search import offset_after
from infra.kafka.published import last_positions
from infra.read_models.tables import Moved, Step, Table
from infra.store.log import Page

POLL_SECONDS = 0.2
DOUBT_SECONDS = 3.0
"""How long a partition may stand still behind what was published before it is read again."""

log = structlog.get_logger()


def follow_kafka(events: KafkaLog, table: Table, stop: threading.Event) -> None:
    """Apply what continues each partition's chain, drop repetitions, and mend gaps."""
    doubts = Doubts(events, table)

    def step() -> bool:
        began = time.monotonic()
        not_taken = events.gather(POLL_SECONDS)
        doubts.waited += min(POLL_SECONDS, time.monotonic() - began)  # beyond, it was at work
        try:
            for partitions in together(not_taken):
                came = {partition: not_taken[partition] for partition in partitions}
                doubts.note(came, take(table, came))
                for partition in partitions:
                    del not_taken[partition]
        except Moved as moved:
            log.warning("follower.moved", projection=table.name, reason=str(moved))
        finally:
            for partition, records in not_taken.items():
                events.rewind(partition, records.first)
        doubts.look()
        return True

    run(f"follower {table.name}", step, stop)
    events.close()


def together(came: Mapping[int, Polled]) -> list[list[int]]:
    """Choose which partitions are taken into account in one transaction: few records, or one."""
    chosen: list[list[int]] = []
    room = 0
    for partition, records in came.items():
        if not chosen or len(records.links) > room:
            chosen.append([])
            room = PART
        chosen[-1].append(partition)
        room -= len(records.links)
    return chosen


def take(table: Table, came: Mapping[int, Polled]) -> dict[int, Chain]:
    """Take what came of some partitions into account, as far as it continues each one's chain."""
    afters = table.checkpoints(came)
    chains = {p: continue_chain(records.links, afters[p]) for p, records in came.items()}
    steps = [Step(afters[p], chain.upto, p) for p, chain in chains.items() if chain.links]
    if steps:
        ignored = table.projection.ignores
        wanted = [
            (link.position, link.value)
            for chain in chains.values()
            for link in chain.links
            if link.type not in ignored
        ]
        apply(table, steps, Page(sorted(wanted), max(step.upto for step in steps)))
    return chains


class Doubts:
    """Notices that a partition does not go on although it should, and has it read again.

    Its clock goes only while records are waited for: whoever is slow to apply what has come is
    busy, not without news.

    Something is missing when records are ahead of the chain, or when nothing comes although more
    was published. Group offsets may have been moved, the topic recreated, a relay interrupted.
    First it is read again from the last record that was in order; if that is not where the chain
    stands, or does not help, from where the topic goes on; if that is nowhere, from its beginning.
    """

    def __init__(self, events: KafkaLog, table: Table) -> None:
        self._events, self._table = events, table
        self._quiet_since: dict[int, float] = {}
        self._in_order: dict[int, tuple[int, int]] = {}
        self._rewound: dict[int, tuple[int, float]] = {}
        self.waited = self._looked = 0.0

    def note(self, came: Mapping[int, Polled], chains: Mapping[int, Chain]) -> None:
        """Take note of what came of some partitions."""
        read = {partition: records.last for partition, records in came.items()}
        for partition, chain in chains.items():
            self._quiet_since[partition] = self.waited
            if chain.ahead:
                del read[partition]
                self._rewind(partition, chain.upto, "a part of the log is missing before a record")
            else:
                self._in_order[partition] = chain.upto, read[partition]
        self._events.hint(read)

    def look(self) -> None:
        """Look, once in a while, whether a quiet partition has been read to its end."""
        now = self.waited
        if now - self._looked < DOUBT_SECONDS / 3:
            return
        self._looked = now
        published, ours = last_positions(self._table.pool, self._events.topic), self._partitions()
        for partition in ours:
            quiet = now - self._quiet_since.setdefault(partition, now) > DOUBT_SECONDS
            if quiet and partition < len(published):
                at = self._table.position(partition)
                if at < published[partition]:
                    self._rewind(partition, at, "nothing comes although more was published")

    def _partitions(self) -> set[int]:
        """Give the partitions that are ours; what was known of others is old when they return."""
        ours = self._events.partitions()
        for known in (self._quiet_since, self._in_order, self._rewound):
            for partition in known.keys() - ours:
                del known[partition]
        return ours

    def _rewind(self, partition: int, at: int, reason: str) -> None:
        rewound_at, when = self._rewound.get(partition, (-1, 0.0))
        again = rewound_at == at
        if again and self.waited - when < DOUBT_SECONDS:
            return
        offset = self._going_on(partition, at, again)
        told = log.error if again and offset is None else log.warning
        told("follower.rewound", projection=self._table.name, partition=partition, position=at,
             reason=reason)  # fmt: skip
        self._rewound[partition] = (at, self.waited)
        self._events.rewind(partition, offset)

    def _going_on(self, partition: int, at: int, again: bool) -> int | None:
        """Tell from which offset on it is to be read; None is the beginning."""
        upto, offset = self._in_order.get(partition, (-1, 0))
        if upto == at and not again:
            return offset
        return offset_after(self._events.bootstrap, self._events.topic, partition, at)
