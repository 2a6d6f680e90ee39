"""Events of retired versions are read as what they are today, by decisions and projections."""

from datetime import UTC, datetime
from types import SimpleNamespace

import orjson
import pytest

from consumers.follow import fold
from domain.catalogue import names
from domain.events import EVENTS, RETIRED, Event, Recorded, Unreadable, present, retired
from domain.personal import ContactText, Redacted
from domain.values import Label
from infra.read_models.opening import open_rows
from infra.store.envelope import closed_event, decode, decode_opened, encode
from projections.projection import Column, Projection, by_customer, closed
from tests.world import Keys

ANN = "10000000-0000-0000-0000-000000000000"
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def versions():
    """An event of which two versions are retired, known in this test alone."""
    before, retired_before = dict(EVENTS), dict(RETIRED)

    class CalledV1(Event, name="test.called.v1"):
        """Somebody called."""

        number: ContactText
        minutes: int = 0

    class CalledV2(Event, name="test.called.v2"):
        """The duration is in seconds now."""

        number: ContactText
        seconds: int

    class Called(Event, name="test.called.v3"):
        """The number has another name, and there is a direction."""

        caller: ContactText
        seconds: int
        direction: Label

    @retired(CalledV1)
    def in_seconds(old: CalledV1) -> CalledV2:
        return CalledV2(number=old.number, seconds=60 * old.minutes)

    @retired(CalledV2)
    def with_direction(old: CalledV2) -> Called:
        if old.seconds < 0:
            raise ValueError("canary@example.org")
        return Called(caller=old.number, seconds=old.seconds, direction="inbound")

    closed_event.cache_clear()
    yield CalledV1, CalledV2, Called
    for name in EVENTS.keys() - before.keys():
        del EVENTS[name]
    for name in RETIRED.keys() - retired_before.keys():
        del RETIRED[name]
    closed_event.cache_clear()


KEYS = Keys()


def stored(event: Event, version: int = 1) -> bytes:
    """The bytes as that version of the program wrote them."""
    return encode(
        Recorded(
            event, f"{version:032x}", "acme", ANN, version, event.name, ANN, NOON, NOON,
            "tests", ANN, ANN, "", {},
        ),
        KEYS,
    )  # fmt: skip


def test_each_retired_version_is_brought_up_step_by_step(versions):
    v1, v2, now = versions
    expected = now(caller="+49 30 1", seconds=120, direction="inbound")
    assert present(v1(number="+49 30 1", minutes=2)) == expected
    assert present(v2(number="+49 30 1", seconds=120)) == expected
    assert present(expected) is expected


def test_what_was_stored_is_read_as_it_is_today_closed_and_opened(versions):
    v1, _, now = versions
    bytes_ = stored(v1(number="+49 30 1", minutes=2))
    assert orjson.loads(bytes_)["type"] == "test.called.v1"
    shut, opened = decode(bytes_), decode_opened(bytes_, KEYS)
    for recorded in (shut, opened):
        assert (recorded.type, recorded.storedtype) == ("test.called.v3", "test.called.v1")
        assert isinstance(recorded.event, now)
        assert recorded.event.seconds == 120
    assert shut.event.caller == Redacted("sealed")
    assert opened.event.caller == "+49 30 1"


def test_projections_handle_the_present_version_alone_and_blocks_still_open(versions):
    v1, v2, now = versions
    calls = Projection(
        "calls", 1, "Who called?", by_customer,
        {"seconds": Column("int", 0), "caller": Column("jsonb")},
        ignores=names("customer.", "lead.", "case.", "interaction."),
    )  # fmt: skip

    @calls.on(now)
    def called(row, event, recorded):
        return row | {
            "seconds": row["seconds"] + event.seconds,
            "caller": closed(recorded, "contact"),
        }

    history = [
        stored(v1(number="+49 30 1", minutes=2)),
        stored(v2(number="+49 30 2", seconds=5), 2),
        stored(now(caller="+49 30 3", seconds=1, direction="outbound"), 3),
    ]
    decoded = [decode(bytes_, position) for position, bytes_ in enumerate(history, 1)]
    folded = fold(calls, {}, decoded)
    assert folded.parkings == []
    [row] = folded.rows.values()
    assert row["seconds"] == 126
    for recorded, number in zip(decoded, ("number", "number", "caller"), strict=True):
        block = closed(recorded, "contact")
        [shown] = open_rows(OneKeyring(), "acme", [{number: block}])
        assert str(shown[number]).startswith("+49 30 ")


class OneKeyring:
    access = SimpleNamespace(note=lambda *_: None)

    def fates(self, *_):
        return {}

    def find(self, tenant, slots):
        return {slot: KEYS[slot] for slot in slots}


def test_retired_names_are_never_left_out_when_the_log_is_read(versions):
    assert "test.called.v3" in names("test.")
    assert names("test.").isdisjoint(RETIRED)


def test_an_event_that_cannot_be_brought_up_stops_its_stream_and_tells_no_content(versions):
    _, v2, _ = versions
    recorded = decode(stored(v2(number="+49 30 1", seconds=-1)))
    assert isinstance(recorded.event, Unreadable)
    reason = "test.called.v2 cannot be brought to its present version: ValueError."
    assert recorded.event.reason == reason


def test_a_version_nobody_knows_stops_its_stream_by_name(versions):
    v1, *_ = versions
    bytes_ = stored(v1(number="1")).replace(b"test.called.v1", b"test.called.v9")
    event = decode(bytes_).event
    assert isinstance(event, Unreadable)
    assert event.reason == "There is no event named test.called.v9."


def test_the_cache_of_closed_events_cannot_mix_two_up():
    assert closed_event("case.resumed.v1", b"{}") is closed_event("case.resumed.v1", b"{}")
    assert closed_event("case.closed.v1", b"{}") != closed_event("case.resumed.v1", b"{}")
