"""Does the topic hold what the store holds? Read from its beginning, hashed, and compared."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256

from kafka import KafkaConsumer, TopicPartition

from infra.database import Pool
from infra.kafka.log import Link, continue_chain, link_of
from infra.kafka.published import last_positions

FOUND_MAX = 20
"""How many positions are told of each kind of difference."""


@dataclass(slots=True)
class Comparison:
    """What was found. `complete` is true when every event is there, in order and unaltered."""

    records: int = 0
    events: int = 0
    repeated: int = 0
    first: int = 0
    last: int = 0
    missing_before: list[int] = field(default_factory=list)
    """Positions of records before which a part of the log is missing."""
    missing_after: dict[int, int] = field(default_factory=dict)
    """Partitions that end too early, and the position that each ends at."""
    altered: list[int] = field(default_factory=list)
    """Positions whose record is not the stored event."""

    @property
    def complete(self) -> bool:
        """Tell whether there is no difference."""
        return not (self.missing_before or self.missing_after or self.altered)


def compare(
    pool: Pool, bootstrap: str, topic: str, progress: Callable[[int], None] = lambda _: None
) -> Comparison:
    """Compare a topic with the store, up to what was published when the comparison began."""
    published = last_positions(pool, topic)
    at = [0] * len(published)
    found = Comparison()
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, max_poll_records=5_000)
    try:
        parts = [TopicPartition(topic, number) for number in range(len(published))]
        consumer.assign(parts)
        consumer.seek_to_beginning(*parts)
        ends = consumer.end_offsets(parts)
        while any(consumer.position(part) < ends[part] for part in parts):
            for part, records in consumer.poll(timeout_ms=1000).items():
                at[part.partition] = look(
                    found, pool, list(map(link_of, records)), at[part.partition]
                )
                progress(found.records)
    finally:
        consumer.close(autocommit=False)
    found.last = max(at, default=0)
    found.missing_after = {n: at[n] for n, last in enumerate(published) if at[n] < last}
    return found


def look(found: Comparison, pool: Pool, links: list[Link], after: int) -> int:
    """Take some records of a partition into account; gives where its chain stands then."""
    chain = continue_chain(links, after)
    found.records += len(links)
    found.events += len(chain.links)
    found.repeated += chain.repeated
    if chain.links and (found.first == 0 or chain.links[0].position < found.first):
        found.first = chain.links[0].position
    if chain.ahead:
        missing = [link.position for link in links if link.previous > chain.upto]
        found.missing_before += missing[: FOUND_MAX - len(found.missing_before)]
    leaves = stored_leaves(pool, [link.position for link in links])
    altered = [link.position for link in links if leaf_of(link) != leaves.get(link.position)]
    found.altered += altered[: FOUND_MAX - len(found.altered)]
    return chain.upto


def leaf_of(link: Link) -> bytes:
    """Hash a record as a leaf of the log's Merkle tree (RFC 6962, section 2.1)."""
    return sha256(b"\x00" + link.value).digest()


def stored_leaves(pool: Pool, positions: list[int]) -> dict[int, bytes]:
    """Give the leaves of some positions."""
    query = "SELECT position, leaf FROM crm.log WHERE position = ANY(%s)"
    with pool.connection() as conn:
        return dict(conn.execute(query, [positions], binary=True).fetchall())
