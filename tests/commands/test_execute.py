"""The one loop of the write path: read, decide, keep; and again if somebody else was quicker."""

from datetime import UTC, timedelta

import pytest

from commands.cases import CloseCase, OpenCase
from commands.command import ByEmail, ByExternalId
from commands.customers import (
    AddIdentifier,
    AssignTier,
    MergeCustomer,
    RecordPurchase,
    RegisterCustomer,
    RemoveIdentifier,
)
from commands.interactions import RecordInteraction
from commands.leads import CaptureLead, EstimateValue, WinLead
from commands.ports import Busy, StaleStream
from domain.events import Unreadable
from tests.world import NOON, MemoryStore, World

ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"
COMMAND = "c0000000-0000-0000-0000-000000000000"
ANN_MAIL = ByEmail(email="ann@example.org")
EUR_5 = {"amount": 500, "currency": "EUR"}


def types(verdict):
    return [event.type for event in verdict.events]


class Hasty(MemoryStore):
    """A store where somebody else is quicker a number of times."""

    def __init__(self, times, others=()):
        super().__init__()
        self.times, self.others, self.asked = times, list(others), 0

    def append(self, batch):
        self.asked += 1
        if self.asked <= self.times:
            raise StaleStream
        return super().append(batch)


@pytest.fixture
def world():
    return World()


# ---- Sent again ----------------------------------------------------------------------------------


def test_a_command_that_is_sent_again_gets_the_first_answer_and_changes_nothing(world):
    buy = RecordPurchase(customer=ANN_MAIL, amount=EUR_5)
    first = world.ask(buy, COMMAND)
    again = world.ask(buy, COMMAND)
    assert (first.status, again.status) == ("accepted", "duplicate")
    assert again.events == first.events != ()
    assert again.token == first.token == len(world.store.log) == 3


def test_the_first_answer_is_given_for_ever_even_if_it_would_be_another_one_today(world):
    assign = AssignTier(customer=ANN_MAIL, tier="gold")
    first = world.ask(assign, COMMAND)
    world.ask(AssignTier(customer=ANN_MAIL, tier="silver"))
    assert world.ask(assign, COMMAND).events == first.events
    assert world.state(first.events[0].stream).tier == "silver"


def test_a_command_id_is_not_used_for_two_different_requests(world):
    world.ask(AssignTier(customer=ANN_MAIL, tier="gold"), COMMAND)
    other = world.ask(AssignTier(customer=ANN_MAIL, tier="silver"), COMMAND)
    assert (other.status, other.code, other.events) == ("conflict", "id.conflict", ())


def test_a_rejected_command_may_be_sent_again_when_its_time_has_come(world):
    close = CloseCase(case=ByExternalId(system="desk", id="1"))
    assert world.ask(close, COMMAND).code == "case.unknown"
    world.ask(OpenCase(case=close.case, customer=ANN_MAIL, channel="email"))
    assert world.ask(close, COMMAND).status == "accepted"


def test_a_command_that_changes_nothing_is_accepted_and_remembered(world):
    world.ask(AssignTier(customer=ANN_MAIL, tier="gold"))
    first = world.ask(AssignTier(customer=ANN_MAIL, tier="gold"), COMMAND)
    assert (first.status, first.events, first.token) == ("accepted", (), 0)
    assert world.ask(AssignTier(customer=ANN_MAIL, tier="gold"), COMMAND).status == "duplicate"


def test_within_one_batch_the_second_of_two_is_a_duplicate(world):
    buy = RecordPurchase(customer=ANN_MAIL, amount=EUR_5)
    first, second = world.ask_all([(buy, COMMAND, None), (buy, COMMAND, None)])
    assert (first.status, second.status) == ("accepted", "duplicate")
    assert second.events == first.events
    assert len(world.store.log) == 3


def test_an_interaction_is_its_own_stream_and_needs_no_memory_of_commands(world):
    wrote = RecordInteraction(customer=ANN_MAIL, channel="email", kind="message", message="Hi")
    first = world.ask(wrote, COMMAND)
    assert first.events[-1].stream == COMMAND
    again = world.ask(wrote, COMMAND)
    assert (again.status, again.events) == ("duplicate", first.events[-1:])
    assert world.store.kept_answers == {}
    changed = wrote.model_copy(update={"message": "Hello"})
    assert world.ask(changed, COMMAND).code == "interaction.conflict"
    assert world.ask(changed, COMMAND).status == "conflict"


# ---- One transaction -----------------------------------------------------------------------------


def test_a_rejected_request_leaves_no_trace_and_never_stops_the_others(world):
    buy = RecordPurchase(customer=ANN_MAIL, amount=EUR_5)
    unknown = OpenCase(case=BOB, customer=ANN, channel="email")
    late = (buy, "", NOON + timedelta(days=1))
    verdicts = world.ask_all([(buy, "", None), (unknown, "", None), late, (buy, "", None)])
    assert [v.code for v in verdicts] == ["", "customer.unknown", "time.future", ""]
    assert [e.type.split(".")[1] for e in world.store.log] == [
        "registered", "identifier_added", "purchase_recorded", "purchase_recorded",
    ]  # fmt: skip


