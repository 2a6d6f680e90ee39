"""What a projection is: a name, a version, the columns of its rows, and a function per event.

A projection is pure: the same events give the same rows, whenever and wherever they are applied.
It sees personal data only closed, and keeps it closed in its rows; whoever reads a row opens it.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from domain.events import Event, Recorded, Unreadable

Row = dict[str, Any]
Handler = Callable[[Row, Any, Recorded[Any]], Row | None]
H = TypeVar("H", bound=Handler)


class NotApplicable(Exception):
    """An event cannot be applied; the sentence says why without a word of its content."""


class Column(NamedTuple):
    """A column: its PostgreSQL type and what a new row holds in it."""

    type: str
    new: Any = None
    inner: bool = False
    """Only what the next event needs: it is in the table, and shown to nobody."""


class Step(NamedTuple):
    """What one event did to one row; None is no row."""

    recorded: Recorded[Any]
    key: str
    before: Row | None
    after: Row | None


def by_customer(recorded: Recorded[Event]) -> str:
    """One row per customer."""
    return recorded.subject


def by_stream(recorded: Recorded[Event]) -> str:
    """One row per lead or case."""
    return recorded.stream


@dataclass(frozen=True, slots=True)
class Projection:
    """A read model. Raising `version` builds it anew beside the old one."""

    name: str
    version: int
    question: str
    key: Callable[[Recorded[Event]], str]
    columns: dict[str, Column]
    indexes: tuple[str, ...] = ()
    ignores: frozenset[str] = frozenset()
    """The names of the events that say nothing here; every other one must have a handler."""
    begins_none: frozenset[str] = frozenset()
    """The names of the events that begin no row: whoever has none then was forgotten."""
    finish: Callable[[Row], Row] | None = None
    """Works derived columns out of the others, once for each row that a part of the log changed."""
    profiles: bool = False
    """Whether it tells how a customer behaves: then whoever objects to profiling is not in it."""
    handlers: dict[str, Handler] = field(default_factory=dict)

    @property
    def subject(self) -> str | None:
        """Name the column that tells whom a row is about; None when it is about no customer."""
        if self.key is by_customer:
            return "key"
        return "customer" if "customer" in self.columns else None

    def on(self, *kinds: type[Event]) -> Callable[[H], H]:
        """Say what an event does to a row; a handler that returns None removes the row."""

        def register(handler: H) -> H:
            self.handlers.update({kind.name: handler for kind in kinds})
            return handler

        return register

    def apply(self, row: Row | None, recorded: Recorded[Any]) -> Row | None:
        """Give the row after an event. Raises `NotApplicable`, or what a handler raises."""
        if isinstance(recorded.event, Unreadable):
            raise NotApplicable(recorded.event.reason)
        handler = self.handlers.get(recorded.type)
        if handler is None:
            if recorded.type in self.ignores:
                return row
            raise NotApplicable(f"{self.name} does not know what {recorded.type} means.")
        if row is None and recorded.type in self.begins_none:
            return None
        changed = handler(row if row is not None else self.new_row(), recorded.event, recorded)
        if changed is None:
            return None
        if changed is row:
            changed = row.copy()
        changed["position"] = recorded.position  # in place: a handler that changes makes a new row
        return changed

    def finished(self, row: Row | None) -> Row | None:
        """Give the row with its derived columns."""
        return row if row is None or self.finish is None else self.finish(row)

    def new_row(self) -> Row:
        """Give a row to which nothing has happened yet."""
        return {name: column.new for name, column in self.columns.items()}

    def fold(self, history: Iterable[Recorded[Any]]) -> dict[str, Row]:
        """Give the rows that a history amounts to, by their keys."""
        rows: dict[str, Row] = {}
        for step in self.walk(history):
            if step.after is None:
                rows.pop(step.key, None)
            else:
                rows[step.key] = step.after
        return {key: self.finish(row) if self.finish else row for key, row in rows.items()}

    def walk(self, history: Iterable[Recorded[Any]]) -> Iterator["Step"]:
        """Give what each event of a history does to its row, one after another."""
        rows: dict[str, Row | None] = {}
        for recorded in history:
            key = self.key(recorded)
            before = rows.get(key)
            rows[key] = self.apply(before, recorded)
            yield Step(recorded, key, before, rows[key])


def closed(recorded: Recorded[Any], group: str) -> Row | None:
    """Take a sealed block into a row, with all that opening it later needs."""
    if group not in recorded.sealed:
        return None
    return {
        "sealed": recorded.sealed[group],
        "group": group,
        "id": recorded.id,
        "tenant": recorded.tenant,
        "stream": recorded.stream,
        "version": recorded.version,
        "type": recorded.storedtype or recorded.type,
        "subject": recorded.subject,
    }
