"""What commands add to the rules: whom they name, and what they look up."""

import pytest
from pydantic import ValidationError

from commands.cases import EscalateCase, LinkCase, OpenCase
from commands.command import ByEmail, ByExternalId, ByPhone, stream_id
from commands.customers import (
    AddIdentifier,
    ChangeProfile,
    ChangeStage,
    LinkCustomer,
    MergeCustomer,
    RegisterCustomer,
    RemoveIdentifier,
    UnlinkCustomer,
    UnmergeCustomer,
    WithdrawConsent,
)
from commands.interactions import RecordInteraction
from commands.leads import CaptureLead, MoveLead, WinLead
from domain.customer import (
    ConsentWithdrawn,
    CustomerRegistered,
    IdentifierAdded,
    ProfileChanged,
    StageChanged,
)
from tests.world import World

ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"
MAIL, SHOP = ByEmail(email="ann@example.org"), ByExternalId(system="shop", id="7")
PHONE = ByPhone(phone="+49 30 12345")
DESK = ByExternalId(system="desk", id="1")
EUR_5 = {"amount": 500, "currency": "EUR"}


@pytest.fixture
def world():
    return World()


@pytest.fixture
def ann_and_bob(world):
    for customer in (ANN, BOB):
        world.ask(RegisterCustomer(customer=customer))
    world.store.log.clear()


def happened(world):
    return [recorded.event for recorded in world.store.log]


class Asking:
    """Lets a refusal of a whole command read like the refusal of a rule."""

    def __init__(self, world, command):
        self.verdict = world.ask(command)

    def rejected(self, code):
        assert (self.verdict.status, self.verdict.code) == ("rejected", code)
        assert self.verdict.sentence.endswith(".")


# ---- Registering ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [MAIL, SHOP, PHONE, ANN])
def test_whoever_registers_is_known_as_they_introduce_themselves(world, name):
    verdict = world.ask(
        RegisterCustomer(customer=name, kind="organisation", channel="fair", full_name="Lee Ltd")
    )
    registered = CustomerRegistered(kind="organisation", stage="acquaintance", channel="fair")
    assert happened(world)[0] == registered
    assert happened(world)[-1] == ProfileChanged(full_name="Lee Ltd")
    assert verdict.events[0].type == "customer.registered.v1"


def test_registering_without_more_leaves_the_profile_alone(world):
    world.ask(RegisterCustomer(customer=ANN))
    assert happened(world) == [
        CustomerRegistered(kind="person", stage="acquaintance", channel="api")
    ]


def test_a_stranger_becomes_an_acquaintance_and_what_is_new_is_learned(world):
    world.ask(RecordInteraction(customer=MAIL, channel="web", kind="visit"))
    world.store.log.clear()
    world.ask(RegisterCustomer(customer=MAIL, kind="organisation", language="de"))
    assert happened(world) == [
        StageChanged(stage="acquaintance"),
        ProfileChanged(kind="organisation", language="de"),
    ]


def test_registering_again_with_the_same_facts_changes_nothing(world):
    again = RegisterCustomer(
        customer=MAIL, kind="person", full_name="Ann", attributes={"size": "M"}
    )
    world.ask(again)
    world.store.log.clear()
    assert world.ask(again).status == "accepted"
    assert happened(world) == []


def test_who_registers_without_saying_what_they_are_stays_what_they_are(world):
    world.ask(RegisterCustomer(customer=MAIL, kind="organisation"))
    world.store.log.clear()
    world.ask(RegisterCustomer(customer=MAIL))
    assert happened(world) == []


# ---- Identifiers ---------------------------------------------------------------------------------


def test_an_identifier_leads_to_one_customer(world, ann_and_bob):
    world.ask(AddIdentifier(customer=ANN, identifier=MAIL))
    taken = AddIdentifier(customer=BOB, identifier=MAIL)
    Asking(world, taken).rejected("customer.identifier_taken")
    assert world.ask(AddIdentifier(customer=MAIL, identifier=MAIL)).events == ()


def test_every_identifier_leads_to_its_customer(world, ann_and_bob):
    for name in (MAIL, SHOP, PHONE):
        world.ask(AddIdentifier(customer=ANN, identifier=name))
        stage = world.ask(ChangeStage(customer=name, stage="friend"))
        assert {event.stream for event in stage.events} <= {ANN}
    assert len(world.state(ANN).identifiers) == 3


