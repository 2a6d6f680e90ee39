"""A follower: brings one read model forward along the log, for ever."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import NamedTuple

import structlog

from consumers import measured
from consumers.loop import run
from domain.events import Event, Recorded
from infra.read_models.change import Change, Key, Parking
from infra.read_models.tables import Moved, Step, Table
from infra.store.envelope import decode
from infra.store.log import EmbeddedLog, Page
from projections.projection import NotApplicable, Projection, Row

BATCH = 40_000
"""How many positions are taken into account in one transaction, which writes a row but once."""

PART = 4_000
"""For how many of them rows are read at once; events that wait for theirs take room meanwhile."""

PARKINGS_LOGGED = 10
"""How many rows parked by one batch are told one by one; `crm.parked` has them all."""

log = structlog.get_logger()


def follow(events: EmbeddedLog, table: Table, stop: threading.Event) -> None:
    """Apply what the log has beyond the checkpoint; wait at its end.

    Where we moved the checkpoint to is remembered: if somebody else moves it, we are told.
    """
    reached: int | None = None

    def step() -> bool:
        nonlocal reached
        remembered, reached = reached, None
        try:
            after = table.position() if remembered is None else remembered
            reached = advance_from(events, table, after)
        except Moved as moved:
            if remembered is None:
                log.warning("follower.moved", projection=table.name, reason=str(moved))
            return True
        return reached > after

    run(f"follower {table.name}", step, stop)


def advance(events: EmbeddedLog, table: Table, limit: int = BATCH) -> bool:
    """Take the next part of the log into account; False when there was none."""
    after = table.position()
    return advance_from(events, table, after, limit) > after


def advance_from(events: EmbeddedLog, table: Table, after: int, limit: int = BATCH) -> int:
    """Take what comes after a position into account; gives up to where."""
    page = events.read(after, limit, table.projection.ignores)
    if page.upto > after:
        apply(table, [Step(after, page.upto)], page)
    return page.upto


def apply(table: Table, steps: Sequence[Step], page: Page) -> None:
    """Bring the rows forward over a part of the log, and the checkpoints with them."""
    projection = table.projection
    with (
        measured.SECONDS.labels(projection.name).time(),
        table.transaction(*steps) as change,
    ):
        known: dict[Key, Row | None] = {}
        events = in_turn(projection, page.events, known, change)
        folded = fold_keyed(projection, known, events, change.parked())
        parkings = folded.parkings
        if unfit := change.write(folded.rows, folded.removed):
            parkings += settle(projection, change, unfit, page)
        change.park(parkings)
    applied = len(page.events) - len(parkings) - folded.waiting
    measured.count(projection.name, applied=applied, parked=len(parkings), waiting=folded.waiting)
    for parking in parkings[:PARKINGS_LOGGED]:
        log.error("follower.parked", projection=table.name, **parking._asdict())


def in_turn(
    projection: Projection,
    events: Sequence[tuple[int, bytes]],
    known: dict[Key, Row | None],
    change: Change,
) -> Iterator[tuple[Key, Recorded[Event]]]:
    """Give events with the keys of their rows, in order for each row.

    Those whose rows are known go first, one by one: many taken apart at once are out of the
    processor's caches again. The others wait until their rows are read, for a part of them at once.
    """
    for start in range(0, len(events), PART):
        waiting = []
        for position, envelope in events[start : start + PART]:
            recorded = decode(envelope, position)
            key = key_of(projection, recorded)
            if key in known:
                yield key, recorded
            else:
                waiting.append((key, recorded))
        unknown = {key for key, _ in waiting}
        known |= dict.fromkeys(unknown) | change.rows(unknown)
        yield from waiting


class Folded(NamedTuple):
    """What a part of the log makes of rows: None is a removed row."""

    rows: dict[Key, Row | None]
    parkings: list[Parking]
    waiting: int
    """How many events were about rows that are parked already."""
    removed: dict[Key, int]
    """The positions of the events that last removed rows; some may be there again."""


def fold(
    projection: Projection,
    known: Mapping[Key, Row | None],
    history: Iterable[Recorded[Event]],
    parked: Set[Key] = frozenset(),
) -> Folded:
    """Apply events to rows. One that cannot be applied parks its row; the others flow on."""
    keyed = ((key_of(projection, recorded), recorded) for recorded in history)
    return fold_keyed(projection, known, keyed, parked)


def fold_keyed(
    projection: Projection,
    known: Mapping[Key, Row | None],
    keyed: Iterable[tuple[Key, Recorded[Event]]],
    parked: Set[Key] = frozenset(),
) -> Folded:
    """Do the same with events whose rows are known already."""
    changed: dict[Key, Row | None] = {}
    folded = fold_into(projection, known, changed, keyed, parked)
    if projection.finish is None:
        return folded
    finished: dict[Key, Row | None] = {}
    parkings = {parking.key: parking for parking in folded.parkings}
    for key, row in changed.items():
        try:
            finished[key] = projection.finished(row)
        except Exception as error:
            reason = f"{type(error).__name__} in its derived columns"
            position = row["position"] if row else 0
            parkings.setdefault(key, Parking(key, position, projection.name, reason))
    return folded._replace(rows=finished, parkings=list(parkings.values()))


def fold_into(
    projection: Projection,
    known: Mapping[Key, Row | None],
    changed: dict[Key, Row | None],
    keyed: Iterable[tuple[Key, Recorded[Event]]],
    parked: Set[Key],
) -> Folded:
    """Apply events to rows that are changed already, or else known."""
    parkings: dict[Key, Parking] = {}
    removed: dict[Key, int] = {}
    waiting = 0
    for key, recorded in keyed:
        if key in parked or key in parkings:
            waiting += 1
            continue
        row = changed[key] if key in changed else known.get(key)
        try:
            following = projection.apply(row, recorded)
            if following is not row:
                changed[key] = following
                if following is None:
                    removed[key] = recorded.position
        except Exception as error:
            told = isinstance(error, NotApplicable)  # other errors may quote personal data
            reason = str(error) if told else f"{type(error).__name__} in its handler"
            parkings[key] = Parking(key, recorded.position, recorded.type, reason)
    return Folded(changed, list(parkings.values()), waiting, removed)


def settle(
    projection: Projection, change: Change, unfit: Mapping[Key, str], page: Page
) -> list[Parking]:
    """Leave rows that cannot be written as they were before the events that made them so."""
    rows: dict[Key, Row | None] = dict(change.rows(unfit))
    parkings: dict[Key, Parking] = {}
    for position, envelope in page.events:
        recorded = decode(envelope, position)
        key = key_of(projection, recorded)
        if key not in unfit or key in parkings:
            continue
        folded = fold(projection, rows, [recorded])
        if change.write(folded.rows, folded.removed):
            parkings[key] = Parking(key, position, recorded.type, unfit[key])
        else:
            rows |= folded.rows
    return list(parkings.values())


def key_of(projection: Projection, recorded: Recorded[Event]) -> Key:
    """Tell which row an event belongs to."""
    return Key(recorded.tenant, projection.key(recorded))
