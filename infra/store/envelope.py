"""The one byte string of an event: stored, hashed, published, exported and read again.

JSON with sorted keys; names follow CloudEvents where one exists. `data` is in the clear, `sealed`
holds one block per group of personal data: base64url of version (1 byte), key id (16), nonce (12),
key commitment (16), AES-256-GCM ciphertext and tag. The block is bound to its event: tenant,
stream, version, type, subject and group are its associated data. A personal field that is not in
`data` is in a block.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from operator import attrgetter, itemgetter
from ssl import RAND_bytes
from typing import Any

import orjson
from pydantic import BaseModel, ValidationError

from domain.catalogue import EVENTS
from domain.events import Event, Recorded, Unreadable, present
from domain.personal import Redacted
from domain.values import Money
from infra.keys.keyring import DataKey, Slot

VERSION = b"\x01"
SEALED, ERASED = Redacted("sealed"), Redacted("erased")
EMPTY: tuple[object, ...] = (None, "", {}, [])

Keys = Mapping[Slot, DataKey]


class BrokenSeal(Exception):
    """A sealed block does not belong to its event, or was altered."""


def groups(event: Event) -> set[str]:
    """Tell which groups of personal data an event really has something of."""
    return {group for field, group in event.personal.items() if getattr(event, field) not in EMPTY}


def slots(recorded: Recorded[Event]) -> Iterator[Slot]:
    """Tell which keys sealing an event needs."""
    return (Slot(recorded.subject, group) for group in groups(recorded.event))


def encode(recorded: Recorded[Event], keys: Keys) -> bytes:
    """Write an event down, its personal data sealed."""
    data = dict(vars(recorded.event))
    sealed = {
        group: seal(recorded, group, take(data, recorded.event, group), keys)
        for group in sorted(groups(recorded.event))
    }
    return orjson.dumps(
        {
            "authid": recorded.authid,
            "causationid": recorded.causationid,
            "commandid": recorded.commandid,
            "correlationid": recorded.correlationid,
            "data": data,
            "id": recorded.id,
            "recordedtime": recorded.recordedtime,
            "sealed": sealed,
            "stream": recorded.stream,
            "subject": recorded.subject,
            "tenant": recorded.tenant,
            "time": recorded.time,
            "type": recorded.type,
            "version": recorded.version,
        },
        default=plain,
        option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z,
    )


def plain(part: BaseModel) -> dict[str, Any]:
    """Give a part of an event as JSON knows it: money, which is frequent, without a copy."""
    return vars(part) if type(part) is Money else part.model_dump(mode="json")


def decode(envelope: bytes, position: int = 0) -> Recorded[Event]:
    """Read an event; its personal data stays closed."""
    parsed = orjson.loads(envelope)
    return recorded_of(closed_event(parsed["type"], orjson.dumps(parsed["data"])), parsed, position)


def decode_opened(envelope: bytes, keys: Keys, position: int = 0) -> Recorded[Event]:
    """Read an event and open its personal data; what has no key any more is erased."""
    parsed = orjson.loads(envelope)
    opened: dict[str, Any] = {}
    for group, block in parsed["sealed"].items():
        key = keys.get(Slot(parsed["subject"], group))
        if key is not None:
            opened.update(unseal(parsed, group, block, key))
    event = event_of(parsed["type"], parsed["data"], opened, ERASED)
    return recorded_of(event, parsed, position)


def sealed_slots(envelope: bytes) -> list[Slot]:
    """Tell which keys opening an event needs."""
    parsed = orjson.loads(envelope)
    return [Slot(parsed["subject"], group) for group in parsed["sealed"]]


@lru_cache(maxsize=4_096)
def closed_event(name: str, data: bytes) -> Event:
    """Make an event of its clear data; what customers do is mostly the same, and events are frozen.

    Checking the fields again takes several times as long as writing them down to find them here.
    """
    return event_of(name, orjson.loads(data), {}, SEALED)


def recorded_of(event: Event, parsed: dict[str, Any], position: int) -> Recorded[Event]:
    """Put an event together with its envelope; that of a retired version remembers its name."""
    stored = parsed["type"]
    name = event.name or stored
    return Recorded(
        event,
        parsed["id"],
        parsed["tenant"],
        parsed["stream"],
        parsed["version"],
        name,
        parsed["subject"],
        datetime.fromisoformat(parsed["time"]),
        datetime.fromisoformat(parsed["recordedtime"]),
        parsed["authid"],
        parsed["commandid"],
        parsed["correlationid"],
        parsed["causationid"],
        parsed["sealed"],
        position,
        "" if name == stored else stored,
    )


def event_of(name: str, data: dict[str, Any], opened: dict[str, Any], closed: Redacted) -> Event:
    """Make the event itself; one that cannot be read says why, without a word of its content."""
    kind = EVENTS.get(name)
    if kind is None:
        return Unreadable(reason=f"There is no event named {name}.")
    for field in kind.personal:
        if field not in data:
            data[field] = opened.get(field, closed)
    try:
        event = kind.model_validate(data)
    except ValidationError as error:
        fields = ", ".join(str(fault["loc"][0]) for fault in error.errors(include_input=False))
        return Unreadable(reason=f"{name} cannot be read: {fields}.")
    try:
        return present(event)
    except Exception as error:
        reason = f"{name} cannot be brought to its present version: {type(error).__name__}."
        return Unreadable(reason=reason)


# ---- Blocks --------------------------------------------------------------------------------------


def take(data: dict[str, Any], event: Event, group: str) -> bytes:
    """Take a group's fields out of the clear data; those that are empty may stay in it."""
    fields = [f for f, its in event.personal.items() if its == group and data[f] not in EMPTY]
    return orjson.dumps({field: data.pop(field) for field in fields})


def seal(recorded: Recorded[Event], group: str, plain: bytes, keys: Keys) -> str:
    """Close a block under the subject's key of the group."""
    key = keys[Slot(recorded.subject, group)]
    nonce = RAND_bytes(12)  # without a system call, in which another thread would run
    bound = associated_data(of_recorded(recorded), group)
    block = VERSION + key.id + nonce + key.commit(nonce) + key.cipher.encrypt(nonce, plain, bound)
    return urlsafe_b64encode(block).decode()


def unseal(envelope: Mapping[str, Any], group: str, block: str, key: DataKey) -> dict[str, Any]:
    """Open a block; raises `BrokenSeal` when it is not this event's, or not whole."""
    raw = bytes_of(block)
    nonce = raw[17:29]
    if raw[:1] != VERSION or raw[1:17] != key.id or raw[29:45] != key.commit(nonce):
        raise BrokenSeal(f"Event {envelope['id']}: the {group} block has another key or format.")
    try:
        plain = key.cipher.decrypt(nonce, raw[45:], associated_data(of_envelope(envelope), group))
    except Exception as error:
        raise BrokenSeal(f"Event {envelope['id']}: the {group} block was altered.") from error
    opened: dict[str, Any] = orjson.loads(plain)
    return opened


def bytes_of(block: str) -> bytes:
    """Read base64url; what is not exactly as it would be written gives nothing."""
    try:
        raw = urlsafe_b64decode(block)
    except ValueError:
        return b""
    return raw if urlsafe_b64encode(raw).decode() == block else b""


BINDING = ("tenant", "stream", "version", "type", "subject")
of_recorded, of_envelope = attrgetter(*BINDING), itemgetter(*BINDING)


def associated_data(binding: Iterable[object], group: str) -> bytes:
    """Bind a block to its event, so that it can be neither moved nor played again."""
    return "\x1f".join([*map(str, binding), group]).encode()
