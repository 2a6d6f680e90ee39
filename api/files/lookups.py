"""Second files of a mapping: small tables in which a value of a row is looked up."""

from pathlib import Path

from api.files.mapping import Lookup, Mapping
from api.files.rows import Row, Rows
from api.files.templates import Names, Scope, text_of
from domain.rejected import Rejected

Table = dict[str, dict[str, str]]
"""For each column of the file: its cell by the row's key."""


def read_lookups(mapping: Mapping, beside: Path) -> dict[str, Table]:
    """Read the second files; their paths are relative to the first file. Raises `Rejected`."""
    return {name: read_lookup(name, lookup, beside) for name, lookup in mapping.lookups.items()}


def read_lookup(name: str, lookup: Lookup, beside: Path) -> Table:
    """Read one; each of its rows must be whole and have a key of its own."""
    place = f"lookups.{name}"
    try:
        with (beside / lookup.file).open("rb") as file:
            rows = Rows(file, lookup)
            key = Names(rows.columns).get(lookup.key, f"{place}.key")
            by_key: dict[str, Row] = {}
            for row in rows:
                if row.fault is not None:
                    raise Rejected("lookup.broken", f"{place}: line {row.line}: {row.fault}")
                if by_key.setdefault(text_of(key(Scope(row.cells))), row) is not row:
                    sentence = f"{place}: line {row.line} has a key that was there before."
                    raise Rejected("lookup.ambiguous", sentence)
    except OSError as error:
        sentence = f"{place}: {lookup.file} cannot be read: {error.strerror}."
        raise Rejected("lookup.unreadable", sentence) from None
    return {
        column: {key_: row.cells[number] for key_, row in by_key.items()}
        for number, column in enumerate(rows.columns)
    }


def column_of(table: Table, column: str, place: str) -> dict[str, str]:
    """Give one column by the rows' keys. Raises `Rejected` when there is no such column."""
    if column not in table:
        known = ", ".join(table)
        sentence = f"{place}.take: the file has no column {column!r}; it has: {known}."
        raise Rejected("mapping.column_unknown", sentence)
    return table[column]
