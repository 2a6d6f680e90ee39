"""Whatever comes in, each message gets a verdict, and what is not kept waits with its reason."""

import pytest

from commands.ingest import Message, ingest
from domain.rejected import Rejected
from tests.world import World

BUY = {
    "id": "1",
    "source": "shop",
    "type": "customer.purchase_recorded.v1",
    "data": {"customer": {"email": "ann@example.org"}, "amount": {"amount": 5, "currency": "EUR"}},
}
WRITE = {
    "id": "2",
    "source": "desk",
    "type": "interaction.recorded.v1",
    "data": {"customer": {"email": "ann@example.org"}, "channel": "email", "kind": "message"},
}
BROKEN = Message(None, b"{", Rejected("message.not_json", "The message is not JSON."))


class Refused:
    def __init__(self):
        self.kept = []

    def keep(self, who, refused):
        self.kept.extend(refused)


@pytest.fixture
def world():
    return World()


def take_in(world, *parsed):
    refused = Refused()
    messages = [each if isinstance(each, Message) else Message(each, b"raw") for each in parsed]
    return ingest(messages, world.who, world.ports, refused), refused.kept


def test_every_message_gets_its_own_verdict_in_its_own_place(world):
    closes = {**WRITE, "type": "case.close", "data": {"case": {"system": "desk", "id": "1"}}}
    other_content = {**WRITE, "data": {**WRITE["data"], "kind": "call"}}
    verdicts, kept = take_in(
        world, BROKEN, BUY, {}, WRITE, WRITE, closes | {"id": "3"}, BUY, other_content
    )
    assert [(v.status, v.code) for v in verdicts] == [
        ("rejected", "message.not_json"),
        ("accepted", ""),
        ("rejected", "message.invalid"),
        ("accepted", ""),
        ("duplicate", ""),
        ("rejected", "case.unknown"),
        ("duplicate", ""),
        ("conflict", "interaction.conflict"),
    ]
    assert [each.verdict.code for each in kept] == [
        "message.not_json", "message.invalid", "case.unknown", "interaction.conflict",
    ]  # fmt: skip
    assert kept[0].message is BROKEN


def test_the_same_messages_in_another_batch_are_duplicates_with_the_first_answer(world):
    first, _ = take_in(world, BUY, WRITE)
    again, kept = take_in(world, WRITE, BUY)
    assert [v.status for v in again] == ["duplicate", "duplicate"]
    assert again[1].events == first[0].events
    assert kept == []


def test_nothing_but_refusals_asks_nothing_of_the_store(world):
    world.ports.store.append = None
    verdicts, kept = take_in(world, BROKEN, {})
    assert [v.status for v in verdicts] == ["rejected", "rejected"]
    assert len(kept) == 2


def test_an_empty_batch_is_no_trouble(world):
    assert take_in(world) == ([], [])
