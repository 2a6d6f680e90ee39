"""Where the items of an import come from: a file of CloudEvents, or rows and a mapping."""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import orjson

from api.files.lookups import read_lookups
from api.files.mapper import Mapper
from api.files.mapping import Mapping
from api.files.rows import Row, Rows, lines
from commands.ingest import Message
from domain.rejected import Rejected
from infra.store.refused import message_of

SUFFIXES_OF_ROWS = (".csv", ".tsv")


class Item(NamedTuple):
    """A message and the line that it comes from."""

    line: int
    message: Message


class Source:
    """The items of an open file, one after another."""

    def __init__(self) -> None:
        self.rows = 0
        self.skipped = 0
        self.empty = 0

    def __iter__(self) -> Iterator[Item]:
        raise NotImplementedError

    def close(self) -> None:
        """Give back what was needed for reading."""


class Events(Source):
    """One CloudEvent a line."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._lines = lines(file)

    def __iter__(self) -> Iterator[Item]:
        for line in self._lines:
            raw = line.raw.strip()
            if line.fault is not None:
                yield Item(line.number, Message(None, raw, line.fault))
            elif raw:
                yield Item(line.number, message_of(raw))
            self.rows += bool(raw)
            self.empty += not raw


class MappedRows(Source):
    """Rows, each of which gives the events that the mapping says.

    Raises `Rejected` at once when the mapping does not fit the file.
    """

    def __init__(self, file: BinaryIO, path: Path, mapping: Mapping, secret: bytes) -> None:
        super().__init__()
        self._rows, self._source = Rows(file, mapping.file), mapping.source
        lookups = read_lookups(mapping, path.parent)
        self._mapper = Mapper(mapping, self._rows.columns, lookups, secret)

    def __iter__(self) -> Iterator[Item]:
        for row in self._rows:
            self.rows += 1
            self.empty = self._rows.empty
            items = [Item(row.line, message) for message in self._messages(row)]
            self.skipped += not items
            yield from items
        self.empty = self._rows.empty

    def close(self) -> None:
        """Forget what was counted."""
        self._mapper.close()

    def _messages(self, row: Row) -> list[Message]:
        try:
            if row.fault is not None:
                raise row.fault
            events = self._mapper.messages(row.cells)
        except Rejected as no:
            known = {"source": self._source, "id": f"line {row.line}"}
            return [Message(known, row.raw.rstrip(b"\r\n"), no)]
        return [Message(event, orjson.dumps(event)) for event in events]


def source_of(file: BinaryIO, path: Path, mapping: Mapping | None, secret: bytes = b"") -> Source:
    """Give the items of a file. Raises `Rejected` when the mapping does not fit it."""
    if mapping is None and path.suffix.lower() in SUFFIXES_OF_ROWS:
        sentence = f"{path.name} holds rows: a mapping must say how they become events."
        raise Rejected("mapping.missing", sentence)
    return Events(file) if mapping is None else MappedRows(file, path, mapping, secret)