def test_who_is_not_found_by_a_removed_identifier_is_a_stranger(world, ann_and_bob):
    world.ask(AddIdentifier(customer=ANN, identifier=MAIL))
    world.ask(RemoveIdentifier(customer=ANN, identifier=MAIL))
    changed = world.ask(ChangeStage(customer=MAIL, stage="friend"))
    assert changed.events[0].type == "customer.registered.v1"
    assert changed.events[0].stream != ANN


def test_nobody_is_met_just_to_be_left_without_a_name(world):
    assert world.ask(RemoveIdentifier(customer=MAIL, identifier=MAIL)).events == ()
    assert happened(world) == []


def test_an_identifier_is_not_removed_from_somebody_who_does_not_have_it(world, ann_and_bob):
    world.ask(AddIdentifier(customer=ANN, identifier=MAIL))
    assert world.ask(RemoveIdentifier(customer=BOB, identifier=MAIL)).events == ()
    assert MAIL.identifier() in world.state(ANN).identifiers


def test_a_mistyped_name_is_not_merged_with(world, ann_and_bob):
    for customer, into in ((ANN, MAIL), (MAIL, ANN)):
        merge = MergeCustomer(customer=customer, into=into, reason="same")
        Asking(world, merge).rejected("customer.unknown")
    assert happened(world) == []


def test_a_stranger_is_met_through_any_command_that_names_one(world):
    world.ask(WithdrawConsent(customer=MAIL, purpose="news", channel="email"))
    assert [type(event) for event in happened(world)] == [
        CustomerRegistered, IdentifierAdded, ConsentWithdrawn,
    ]  # fmt: skip


def test_a_customer_that_is_named_by_id_must_be_known(world):
    for command in (
        ChangeStage(customer=ANN, stage="friend"),
        CaptureLead(lead=DESK, customer=ANN, source="web"),
        OpenCase(case=DESK, customer=ANN, channel="email"),
        RecordInteraction(customer=ANN, channel="web", kind="visit"),
        UnmergeCustomer(customer=ANN, reason="?"),
    ):
        Asking(world, command).rejected("customer.unknown")
    assert happened(world) == []


# ---- Two customers -------------------------------------------------------------------------------


def test_a_merge_is_told_in_both_streams_and_so_is_its_end(world, ann_and_bob):
    merged = world.ask(MergeCustomer(customer=ANN, into=BOB, reason="same"))
    assert [(e.type, e.stream) for e in merged.events] == [
        ("customer.merged.v1", ANN),
        ("customer.absorbed.v1", BOB),
    ]
    unmerged = world.ask(UnmergeCustomer(customer=ANN, reason="mistake"))
    assert [(e.type, e.stream) for e in unmerged.events] == [
        ("customer.unmerged.v1", ANN),
        ("customer.released.v1", BOB),
    ]
    assert world.ask(UnmergeCustomer(customer=ANN, reason="again")).events == ()


def test_what_is_said_of_a_merged_customer_stays_in_its_own_stream(world, ann_and_bob):
    world.ask(AddIdentifier(customer=ANN, identifier=MAIL))
    world.ask(MergeCustomer(customer=ANN, into=BOB, reason="same"))
    changed = world.ask(ChangeProfile(customer=MAIL, language="de"))
    assert [event.stream for event in changed.events] == [ANN]


def test_a_link_ends_even_if_it_is_asked_for_by_other_names(world, ann_and_bob):
    world.ask(AddIdentifier(customer=BOB, identifier=MAIL))
    linked = world.ask(LinkCustomer(customer=ANN, other=BOB, relation="refers"))
    unlinked = world.ask(UnlinkCustomer(customer=ANN, other=MAIL, relation="refers"))
    assert [e.type for e in (*linked.events, *unlinked.events)] == [
        "customer.linked.v1",
        "customer.unlinked.v1",
    ]


# ---- Leads and cases -----------------------------------------------------------------------------


def test_a_lead_begins_at_the_first_stage_unless_another_is_named(world, ann_and_bob):
    world.ask(CaptureLead(lead=DESK, customer=ANN, source="web"))
    world.ask(CaptureLead(lead=SHOP, customer=ANN, source="web", stage="offer"))
    assert [(e.stage, e.probability) for e in happened(world)] == [("new", 10), ("offer", 60)]


