"""The envelope: everything can be read back, personal data only with the key and in its place."""

import base64
import json
from datetime import timedelta

import orjson
import pytest
from hypothesis import given

from domain.customer import ProfileChanged
from domain.events import Recorded, Unreadable
from domain.interaction import InteractionRecorded
from domain.personal import Redacted
from infra.keys.keyring import Slot
from infra.store.envelope import (
    BrokenSeal,
    decode,
    decode_opened,
    encode,
    groups,
    sealed_slots,
    slots,
    unseal,
)
from tests.strategies import bounded, stories
from tests.world import NOON, Keys

ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"
HELLO = InteractionRecorded(
    channel="email", direction="inbound", kind="message", message="Zoë,\n🦊 \u202e"
)


def recorded(event, **changes):
    return Recorded(
        event, BOB, "acme", ANN, 7, event.name, ANN, NOON - timedelta(microseconds=1), NOON,
        "web", BOB, "order 7", "click 3", {},
    )._replace(**changes)  # fmt: skip


# ---- There and back ------------------------------------------------------------------------------


@given(stories())
@bounded(60)
def test_every_event_is_read_as_it_was_written(world):
    for happened in world.store.log:
        envelope = encode(happened, world.keys)
        again = decode_opened(envelope, world.keys, 5)
        assert again._replace(sealed={}) == happened._replace(position=5)


def test_an_envelope_is_json_with_sorted_keys_and_times_to_the_microsecond():
    envelope = encode(recorded(HELLO), Keys())
    parsed = json.loads(envelope)
    assert list(parsed) == sorted(parsed)
    assert parsed["time"] == "2026-01-31T11:59:59.999999Z"
    assert parsed["recordedtime"] == "2026-01-31T12:00:00Z"
    assert parsed["data"] == {
        "about": None, "channel": "email", "direction": "inbound", "kind": "message",
    }  # fmt: skip
    assert list(parsed["sealed"]) == ["content"]


def test_what_has_nothing_personal_has_no_block():
    silent = HELLO.model_copy(update={"message": ""})
    assert groups(silent) == set()
    parsed = orjson.loads(encode(recorded(silent), {}))
    assert parsed["sealed"] == {}
    assert decode(encode(recorded(silent), {})).event == silent


def test_only_what_an_event_tells_is_in_its_block_so_that_one_sees_what_changed():
    change = ProfileChanged(language="de")
    closed = decode(encode(recorded(change), Keys())).event
    assert closed == ProfileChanged(language=Redacted("sealed"))


def test_a_block_is_never_the_same_twice():
    first, second = (orjson.loads(encode(recorded(HELLO), Keys())) for _ in range(2))
    assert first["sealed"] != second["sealed"]


# ---- Without the key -----------------------------------------------------------------------------


def test_without_a_key_personal_data_is_closed_and_all_else_can_be_read():
    envelope = encode(recorded(HELLO), Keys())
    assert decode(envelope).event == HELLO.model_copy(update={"message": Redacted("sealed")})
    assert decode_opened(envelope, {}).event.message == Redacted("erased")
    assert str(Redacted("erased")) == "[erased]"


def test_the_keys_that_an_event_needs_are_known_before_and_after():
    event = recorded(HELLO)
    assert list(slots(event)) == [Slot(ANN, "content")]
    assert sealed_slots(encode(event, Keys())) == [Slot(ANN, "content")]


def test_an_event_of_another_version_of_the_program_says_so_without_its_content():
    envelope = encode(recorded(HELLO), Keys())
    newer = orjson.loads(envelope) | {"type": "interaction.recorded.v2"}
    assert decode(orjson.dumps(newer)).event == Unreadable(
        reason="There is no event named interaction.recorded.v2."
    )
    broken = orjson.loads(envelope)
    broken["data"] |= {"channel": ["canary"], "direction": "canary"}
    event = decode(orjson.dumps(broken)).event
    assert event == Unreadable(reason="interaction.recorded.v1 cannot be read: channel, direction.")


# ---- Moved or altered ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moved",
    [
        {"tenant": "other"},
        {"stream": BOB},
        {"version": 8},
        {"type": "case.customer_wrote.v1"},
        {"subject": BOB},
    ],
    ids=lambda moved: next(iter(moved)),
)
def test_a_block_is_refused_anywhere_but_in_its_own_event(moved):
    keys = Keys()
    parsed = orjson.loads(encode(recorded(HELLO), keys))
    keys[Slot(BOB, "content")] = keys[Slot(ANN, "content")]  # even with the right key
    with pytest.raises(BrokenSeal, match=BOB):
        decode_opened(orjson.dumps(parsed | moved), keys)


def test_a_block_is_refused_as_another_group():
    keys = Keys()
    parsed = orjson.loads(encode(recorded(HELLO), keys))
    parsed["sealed"] = {"identity": parsed["sealed"]["content"]}
    keys[Slot(ANN, "identity")] = keys[Slot(ANN, "content")]
    with pytest.raises(BrokenSeal):
        decode_opened(orjson.dumps(parsed), keys)


def test_a_block_is_refused_under_another_key():
    keys = Keys()
    parsed = orjson.loads(encode(recorded(HELLO), keys))
    keys[Slot(ANN, "content")] = Keys()[Slot(BOB, "content")]
    with pytest.raises(BrokenSeal, match="another key"):
        decode_opened(orjson.dumps(parsed), keys)


def test_a_block_with_any_bit_altered_is_refused():
    keys = Keys()
    parsed = orjson.loads(encode(recorded(HELLO), keys))
    block, key = parsed["sealed"]["content"], keys[Slot(ANN, "content")]
    raw = base64.urlsafe_b64decode(block)
    for bit in range(len(raw) * 8):
        altered = bytearray(raw)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BrokenSeal):
            unseal(parsed, "content", base64.urlsafe_b64encode(altered).decode(), key)


def test_a_block_written_in_any_other_way_is_refused():
    keys = Keys()
    parsed = orjson.loads(encode(recorded(HELLO), keys))
    block, key = parsed["sealed"]["content"], keys[Slot(ANN, "content")]
    assert unseal(parsed, "content", block, key) == {"message": HELLO.message}
    others = [block[:n] for n in range(0, len(block), 7)]
    others += [block + "A", block + "=", "\n" + block, block[:9] + "!" + block[9:], "🦊"]
    others += [block[:n] + chr(ord(block[n]) ^ 1) + block[n + 1 :] for n in range(len(block))]
    for other in others:
        with pytest.raises(BrokenSeal):
            unseal(parsed, "content", other, key)
