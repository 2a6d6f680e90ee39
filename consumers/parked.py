"""Letting parked rows go on, once their projection can apply what stopped them, or must not."""

from typing import NamedTuple

import structlog

from consumers.follow import fold, key_of
from domain.events import Event, Recorded
from infra.read_models.change import Key, Parking
from infra.read_models.parked import WaitingRow, waiting
from infra.read_models.tables import Table
from infra.store.envelope import decode

log = structlog.get_logger()


class WentOn(NamedTuple):
    """What became of a parked row: how many events were applied, and what it waits for now."""

    applied: int
    parking: Parking | None


def retry(table: Table, key: Key) -> WentOn:
    """Apply everything that waits for a row, in order, until something cannot be applied again."""
    with waiting(table, key) as row:
        went_on = go_on(table, row, waiting_for(table, row))
    log.info("parked.retried", projection=table.name, applied=went_on.applied,
             still_parked=went_on.parking is not None, **key._asdict())  # fmt: skip
    return went_on


def discard(table: Table, key: Key, by: str, because: str) -> WentOn:
    """Leave the one event out that a row waits for, and apply what came after it."""
    with waiting(table, key) as row:
        row.discard(by, because)
        later = [r for r in waiting_for(table, row) if r.position > row.parking.position]
        went_on = go_on(table, row, later)
    log.warning("parked.discarded", projection=table.name, position=row.parking.position,
                by=by, **key._asdict())  # fmt: skip
    return went_on


def waiting_for(table: Table, row: WaitingRow) -> list[Recorded[Event]]:
    """Give the events that wait for a row, in order."""
    events = (decode(envelope, position) for position, envelope in row.events())
    return [event for event in events if key_of(table.projection, event) == row.parking.key]


def go_on(table: Table, row: WaitingRow, history: list[Recorded[Event]]) -> WentOn:
    """Apply events to a row; it is written as of a position that its readers have yet to reach."""
    key, beyond = row.parking.key, row.beyond
    folded = fold(table.projection, row.change.rows([key]), history)
    rows = {at: made and made | {"position": beyond} for at, made in folded.rows.items()}
    for reason in row.change.write(rows, dict.fromkeys(rows, beyond)).values():
        unfit = Parking(key, history[0].position, history[0].type, reason)
        row.goes_on(unfit)
        return WentOn(0, unfit)
    parking = next(iter(folded.parkings), None)
    row.goes_on(parking)
    return WentOn(len(history) - len(folded.parkings) - folded.waiting, parking)
