"""Which partitions of a poll share a transaction."""

from hypothesis import given
from hypothesis import strategies as st

from consumers.follow import PART
from consumers.follow_kafka import together
from infra.kafka.log import Link, Polled


def polled(count: int) -> Polled:
    return Polled([Link(0, 0, "", b"")] * count, 0, max(0, count - 1))


def test_few_records_of_several_partitions_share_one():
    assert together({0: polled(3), 2: polled(1), 5: polled(PART - 4)}) == [[0, 2, 5]]


def test_nothing_that_came_is_nothing_to_do():
    assert together({}) == []


@given(st.lists(st.integers(0, 2 * PART), max_size=12))
def test_every_partition_is_taken_once_and_only_one_alone_may_be_large(counts):
    came = {partition: polled(count) for partition, count in enumerate(counts)}
    chosen = together(came)
    assert [partition for each in chosen for partition in each] == list(came)
    for each in chosen:
        assert len(each) == 1 or sum(counts[partition] for partition in each) <= PART
