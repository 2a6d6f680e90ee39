"""Opens sealed personal data for whoever may read it: in rows of read models, and in events.

All blocks of an answer are opened with one question to the keyring, and the look is noted first.
What has no key any more is erased, and says so in place of its value.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import orjson
import structlog

from domain.catalogue import EVENTS
from infra.keys.keyring import Keyring, Slot
from infra.store.envelope import BrokenSeal, Keys, unseal
from projections.projection import Row

ERASED = {"redacted": "erased"}
HELD = {"redacted": "held"}
"""Shown in place of what a legal hold keeps from everybody but those who work on it."""
BROKEN = {"redacted": "broken"}
"""Shown in place of what cannot be what was sealed; the log says which event it belongs to."""

log = structlog.get_logger()


def open_rows(keyring: Keyring, tenant: str, rows: Sequence[Row]) -> list[Row]:
    """Show rows with their sealed values opened."""
    named = [each for row in rows for each in blocks_in(row)]
    blocks = {block["sealed"]: block for _, block in named}
    slots = set(map(slot_of, blocks.values()))
    keys = keyring.find(tenant, slots) if slots else {}
    fields = {name for name, block in named if slot_of(block) in keys}
    keyring.access.note(tenant, keys, len(rows), fields)
    gone = keyring.fates(tenant, slots - keys.keys())
    opened = {
        sealed: open_block(block, block["group"], sealed, keys, gone)
        for sealed, block in blocks.items()
    }
    return [show(row, "", opened) for row in rows]


def open_events(keyring: Keyring, tenant: str, envelopes: Iterable[bytes]) -> list[Row]:
    """Show events as they are told: personal data opened, among the other data."""
    events = [orjson.loads(envelope) for envelope in envelopes]
    slots = {Slot(event["subject"], group) for event in events for group in event["sealed"]}
    keys = keyring.find(tenant, slots) if slots else {}
    fields = {
        field
        for event in events
        for group in event["sealed"]
        if Slot(event["subject"], group) in keys
        for field in personal(event["type"], group)
    }
    keyring.access.note(tenant, keys, len(events), fields)
    gone = keyring.fates(tenant, slots - keys.keys())
    return [open_event(event, keys, gone) for event in events]


def open_event(event: Row, keys: Keys, gone: Mapping[Slot, str | None]) -> Row:
    """Show one event; a group whose key is gone shows which fields it had."""
    data = event["data"]
    for group, sealed in event["sealed"].items():
        opened = open_block(event, group, sealed, keys, gone)
        if "redacted" in opened:
            missing = [field for field in personal(event["type"], group) if field not in data]
            opened = dict.fromkeys(missing, opened)
        data |= opened
    return {name: value for name, value in event.items() if name not in ("sealed", "tenant")}


def personal(type_: str, group: str) -> list[str]:
    """Tell which fields of an event are of a group; of an unknown one we know none."""
    kind = EVENTS.get(type_)
    return [field for field, its in kind.personal.items() if its == group] if kind else []


def open_block(
    bound_to: Row, group: str, sealed: str, keys: Keys, gone: Mapping[Slot, str | None]
) -> Row:
    """Give the fields of one block, or why they cannot be given."""
    slot = Slot(bound_to["subject"], group)
    key = keys.get(slot)
    if key is None:
        certificate = gone.get(slot)
        if certificate is None:
            return HELD if slot in gone else ERASED
        return ERASED | {"certificate": certificate}
    try:
        return unseal(bound_to, group, sealed, key)
    except BrokenSeal:
        log.exception("seal.broken", event_id=bound_to["id"], group=group)
        return BROKEN


def is_block(value: object) -> TypeGuard[Row]:
    """Tell whether a value of a row is what `projections.projection.closed` gave."""
    return isinstance(value, dict) and isinstance(value.get("sealed"), str) and "subject" in value


def blocks_in(value: object, name: str = "") -> Iterator[tuple[str, Row]]:
    """Find the sealed blocks in a row, however deep, and as which field each is shown."""
    if is_block(value):
        yield name, value
    elif isinstance(value, dict):
        for inner, held in value.items():
            yield from blocks_in(held, inner)
    elif isinstance(value, list):
        for held in value:
            yield from blocks_in(held, name)


def show(value: Any, name: str, opened: dict[str, Row]) -> Any:  # noqa: ANN401 - any JSON
    """Put the opened value in place of a block; its name says which field of the block it is."""
    if is_block(value):
        fields = opened[value["sealed"]]
        return fields if "redacted" in fields else fields.get(name)
    if isinstance(value, dict):
        return {inner: show(held, inner, opened) for inner, held in value.items()}
    if isinstance(value, list):
        return [show(held, name, opened) for held in value]
    return value


def slot_of(block: Row) -> Slot:
    """Tell which key opens a block."""
    return Slot(block["subject"], block["group"])
