"""The rows of a text file, one after another and in little memory, each with its line number.

A broken row never hides another: it comes as a fault, and reading goes on at the next line.
"""

import codecs
import csv
import json
from collections import deque
from collections.abc import Iterator
from itertools import accumulate, chain, pairwise
from typing import Annotated, Any, BinaryIO, Literal, NamedTuple, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.rejected import Rejected

LINE_BYTES_MAX = 1 << 20
RECORD_LINES_MAX = 200
"""How many lines a quoted text may run over before its quote counts as never closed."""

FAULT_BYTES_MAX = 1 << 16
"""How much of a line that is too long is kept."""


class Model(BaseModel):
    """A part of a mapping: what it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def known_encoding(name: str) -> str:
    """Check that lines can be told apart before they are decoded."""
    try:
        plain = codecs.encode("a\n", name) == b"a\n"
    except LookupError:
        raise ValueError(f"there is no encoding {name!r}") from None
    if not plain:
        raise ValueError(f"{name} does not keep ASCII as it is: convert the file to utf-8 first")
    return codecs.lookup(name).name


Character = Annotated[str, Field(min_length=1, max_length=1)]


class Layout(Model):
    """The form of a file: how its lines fall into cells, and how its columns are named."""

    format: Literal["csv", "whitespace", "fixed", "ndjson"] = "csv"
    encoding: Annotated[str, AfterValidator(known_encoding)] = "utf-8"
    delimiter: Character = ","
    quote: Annotated[str, Field(max_length=1)] = '"'
    escape: Annotated[str, Field(max_length=1)] = ""
    header: bool = True
    columns: tuple[str, ...] = ()
    widths: tuple[Annotated[int, Field(ge=1)], ...] = ()
    skip_lines: Annotated[int, Field(ge=0)] = 0
    comment: str = ""
    ragged: bool = False

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.format in ("fixed", "ndjson") and not self.columns:
            raise ValueError(f"format = '{self.format}' needs `columns`")
        if (self.format == "fixed") != bool(self.widths):
            raise ValueError("`widths` belongs to format = 'fixed', and only to it")
        if self.format == "fixed" and len(self.widths) != len(self.columns):
            raise ValueError("`widths` and `columns` must be of the same number")
        return self


class Line(NamedTuple):
    """A line as it came, and its text unless it cannot be had."""

    number: int
    raw: bytes
    text: str = ""
    fault: Rejected | None = None


class Row(NamedTuple):
    """A row's cells, or why it has none; `line` is where it begins, `raw` what it was."""

    line: int
    raw: bytes
    cells: list[str]
    fault: Rejected | None = None


