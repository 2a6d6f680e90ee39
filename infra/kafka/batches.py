"""Record batches from a broker, read about four times as fast as the client reads them.

`kafka-python` makes a call for every number of a record and takes every header apart. Here it is
one loop over the bytes of a batch, and headers wait until somebody asks for them. All else stays
the client's: fetching, offsets, checksums, compression, what transactions aborted.

It reaches into the client, where nobody promises that things stay as they are. So it is used with
the versions that it was compared with, record by record (tests/kafka/test_batches.py); any other
reads by itself, which gives the same and takes longer.
"""

from collections.abc import Iterator
from itertools import dropwhile
from typing import Any, NamedTuple

import structlog
from kafka import KafkaConsumer, __version__
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record.util import decode_varint

KNOWN = "3.0."
"""The versions of the client whose insides are known."""

Header = tuple[str, bytes | None]
Theirs = Any
"""An object of the client's, which has no public type."""

log = structlog.get_logger()


class Raw(NamedTuple):
    """A record as it came. The client's own has the same, and `headers` ready made."""

    offset: int
    key: bytes | None
    value: bytes | None
    packed: bytes
    """Its headers, their number first."""

    @property
    def headers(self) -> list[Header]:
        """Take the headers apart. Raises `CorruptRecordError`."""
        return headers_of(self.packed)


def read_quickly(consumer: KafkaConsumer, version: str = __version__) -> bool:
    """Have a consumer read its batches with `read`; False if it is not a client that we know."""
    if not version.startswith(KNOWN):
        log.warning("kafka.client_unknown", version=version, known=f"{KNOWN}x")
        return False
    consumer._fetcher.PartitionRecords = part_of_an_answer
    return True


def part_of_an_answer(offset: int, partition: Theirs, records: Theirs, **given: Theirs) -> Theirs:
    """Make what the client makes of the records of a partition, with our iterator in it."""
    made = Fetcher.PartitionRecords(offset, partition, records, **given)
    made.record_iterator = dropwhile(made._maybe_skip_record, unpack(made, records))
    return made


def unpack(made: Theirs, records: Theirs) -> Iterator[Raw]:
    """Give the records that a reader is to see, and keep the offset to go on from.

    However it ends, nothing is left to be taken: the client would ask an iterator that has failed
    for more, for ever. What could not be read is fetched again.
    """
    try:
        while (batch := records.next_batch()) is not None:
            if batch.magic != 2 or not batch.validate_crc():
                raise CorruptRecordError(f"The batch at {batch.base_offset} is not as it was sent.")
            made.leader_epoch = batch.leader_epoch
            made.bytes_read += batch.size_in_bytes
            if not hidden(made, batch):
                for record in read(batch):
                    made.next_fetch_offset = record.offset + 1
                    yield record
                made.records_read += batch.records_count
            made.next_fetch_offset = batch.next_offset  # its last records may be compacted away
    finally:
        made.drain()


def hidden(made: Theirs, batch: Theirs) -> bool:
    """Tell whether a batch is not for readers: it was aborted, or is a mark of a transaction."""
    if made.isolation_level == IsolationLevel.READ_COMMITTED and batch.has_producer_id():
        made._consume_aborted_transactions_up_to(batch.last_offset)
        if made._contains_abort_marker(batch):
            made.aborted_producer_ids.discard(batch.producer_id)
        elif made._is_batch_aborted(batch):
            return True
    return bool(batch.is_control_batch)


def read(batch: Theirs) -> Iterator[Raw]:
    """Read the records of a batch (message format 2). Raises `CorruptRecordError`."""
    iter(batch)  # decompresses it
    data, at, base = bytes(batch._buffer), batch._pos, batch.base_offset
    try:
        for _ in range(batch.records_count):
            size, start = varint(data, at)
            _, at = varint(data, start)  # its attributes: there are none
            _, at = varint(data, at)  # its time
            delta, at = varint(data, at)
            key, at = piece(data, at)
            value, at = piece(data, at)
            end = start + size
            if not at < end <= len(data):
                raise CorruptRecordError(f"A record of the batch at {base} has another length.")
            yield Raw(base + delta, key, value, data[at:end])
            at = end
    except (ValueError, IndexError) as error:
        raise CorruptRecordError(f"A record of the batch at {base} cannot be read.") from error
    if at != len(data):
        raise CorruptRecordError(f"The batch at {base} has more in it than its records.")


def headers_of(packed: bytes) -> list[Header]:
    """Take headers apart. Raises `CorruptRecordError`."""
    headers: list[Header] = []
    try:
        count, at = varint(packed, 0)
        for _ in range(count):
            name, at = piece(packed, at)
            value, at = piece(packed, at)
            if name is None:
                raise CorruptRecordError("A header has no name.")
            headers.append((name.decode(), value))
    except (ValueError, IndexError) as error:
        raise CorruptRecordError("A header cannot be read.") from error
    if count < 0 or at != len(packed):
        raise CorruptRecordError("A record has more or less in it than its headers.")
    return headers


def piece(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Read bytes that follow their own length, and where they end; below zero means none."""
    size, at = varint(data, at)
    if size < 0:
        return None, at
    return data[at : at + size], at + size


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number, and where it ends; most have one or two bytes."""
    low = data[at]
    if low < 0x80:
        return (low >> 1) ^ -(low & 1), at + 1
    high = data[at + 1]
    if high < 0x80:
        number = low & 0x7F | high << 7
        return (number >> 1) ^ -(number & 1), at + 2
    number, at = decode_varint(data, at)
    return int(number), int(at)
