"""A customer, lead or case as it was, or was known, at an instant: its events are folded again.

`recorded_at` is what we knew by then, in the order in which we learned of it. `effective_at` is
what had happened by then, in the order in which it happened. Both together: what we knew at the
one instant of the time up to the other.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from domain.customer import CustomerAbsorbed
from domain.events import RETIRED, Event, Recorded
from infra.database import Pool
from infra.store.envelope import decode
from projections import customer_history
from projections.customer_view import combine, customer_view
from projections.projection import Projection, Row, Step


class AsOf:
    """Remembers what it has read: one object answers one question."""

    def __init__(
        self, pool: Pool, tenant: str, recorded_at: datetime | None, effective_at: datetime | None
    ) -> None:
        self._pool, self._tenant = pool, tenant
        self._recorded_at, self._effective_at = recorded_at, effective_at
        self._histories: dict[str, list[Recorded[Event]]] = {}
        self._rows: dict[str, Row | None] = {}

    def customer(self, id_: str) -> Row | None:
        """Give the customer who stood for this one then; None when nothing was known of it."""
        row, seen = self.row(id_), {id_}
        while row is not None and row["merged_into"] not in (None, *seen):
            seen.add(row["merged_into"])
            row = self.row(row["merged_into"])
        if row is None:
            return None
        others = list(self._merged_into(row["key"], {row["key"]}))
        return combine([row, *sorted(others, key=lambda other: other["key"])])

    def row(self, id_: str) -> Row | None:
        """Give the row of one id as of then."""
        if id_ not in self._rows:
            row = customer_view.fold(self._history(id_)).get(id_)
            self._rows[id_] = row and {"tenant": self._tenant, "key": id_, **row}
        return self._rows[id_]

    def of_stream(self, projection: Projection, subject: str, stream: str) -> Row | None:
        """Give the row of a lead or case as of then; None when nothing was known of it."""
        types = types_of(projection)
        history = self._then(self._read(subjects=[subject], stream=stream, types=types))
        row = projection.fold(history).get(stream)
        return row and {"tenant": self._tenant, "key": stream, **row}

    def steps(self, projection: Projection, subject: str, key: str) -> Iterator[Step]:
        """Give what each event did to one row, up to then. Raises what an event raises."""
        events = self._read(subjects=[subject], stream=None, types=types_of(projection))
        return (step for step in projection.walk(self._then(events)) if step.key == key)

    def _merged_into(self, id_: str, seen: set[str]) -> Iterator[Row]:
        """Give the rows of those that were merged into a customer then, directly or not."""
        for other in self._ever_absorbed(id_) - seen:
            seen.add(other)
            row = self.row(other)
            if row is not None and row["merged_into"] == id_:
                yield row
                yield from self._merged_into(other, seen)

    def _ever_absorbed(self, id_: str) -> set[str]:
        events = (recorded.event for recorded in self._history(id_))
        return {event.other for event in events if isinstance(event, CustomerAbsorbed)}

    def _history(self, id_: str) -> list[Recorded[Event]]:
        if id_ not in self._histories:
            types = types_of(customer_view)
            events = self._read(subjects=[id_], stream=None, types=types)
            self._histories[id_] = self._then(events)
        return self._histories[id_]

    def _then(self, events: Iterable[Recorded[Event]]) -> list[Recorded[Event]]:
        """Keep what counts, in the order that counts."""
        history = [recorded for recorded in events if self._counts(recorded)]
        if self._effective_at is not None:
            history.sort(key=lambda r: (r.time, r.position))
        return history

    def _counts(self, recorded: Recorded[Event]) -> bool:
        known = self._recorded_at is None or recorded.recordedtime <= self._recorded_at
        happened = self._effective_at is None or recorded.time <= self._effective_at
        return known and happened

    def _read(self, **which: object) -> Iterator[Recorded[Event]]:
        arguments = {
            "tenant": self._tenant, "after": 0, "limit": None,
            "recorded_before": None, "effective_before": None, **which,
        }  # fmt: skip
        with self._pool.connection() as conn:
            rows = conn.execute(customer_history.PAGE, arguments, binary=True).fetchall()
        return (decode(envelope, position) for position, envelope in rows)


def types_of(projection: Projection) -> list[str]:
    """Give the names under which events that a projection handles may be stored."""
    return [*projection.handlers, *RETIRED]