def test_pipelines_and_stages_that_do_not_exist_are_refused(world, ann_and_bob):
    capture = {"lead": DESK, "customer": ANN, "source": "web"}
    Asking(world, CaptureLead(**capture, pipeline="x")).rejected("lead.pipeline_unknown")
    Asking(world, CaptureLead(**capture, stage="x")).rejected("lead.stage_unknown")
    Asking(world, MoveLead(lead=DESK, stage="new")).rejected("lead.unknown")
    world.ask(CaptureLead(**capture))
    Asking(world, MoveLead(lead=DESK, stage="x")).rejected("lead.stage_unknown")
    assert [e.type for e in world.ask(MoveLead(lead=DESK, stage="offer")).events] == [
        "lead.stage_moved.v1"
    ]


def test_whoever_buys_is_a_friend_and_winning_again_brings_nothing_about(world, ann_and_bob):
    world.ask(CaptureLead(lead=DESK, customer=ANN, source="web"))
    assert len(world.ask(WinLead(lead=DESK, value=EUR_5)).events) == 2
    world.ask(ChangeStage(customer=ANN, stage="stranger"))
    assert world.ask(WinLead(lead=DESK, value=EUR_5)).events == ()
    assert world.state(ANN).stage == "stranger"


def test_a_partner_who_buys_stays_a_partner(world, ann_and_bob):
    world.ask(ChangeStage(customer=ANN, stage="partner"))
    world.ask(CaptureLead(lead=DESK, customer=ANN, source="web"))
    assert len(world.ask(WinLead(lead=DESK, value=EUR_5)).events) == 1


def test_an_external_id_always_leads_to_the_same_lead_or_case():
    ids = {
        stream_id("acme", "lead", DESK),
        stream_id("acme", "case", DESK),
        stream_id("other", "lead", DESK),
        stream_id("acme", "lead", SHOP),
        stream_id("acme", "lead", ByExternalId(system="a", id="b/c")),
        stream_id("acme", "lead", ByExternalId(system="a/b", id="c")),
        stream_id("acme/lead", "x", ByExternalId(system="a", id="b")),
        stream_id("acme", "lead", ByExternalId(system="x/a", id="b")),
    }
    assert len(ids) == 8
    assert stream_id("acme", "lead", DESK) == stream_id("acme", "lead", DESK.model_copy())
    assert stream_id("acme", "lead", ANN) == ANN


def test_cases_are_linked_by_any_of_their_names(world, ann_and_bob):
    first = world.ask(OpenCase(case=DESK, customer=ANN, channel="email")).events[0].stream
    world.ask(OpenCase(case=SHOP, customer=ANN, channel="email"))
    assert len(world.ask(LinkCase(case=SHOP, other=DESK, relation="follows")).events) == 1
    assert world.ask(LinkCase(case=SHOP, other=first, relation="follows")).events == ()


def test_an_interaction_may_be_about_a_case_or_a_lead(world, ann_and_bob):
    wrote = {"customer": ANN, "channel": "email", "kind": "message"}
    for more in ({"case": DESK}, {"lead": DESK}, {"case": BOB}, {}):
        world.ask(RecordInteraction(**wrote, **more))
    assert [event.about for event in happened(world)] == [
        stream_id("acme", "case", DESK), stream_id("acme", "lead", DESK), BOB, None,
    ]  # fmt: skip


@pytest.mark.parametrize("level", [0, 10])
def test_there_are_nine_levels_of_escalation(level):
    with pytest.raises(ValidationError):
        EscalateCase(case=DESK, level=level, reason="?")


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": "nobody"},
        {"email": "a b@c"},
        {"email": f"{'x' * 65}@example.org"},
        {"phone": "12"},
        {"phone": "call me"},
        {"system": "shop", "id": ""},
        {"system": "", "id": "7"},
        {"system": "shop", "id": "7\n"},
        {"system": "shop", "id": "x" * 201},
        {"system": "shop", "id": "7", "email": "ann@example.org"},
        "ann@example.org",
        7,
    ],
)
def test_nobody_is_named_by_what_is_no_name(wrong):
    with pytest.raises(ValidationError):
        ChangeStage(customer=wrong, stage="friend")