def test_a_customer_whose_past_cannot_be_read_does_not_stop_the_others(world):
    ann, bob = (RecordPurchase(customer=ByEmail(email=f"{n}@b.c"), amount=EUR_5) for n in "ab")
    stream = world.ask(ann).events[0].stream
    past = world.store.streams["acme", stream]
    past[0] = past[0]._replace(event=Unreadable(reason="There is no event named customer.met.v9."))
    verdicts = world.ask_all([(ann, "", None), (bob, "", None), (ann, "", None)])
    assert [v.code for v in verdicts] == ["stream.unreadable", "", "stream.unreadable"]
    assert verdicts[0].sentence.endswith("There is no event named customer.met.v9.")


def test_a_request_that_is_rejected_half_way_does_not_even_leave_the_stranger_it_met(world):
    merge = MergeCustomer(customer=ANN_MAIL, into=ANN, reason="?")
    assert world.ask(merge).code == "customer.unknown"
    assert world.store.log == []
    assert world.store.kept_owners == {}


def test_what_one_request_decides_the_next_one_in_the_batch_knows(world):
    lead = ByExternalId(system="desk", id="1")
    verdicts = world.ask_all(
        [
            (CaptureLead(lead=lead, customer=ANN_MAIL, source="web"), "", None),
            (EstimateValue(lead=lead, value=EUR_5), "", None),
            (WinLead(lead=lead), "", None),
            (RecordPurchase(customer=ANN_MAIL, amount=EUR_5), "", None),
        ]
    )
    assert {v.status for v in verdicts} == {"accepted"}
    assert len({e.subject for e in world.store.log}) == 1
    assert [e.version for e in world.store.log if e.stream == e.subject] == [1, 2, 3, 4]


def test_winning_a_lead_changes_the_lead_and_its_customer_together(world):
    lead = ByExternalId(system="desk", id="1")
    world.ask(CaptureLead(lead=lead, customer=ANN_MAIL, source="web"))
    won = world.ask(WinLead(lead=lead, value=EUR_5))
    assert types(won) == ["lead.won.v1", "customer.stage_changed.v1"]
    assert len({event.stream for event in won.events}) == 2


def test_if_one_of_two_streams_has_moved_neither_changes():
    world = World(Hasty(0))
    lead = ByExternalId(system="desk", id="1")
    world.ask(CaptureLead(lead=lead, customer=ANN_MAIL, source="web"))
    world.store.times = 99
    before = list(world.store.log)
    with pytest.raises(Busy):
        world.ask(WinLead(lead=lead, value=EUR_5))
    assert world.store.log == before


# ---- Others are quicker --------------------------------------------------------------------------


@pytest.mark.parametrize("times", [1, 7])
def test_if_others_are_quicker_it_decides_again(times):
    world = World(Hasty(times))
    assert world.ask(RecordPurchase(customer=ANN_MAIL, amount=EUR_5)).status == "accepted"
    assert world.store.asked == times + 1


def test_the_new_decision_sees_what_the_others_did():
    world = World(Hasty(0))
    merge = MergeCustomer(customer=ANN, into=BOB, reason="same")
    for customer in (ANN, BOB):
        world.ask(RegisterCustomer(customer=customer))
    rival = MergeCustomer(customer=BOB, into=ANN, reason="same")
    append = world.store.append

    def rival_first(batch):
        world.store.append = append
        world.ask(rival)
        raise StaleStream

    world.store.append = rival_first
    assert world.ask(merge).code == "customer.merge_target_merged"


def test_it_gives_up_when_others_are_quicker_eight_times():
    world = World(Hasty(8))
    with pytest.raises(Busy, match="send again"):
        world.ask(RecordPurchase(customer=ANN_MAIL, amount=EUR_5))
    assert world.store.log == []


def test_a_batch_that_always_collides_is_split_so_that_its_other_parts_get_through():
    world = World(Hasty(8))
    buy = RecordPurchase(customer=ANN_MAIL, amount=EUR_5)
    verdicts = world.ask_all([(buy, "", None)] * 4)
    assert [v.status for v in verdicts] == ["accepted"] * 4
    assert [e.version for e in world.store.log] == [1, 2, 3, 4, 5, 6]


# ---- Envelopes -----------------------------------------------------------------------------------


def test_an_event_happened_when_its_channel_says_and_is_known_since_now(world):
    yesterday = NOON - timedelta(days=1)
    world.ask(RecordPurchase(customer=ANN_MAIL, amount=EUR_5), at=yesterday)
    assert {e.time for e in world.store.log} == {yesterday}
    assert {e.recordedtime for e in world.store.log} == {world.now}
    assert {e.time.tzinfo for e in world.store.log} == {UTC}


def test_without_a_time_it_happened_now(world):
    world.ask(RecordPurchase(customer=ANN_MAIL, amount=EUR_5))
    assert {e.time for e in world.store.log} == {world.now}


