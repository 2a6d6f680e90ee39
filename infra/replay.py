"""What was known of a customer at an instant, by whom, and what changed between two."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import NamedTuple

from infra.audit_export import readable
from infra.reader import Reader
from projections.projection import Row

AFTER = timedelta(microseconds=1)
PAGE = 1_000
HIDDEN = ("position", "merged")


class Replay(NamedTuple):
    """A customer as of an instant, and the events that it is made of."""

    customer: Row | None
    events: list[Row]


class Difference(NamedTuple):
    """Something that is not the same at two instants."""

    what: str
    before: object
    after: object


def replay(
    reader: Reader,
    tenant: str,
    id_: str,
    known_at: datetime | None = None,
    effective_at: datetime | None = None,
) -> Replay:
    """Tell what was known by one instant of the time up to the other."""
    customer = reader.customer(tenant, id_, recorded_at=known_at, effective_at=effective_at)
    known_before = known_at and known_at + AFTER
    effective_before = effective_at and effective_at + AFTER
    events: list[Row] = []
    after: str | None = ""
    while after is not None:
        page = reader.history(
            tenant, id_, after=after, limit=PAGE,
            recorded_before=known_before, effective_before=effective_before, rectified=True,
        )  # fmt: skip
        events += page.items if page else []
        after = page.next if page else None
    return Replay(customer, events)


def differences(before: Row | None, after: Row | None) -> list[Difference]:
    """Tell what is not the same in two states of a customer."""
    one, other = dict(flat("", before or {})), dict(flat("", after or {}))
    return [
        Difference(name, one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Give the parts of a row by their paths."""
    if isinstance(value, dict) and value and "redacted" not in value:
        for inner, held in value.items():
            if inner not in HIDDEN:
                yield from flat(f"{name}.{inner}" if name else inner, held)
    elif isinstance(value, list) and value:
        for number, held in enumerate(value, 1):
            yield from flat(f"{name}.{number}", held)
    elif value not in (None, {}, []):
        yield name, value


STYLE = "body{font:14px/1.5 sans-serif;margin:2em}td,th{text-align:left;padding:0 1em .3em 0}"


Section = tuple[str, Sequence[str], Sequence[Sequence[object]]]
"""A heading, the columns, and the rows."""


def page(title: str, sections: Sequence[Section]) -> str:
    """Lay tables out as a page for people."""
    parts = [
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>",
    ]
    for heading, columns, rows in sections:
        parts.append(f"<h2>{escape(heading)}</h2><table><tr>")
        parts += [f"<th>{escape(column)}" for column in columns]
        for row in rows:
            parts.append("\n<tr>")
            parts += [f"<td>{escape(cell(value))}" for value in row]
        parts.append("</table>")
    return "".join(parts) + "\n</html>\n"


def cell(value: object) -> str:
    """Tell a value in a cell."""
    return "–" if value is None else readable(value) if isinstance(value, dict) else str(value)
