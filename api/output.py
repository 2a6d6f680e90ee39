"""How answers look: aligned text for people, one JSON document for programs."""

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from rich.cells import cell_len, set_cell_size
from rich.console import Console

NOTHING = "–"
EMPTY: tuple[object, ...] = (None, "", {}, [], ())
WIDTH_MAX = 60
"""How wide a column may be on a terminal; elsewhere nothing is cut."""
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$")

Row = Mapping[str, Any]


def print_json(answer: object) -> None:
    """Print one JSON document."""
    text = orjson.dumps(answer, default=plain, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
    sys.stdout.write(text.decode() + "\n")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], empty: str, limit: int = 0
) -> None:
    """Print rows under their columns, numbers to the right; `empty` when there are none.

    As many rows as the `limit` that was asked for may not be all there are: that is told.
    """
    cells = [[text(value) for value in row] for row in rows]
    if not cells:
        print_line(empty)
        return
    right = [all(is_number(cell) for cell in column) for column in zip(*cells, strict=True)]
    widths = [
        min(max(map(cell_len, column)), WIDTH_MAX if sys.stdout.isatty() else sys.maxsize)
        for column in zip(columns, *cells, strict=True)
    ]
    print_line(laid_out(columns, widths, right), style="bold")
    for row in cells:
        print_line(laid_out(row, widths, right))
    if len(cells) == limit:
        print_line(f"These are the first {limit:,}; --limit shows more.")


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Print names and values below one another; a value may have several lines."""
    pairs = [(name, lines(value)) for name, value in fields]
    width = max((cell_len(name) for name, _ in pairs), default=0)
    for name, values in pairs:
        for number, value in enumerate(values):
            label = name if number == 0 else ""
            print_line(f"{set_cell_size(label, width)}  {value}")


def print_line(line: str, style: str | None = None) -> None:
    """Print a line as it is, without the blanks at its end."""
    Console(highlight=False, soft_wrap=True).print(line.rstrip(), style=style, markup=False)


def laid_out(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    """Lay a row out in columns."""
    return "  ".join(
        " " * (width - cell_len(cell)) + cell if to_the_right else fitted(cell, width)
        for cell, width, to_the_right in zip(row, widths, right, strict=True)
    )


def fitted(cell: str, width: int) -> str:
    """Cut or fill a cell to its width."""
    if cell_len(cell) > width:
        return set_cell_size(cell, width - 1) + "…"
    return set_cell_size(cell, width)


def lines(value: object) -> list[str]:
    """Tell a value in as many lines as it has parts."""
    if isinstance(value, dict):
        told = [f"{text(name)} {text(held)}".rstrip() for name, held in value.items()]
    elif isinstance(value, (list, tuple)):
        told = [item(held) for held in value]
    else:
        told = [text(value)]
    return told or [NOTHING]


def item(value: object) -> str:
    """Tell one of several values of the same kind: their names would only repeat."""
    if not isinstance(value, dict) or "redacted" in value:
        return text(value)
    return " ".join(text(held) for held in value.values() if held not in EMPTY)


def text(value: object) -> str:
    """Tell a value in one line; nothing in it can steer the terminal."""
    if value in EMPTY:
        return NOTHING
    match value:
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case datetime():
            return when(value)
        case {"redacted": str(reason)}:
            return f"[{reason}]"
        case dict():
            return ", ".join(f"{text(name)} {text(held)}" for name, held in value.items())
        case list() | tuple():
            return ", ".join(map(text, value))
        case str() if INSTANT.match(value):
            return when(datetime.fromisoformat(value))
        case _:
            return "".join(c if c.isprintable() else " " for c in str(value))


def when(at: datetime) -> str:
    """Tell an instant to the second; it is UTC, as everything is."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def is_number(cell: str) -> bool:
    """Tell whether a cell goes to the right of its column."""
    return cell == NOTHING or cell.replace(",", "").replace(".", "").lstrip("-").isdigit()


def plain(value: object) -> object:
    """Give a value as JSON knows it."""
    if hasattr(value, "_asdict"):
        return value._asdict()
    return str(value)