class Rows:
    """The rows of an open file. `columns` are known from the start, before the first row is read.

    Raises `Rejected` when the file has no header, or one that does not fit the layout.
    """

    def __init__(self, file: BinaryIO, layout: Layout) -> None:
        self.layout, self.empty = layout, 0
        self._lines = lines(file, layout.encoding)
        self._again: deque[Line] = deque()
        for _ in range(layout.skip_lines):
            next(self._lines, None)
        self._first: list[Row] = []
        self.columns = list(layout.columns)
        if layout.format != "ndjson" and (layout.header or not layout.columns):
            self.columns = self._named(self._read_first())

    def __iter__(self) -> Iterator[Row]:
        for row in chain(self._first, self._records()):
            if row.fault is not None or len(row.cells) == len(self.columns):
                yield row
            else:
                yield self._fitted(row)

    def _read_first(self) -> Row:
        first = next(self._records(), None)
        if first is None:
            raise Rejected("file.empty", "The file is empty: there is not even a first line.")
        if first.fault is not None:
            sentence = f"Line {first.line}, the first, is broken: {first.fault}"
            raise Rejected("file.header", sentence)
        return first

    def _named(self, first: Row) -> list[str]:
        """Name the columns: as the header does, as the layout does, or by their numbers only."""
        if not self.layout.header:
            self._first = [first]
            return [""] * len(first.cells)
        names = list(self.layout.columns) or first.cells
        if self.layout.format != "fixed" and len(names) != len(first.cells):
            raise Rejected(
                "file.header",
                f"The mapping names {len(names)} columns, the header has {len(first.cells)}.",
            )
        return names

    def _records(self) -> Iterator[Row]:
        """Give the rows whatever their number of cells."""
        comment = self.layout.comment
        while (line := self._next()) is not None:
            if line.fault is not None:
                yield Row(line.number, line.raw, [], line.fault)
            elif not line.text or line.text.isspace():
                self.empty += 1
            elif not (comment and line.text.startswith(comment)):
                yield self._record(line)

    def _record(self, line: Line) -> Row:
        match self.layout.format:
            case "csv":
                return self._csv(line)
            case "whitespace":
                return Row(line.number, line.raw, line.text.split())
            case "fixed":
                return Row(line.number, line.raw, self._cut(line.text))
            case "ndjson":
                return self._object(line)

    def _csv(self, first: Line) -> Row:
        """Read a record, which may go on over the next lines inside of a quoted text."""
        taken: list[Line] = []
        layout = self.layout
        reader = csv.reader(
            self._feed(first, taken),
            delimiter=layout.delimiter,
            quotechar=layout.quote or None,
            quoting=csv.QUOTE_MINIMAL if layout.quote else csv.QUOTE_NONE,
            escapechar=layout.escape or None,
            skipinitialspace=layout.delimiter != " ",
            strict=True,
        )
        try:
            cells = next(reader)
        except csv.Error as error:
            self._again.extendleft(reversed(taken[1:]))
            fault = Rejected("row.broken", f"The row is not valid CSV: {error}.")
            return Row(first.number, first.raw, [], fault)
        raw = first.raw if len(taken) == 1 else b"".join(line.raw for line in taken)
        return Row(first.number, raw, [cell.strip() for cell in cells])

    def _feed(self, first: Line, taken: list[Line]) -> Iterator[str]:
        line: Line | None = first
        while line is not None and len(taken) < RECORD_LINES_MAX:
            taken.append(line)
            if line.fault is not None:
                return
            yield line.text
            line = self._next()
        if line is not None:
            self._again.appendleft(line)

    def _cut(self, text: str) -> list[str]:
        """Cut a line at fixed places; one that is too short has empty cells at its end."""
        text = text.rstrip()
        edges = [*accumulate(self.layout.widths, initial=0)]
        cells = [text[start:end].strip() for start, end in pairwise(edges)]
        rest = text[edges[-1] :]
        return [*cells, rest] if rest else cells

    def _object(self, line: Line) -> Row:
        """Take the members of a JSON object that are named; numbers stay as they are written."""
        try:
            parsed = json.loads(line.text, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            parsed = None
        if not isinstance(parsed, dict):
            fault = Rejected("row.broken", "The row is not a JSON object.")
            return Row(line.number, line.raw, [], fault)
        return Row(line.number, line.raw, [member(parsed, name) for name in self.layout.columns])

    def _fitted(self, row: Row) -> Row:
        """Make a row fit that has too few or too many cells, if the layout lets it."""
        wanted = len(self.columns)
        if self.layout.ragged and not any(row.cells[wanted:]):
            missing = wanted - len(row.cells)
            return row._replace(cells=row.cells[:wanted] + [""] * missing)
        sentence = f"The row has {len(row.cells)} cells where {wanted} are expected."
        return Row(row.line, row.raw, [], Rejected("row.columns", sentence))

    def _next(self) -> Line | None:
        return self._again.popleft() if self._again else next(self._lines, None)


def member(parsed: Any, name: str) -> str:  # noqa: ANN401 - whatever JSON can say
    """Give a member of an object as text, or one of an object in it: `customer.id`."""
    for part in [name] if name in parsed else name.split("."):
        parsed = parsed.get(part) if isinstance(parsed, dict) else None
    if isinstance(parsed, str):
        return parsed.strip()
    return "" if parsed is None else json.dumps(parsed)


def lines(file: BinaryIO, encoding: str = "utf-8") -> Iterator[Line]:
    """Give the lines of a file; one that is too long or cannot be decoded comes as a fault."""
    number = 0
    while raw := file.readline(LINE_BYTES_MAX):
        number += 1
        if number == 1 and encoding == "utf-8":
            raw = raw.removeprefix(codecs.BOM_UTF8)
        if len(raw) == LINE_BYTES_MAX and not raw.endswith(b"\n"):
            pass_over_line(file)
            sentence = f"The line is longer than {LINE_BYTES_MAX:,} bytes."
            yield Line(number, raw[:FAULT_BYTES_MAX], fault=Rejected("row.too_long", sentence))
            continue
        try:
            yield Line(number, raw, raw.decode(encoding))
        except UnicodeDecodeError as error:
            sentence = f"Byte {error.start + 1} of the line is not {encoding}."
            yield Line(number, raw, fault=Rejected("row.undecodable", sentence))


def pass_over_line(file: BinaryIO) -> None:
    """Read to the end of the line and forget it."""
    while (rest := file.readline(LINE_BYTES_MAX)) and not rest.endswith(b"\n"):
        pass
