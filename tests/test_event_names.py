"""What is stored is read for ever: names, schemas, personal fields and bytes are on file.

A deliberate change writes the files anew: `CRM_UPDATE_GOLDEN=1 pytest tests/test_event_names.py`.
That adds what is new; it never changes what has been published.
"""

import json
import os
from pathlib import Path

import orjson
import pytest

from commands.privacy import (
    EraseCustomer,
    ExpireData,
    LiftRestriction,
    ObjectToProcessing,
    RectifyData,
    RestrictProcessing,
    SetSchedules,
    WithdrawObjection,
)
from commands.session import AGGREGATES
from domain.catalogue import EVENTS
from domain.events import RETIRED, Event, Recorded, Unreadable
from domain.personal import Redacted
from domain.schedule import Schedule
from infra.keys.keyring import DataKey
from infra.store import envelope
from infra.store.envelope import decode, decode_opened, encode
from tests.strategies import EVERYDAY, KEEPING, LOST, UUIDS, story

EVENTS_FILE = Path(__file__).parent / "golden" / "events.json"
ENVELOPES_FILE = Path(__file__).parent / "golden" / "envelopes.json"
PREFIXES = {*AGGREGATES, "interaction"}
HOW = "CRM_UPDATE_GOLDEN=1 .venv/bin/pytest tests/test_event_names.py"


def described(event: type[Event]) -> dict:
    """What readers of stored events rely on: all but the words that explain it."""
    return {"personal": event.personal, "schema": without_words(event.model_json_schema())}