@pytest.mark.parametrize(("ahead", "code"), [(300, ""), (301, "time.future")])
def test_a_clock_may_run_five_minutes_ahead(world, ahead, code):
    at = world.now + timedelta(seconds=1 + ahead)  # the world's clock goes on by one
    assert world.ask(RecordPurchase(customer=ANN_MAIL, amount=EUR_5), at=at).code == code


def test_an_event_tells_who_asked_for_what_and_why(world):
    world.ask(RecordPurchase(customer=ANN_MAIL, amount=EUR_5), COMMAND)
    for event in world.store.log:
        assert event.tenant == "acme"
        assert event.authid == "tests"
        assert event.commandid == event.correlationid == COMMAND
        assert event.causationid == ""
        assert event.position == 0, "It has none before the sequencer gives it one."
        assert event.type == event.event.name
    assert len({event.id for event in world.store.log}) == 3


def test_everything_about_a_lead_or_a_case_is_about_its_customer(world):
    desk = ByExternalId(system="desk", id="1")
    world.ask(CaptureLead(lead=desk, customer=ANN_MAIL, source="web"))
    world.ask(OpenCase(case=desk, customer=ANN_MAIL, channel="email"))
    world.ask(CloseCase(case=desk))
    customer = world.store.log[0].stream
    assert {event.subject for event in world.store.log} == {customer}
    assert len({event.stream for event in world.store.log}) == 3


# ---- Names ---------------------------------------------------------------------------------------


def test_whoever_is_unknown_is_met_once_in_a_batch(world):
    buy = RecordPurchase(customer=ANN_MAIL, amount=EUR_5)
    world.ask_all([(buy, "", None), (buy, "", None)])
    assert [e.type for e in world.store.log].count("customer.registered.v1") == 1


def test_a_released_identifier_may_lead_to_somebody_else_within_the_same_batch(world):
    world.ask(RegisterCustomer(customer=ANN))
    world.ask(AddIdentifier(customer=ANN, identifier=ANN_MAIL))
    world.ask(RegisterCustomer(customer=BOB))
    verdicts = world.ask_all(
        [
            (RemoveIdentifier(customer=ANN, identifier=ANN_MAIL), "", None),
            (AddIdentifier(customer=BOB, identifier=ANN_MAIL), "", None),
        ]
    )
    assert [v.status for v in verdicts] == ["accepted", "accepted"]
    assert world.store.owners("acme", [ANN_MAIL.identifier()]) == {ANN_MAIL.identifier(): BOB}


@pytest.mark.parametrize(
    "command",
    [
        CaptureLead(lead=ANN, customer=BOB, source="web"),
        OpenCase(case=ANN, customer=BOB, channel="email"),
        RegisterCustomer(customer="e0000000-0000-0000-0000-000000000000"),
    ],
)
def test_an_id_belongs_to_one_thing(world, command):
    lead = "e0000000-0000-0000-0000-000000000000"
    for customer in (ANN, BOB):
        world.ask(RegisterCustomer(customer=customer))
    world.ask(CaptureLead(lead=lead, customer=BOB, source="web"))
    assert world.ask(command).code == "id.in_use"


def test_a_fact_is_not_written_into_the_stream_of_something_else(world):
    world.ask(RegisterCustomer(customer=ANN))
    wrote = RecordInteraction(customer=ANN, channel="email", kind="message")
    assert world.ask(wrote, ANN).code == "id.in_use"


def test_the_draft_of_a_request_reads_no_stream_twice(world):
    reads = []
    load = world.store.load
    world.store.load = lambda tenant, streams: reads.extend(streams) or load(tenant, streams)
    world.ask(RegisterCustomer(customer=ANN))
    reads.clear()
    world.ask_all([(AssignTier(customer=ANN, tier=tier), "", None) for tier in "abc"])
    assert reads.count(ANN) == 1


def test_a_session_reads_all_that_a_batch_names_at_once(world):
    asked = []
    for name in ("load", "owners", "answers"):
        real = getattr(world.store, name)
        setattr(world.store, name, lambda *a, n=name, r=real: asked.append(n) or r(*a))
    world.ask_all(
        [(RecordPurchase(customer=ANN, amount=EUR_5), "", None) for _ in range(20)]
        + [
            (RecordPurchase(customer=ByEmail(email=f"{n}@x.org"), amount=EUR_5), "", None)
            for n in range(20)
        ]
    )
    assert asked == ["answers", "owners", "load", "answers"]


def test_what_is_answered_already_is_not_read_again(world):
    asked = []
    world.ask(RegisterCustomer(customer=ANN))
    world.ask(RecordPurchase(customer=ANN, amount=EUR_5), "first")
    load = world.store.load
    world.store.load = lambda tenant, streams: asked.extend(streams) or load(tenant, streams)
    assert world.ask(RecordPurchase(customer=ANN, amount=EUR_5), "first").status == "duplicate"
    assert asked == []