def without_words(schema):
    if isinstance(schema, list):
        return [without_words(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    words = {name for name in ("title", "description") if isinstance(schema.get(name), str)}
    return {name: without_words(part) for name, part in schema.items() if name not in words}


class FixedKeys(dict):
    """One key for everything: only the form of the bytes is looked at here."""

    def get(self, slot, default=None) -> DataKey:
        return self[slot]

    def __missing__(self, slot) -> DataKey:
        return DataKey.of(bytes(16), bytes(range(32)))


def encoded(recorded: Recorded) -> bytes:
    """Seal an event with a key and a nonce that never change."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(envelope, "RAND_bytes", lambda count: bytes([7] * count))
        return encode(recorded, FixedKeys())


RIGHTS = (
    RestrictProcessing(customer=UUIDS[0], ground="accuracy"),
    LiftRestriction(customer=UUIDS[0], ground="accuracy"),
    ObjectToProcessing(customer=UUIDS[0]),
    WithdrawObjection(customer=UUIDS[0]),
    RectifyData(customer=UUIDS[0], events=UUIDS[1:3], fields=("full_name",), reason="misspelt"),
    ExpireData(customer=UUIDS[0], schedule="messages", groups=("content",), erasure=UUIDS[1]),
    SetSchedules(
        schedules=(
            Schedule(
                name="news",
                groups=("contact", "content"),
                trigger="consent_withdrawn",
                purpose="news",
                period="3 years",
            ),
        )
    ),
)


def sample_envelopes() -> dict[str, str]:
    """The fullest event of each name in some stories."""
    samples = {}
    worlds = [story(seed, 60, kinds) for kinds in (EVERYDAY, KEEPING) for seed in range(60)]
    worlds[0].ask_all([(asked, "", None) for asked in LOST])
    for each in RIGHTS:
        worlds[2].ask(each)
    worlds[1].ask(EraseCustomer(customer=UUIDS[0], erasure=UUIDS[1]))
    for recorded in (each for world in worlds for each in world.store.log):
        sample = encoded(recorded)
        samples[recorded.type] = max(samples.get(recorded.type, b""), sample, key=len)
    return {name: sample.decode() for name, sample in samples.items()}


def golden(file: Path) -> dict:
    return json.loads(file.read_text()) if file.exists() else {}


def write(file: Path, contents: dict) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(contents, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


@pytest.fixture(scope="module", autouse=True)
def update():
    """Add what is new, if asked to; leave what has been published as it is."""
    if os.environ.get("CRM_UPDATE_GOLDEN"):
        now = {name: described(event) for name, event in EVENTS.items()}
        write(EVENTS_FILE, now | golden(EVENTS_FILE))
        write(ENVELOPES_FILE, sample_envelopes() | golden(ENVELOPES_FILE))


def complaints(now: dict, published: dict) -> list[str]:
    """Say what was done to published events, and what to do instead."""
    gone, new = published.keys() - now.keys(), now.keys() - published.keys()
    changed = [name for name in now.keys() & published.keys() if now[name] != published[name]]
    told = [f"{name} is gone: what is stored could not be read any more." for name in gone]
    told += [f"{name} is new. Put it on file and never change it: {HOW}" for name in new]
    told += [
        f"{name} was published with another schema. Leave it as it was, and give the changed one"
        f" a name of its own: {following(name)}."
        for name in changed
    ]
    return sorted(told)


def following(name: str) -> str:
    base, _, number = name.rpartition(".v")
    return f"{base}.v{int(number) + 1}"


def test_no_published_event_has_changed():
    now = {name: described(event) for name, event in EVENTS.items()}
    told = complaints(json.loads(json.dumps(now)), golden(EVENTS_FILE))
    assert told == [], "\n".join(told)


def test_a_change_is_noticed_whatever_it_is():
    published = golden(EVENTS_FILE)

    def after(change):
        now = json.loads(json.dumps(published))
        change(now)
        return " ".join(complaints(now, published))

    case = "case.opened.v1"
    fields = ("schema", "properties", "priority")
    assert "case.opened.v2" in after(lambda now: now[case]["schema"]["properties"].pop("priority"))
    assert "case.opened.v2" in after(lambda now: now[case]["schema"]["required"].append("title"))
    assert "case.opened.v2" in after(lambda now: now[case]["personal"].pop("title"))
    assert "case.opened.v2" in after(lambda now: now[case]["personal"].update(title="identity"))
    assert "case.opened.v2" in after(
        lambda now: now[case][fields[0]][fields[1]][fields[2]]["enum"].append("whenever")
    )
    assert "case.opened.v1 is gone" in after(lambda now: now.pop(case))
    assert HOW in after(lambda now: now.update({"case.snoozed.v1": {}}))
    assert after(lambda now: None) == ""


def test_names_tell_what_happened_to_what_in_which_version():
    for name in EVENTS:
        aggregate, what, version = name.split(".")
        assert aggregate in PREFIXES
        assert what.replace("_", "").isalpha()
        assert version.startswith("v")
        assert int(version[1:]) >= 1


@pytest.mark.parametrize("name", sorted(golden(ENVELOPES_FILE)))
def test_bytes_that_were_once_stored_are_still_read_and_opened(name):
    stored = golden(ENVELOPES_FILE)[name].encode()
    closed, opened = decode(stored), decode_opened(stored, FixedKeys())
    for recorded in (closed, opened):
        assert not isinstance(recorded.event, Unreadable), recorded.event
        assert (recorded.storedtype or recorded.type) == name
        assert recorded.type == recorded.event.name
    personal = [getattr(opened.event, field) for field in opened.event.personal]
    assert not any(isinstance(value, Redacted) for value in personal)


@pytest.mark.parametrize("name", sorted(golden(ENVELOPES_FILE).keys() - RETIRED.keys()))
def test_what_was_read_is_written_as_it_was(name):
    """The bytes of an event are a leaf of the hash tree: their form is fixed."""
    stored = golden(ENVELOPES_FILE)[name].encode()
    assert encoded(decode_opened(stored, FixedKeys())) == stored


def test_there_are_bytes_of_every_event_and_each_personal_field_is_in_some():
    published = golden(ENVELOPES_FILE)
    assert published.keys() == EVENTS.keys()
    for name, event in EVENTS.items():
        parsed = orjson.loads(published[name])
        assert set(parsed["sealed"]) == set(event.personal.values())
        assert not any(parsed["data"].get(field) for field in event.personal)
