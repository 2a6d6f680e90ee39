"""Who is this customer: one row each, shown as one when they are merged."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from commands.command import ByEmail, ByExternalId
from commands.customers import (
    AddIdentifier,
    AssignTier,
    ChangeProfile,
    ChangeStage,
    GrantConsent,
    LinkCustomer,
    MergeCustomer,
    RateSatisfaction,
    RecordPurchase,
    RegisterCustomer,
    RemoveIdentifier,
    UnlinkCustomer,
    UnmergeCustomer,
    WithdrawConsent,
)
from commands.interactions import RecordInteraction
from infra.keys.keyring import Slot
from infra.store.envelope import unseal
from projections.customer_view import combine, customer_view
from tests.strategies import bounded, stories
from tests.world import NOON, World

ANN = "a0000000-0000-0000-0000-000000000000"
BOB = "b0000000-0000-0000-0000-000000000000"
CARLA = "c0000000-0000-0000-0000-000000000000"
MAIL, SHOP = ByEmail(email="ann@example.org"), ByExternalId(system="shop", id="7")
NEWS = {"customer": ANN, "purpose": "news", "channel": "email"}


@pytest.fixture
def world():
    world = World()
    for customer in (ANN, BOB, CARLA):
        world.ask(RegisterCustomer(customer=customer, channel="web"))
    return world


def row(world, key=ANN):
    return customer_view.fold(world.history())[key]


def opened(world, block, field):
    key = world.keys[Slot(block["subject"], block["group"])]
    return unseal(block, block["group"], block["sealed"], key)[field]


def shown(world, *keys):
    rows = customer_view.fold(world.history())
    return combine([rows[key] | {"key": key} for key in keys])


# ---- One customer --------------------------------------------------------------------------------


def test_a_new_customer_has_told_nothing_yet(world):
    expected = customer_view.new_row() | {
        "stage": "acquaintance",
        "registered_at": NOON + timedelta(seconds=1),
        "registered_over": "web",
        "position": 1,
    }
    assert row(world) == expected


def test_stage_and_tier_are_the_latest(world):
    for command in (
        ChangeStage(customer=ANN, stage="partner"),
        AssignTier(customer=ANN, tier="gold"),
        ChangeStage(customer=ANN, stage="friend"),
    ):
        world.ask(command)
    assert (row(world)["stage"], row(world)["tier"]) == ("friend", "gold")


def test_identifiers_are_kept_closed_and_go_when_they_are_removed(world):
    world.ask(AddIdentifier(customer=ANN, identifier=MAIL))
    world.ask(AddIdentifier(customer=ANN, identifier=SHOP))
    identifiers = row(world)["identifiers"]
    assert [(i["kind"], i["system"]) for i in identifiers.values()] == [
        ("email", ""),
        ("external", "shop"),
    ]
    assert opened(world, identifiers["1"]["value"], "value") == "ann@example.org"
    world.ask(RemoveIdentifier(customer=ANN, identifier=MAIL))
    assert list(row(world)["identifiers"]) == ["2"]


def test_each_field_of_a_profile_leads_to_the_block_that_holds_its_latest_value(world):
    world.ask(ChangeProfile(customer=ANN, full_name="Ann Lee", attributes={"size": "M"}))
    world.ask(ChangeProfile(customer=ANN, language="de", attributes={"shoe": "42"}))
    profile = row(world)["profile"]
    assert set(profile) == {"full_name", "language", "attributes"}
    assert {field: opened(world, block, field) for field, block in profile.items()} == {
        "full_name": "Ann Lee",
        "language": "de",
        "attributes": {"size": "M", "shoe": "42"},
    }


def test_what_is_taken_back_is_not_in_the_profile_any_more(world):
    world.ask(ChangeProfile(customer=ANN, full_name="Ann Lee", attributes={"size": "M"}))
    world.ask(ChangeProfile(customer=ANN, full_name="", attributes={"size": ""}))
    assert row(world)["profile"] == {}


def test_a_person_may_turn_out_to_be_an_organisation(world):
    world.ask(ChangeProfile(customer=ANN, kind="organisation"))
    assert row(world)["kind"] == "organisation"
    world.ask(ChangeProfile(customer=ANN, language="de"))
    assert row(world)["kind"] == "organisation"


def test_interactions_are_counted_by_channel(world):
    for channel in ("email", "web", "email"):
        world.ask(RecordInteraction(customer=ANN, channel=channel, kind="message"))
    assert row(world)["interactions"] == 3
    assert row(world)["channels"] == {"email": 2, "web": 1}
    assert row(world)["last_contact_at"] == world.now


def test_purchases_add_up_by_currency(world):
    for amount, currency, quantity in [(500, "EUR", 2), (700, "JPY", 1), (-100, "EUR", -1)]:
        money = {"amount": amount, "currency": currency}
        world.ask(RecordPurchase(customer=ANN, amount=money, quantity=quantity))
    assert row(world)["revenue"] == {"EUR": 400, "JPY": 700}
    assert (row(world)["purchases"], row(world)["items"]) == (3, 2)


def test_links_come_and_go(world):
    world.ask(LinkCustomer(customer=ANN, other=BOB, relation="refers"))
    world.ask(LinkCustomer(customer=ANN, other=CARLA, relation="works_for"))
    world.ask(UnlinkCustomer(customer=ANN, other=BOB, relation="refers"))
    assert row(world)["links"] == [{"other": CARLA, "relation": "works_for"}]


# ---- Late events: what was said last holds, not what we heard last -------------------------------


def test_a_late_consent_does_not_undo_a_withdrawal(world):
    world.ask(WithdrawConsent(**NEWS), at=NOON - timedelta(days=1))
    world.ask(GrantConsent(**NEWS, text_version="1"), at=NOON - timedelta(days=9))
    assert row(world)["consents"]["news/email"]["granted"] is False


def test_a_consent_that_was_given_again_holds_although_its_withdrawal_came_late(world):
    world.ask(GrantConsent(**NEWS, text_version="2"), at=NOON - timedelta(days=1))
    world.ask(WithdrawConsent(**NEWS), at=NOON - timedelta(days=9))
    assert row(world)["consents"]["news/email"] == {
        "granted": True,
        "text_version": "2",
        "since": (NOON - timedelta(days=1)).isoformat(),
    }


def test_of_two_statements_of_the_same_instant_the_one_told_last_holds(world):
    world.ask(GrantConsent(**NEWS, text_version="1"), at=NOON)
    world.ask(WithdrawConsent(**NEWS), at=NOON)
    assert row(world)["consents"]["news/email"]["granted"] is False


def test_consents_of_other_purposes_and_channels_are_other_consents(world):
    world.ask(GrantConsent(**NEWS, text_version="1"))
    world.ask(WithdrawConsent(**NEWS | {"channel": "phone"}))
    world.ask(WithdrawConsent(**NEWS | {"purpose": "profiling"}))
    granted = {name: each["granted"] for name, each in row(world)["consents"].items()}
    assert granted == {"news/email": True, "news/phone": False, "profiling/email": False}


def test_a_late_rating_does_not_replace_a_newer_one(world):
    world.ask(RateSatisfaction(customer=ANN, scale="nps", score=9), at=NOON)
    world.ask(RateSatisfaction(customer=ANN, scale="nps", score=2), at=NOON - timedelta(days=1))
    world.ask(RateSatisfaction(customer=ANN, scale="csat", score=4), at=NOON - timedelta(days=2))
    satisfaction = row(world)["satisfaction"]
    assert {scale: each["score"] for scale, each in satisfaction.items()} == {"nps": 9, "csat": 4}


def test_a_late_contact_is_not_the_last_one(world):
    contact = RecordInteraction(customer=ANN, channel="web", kind="visit")
    world.ask(contact, at=NOON)
    world.ask(contact, at=NOON - timedelta(days=1))
    assert row(world)["last_contact_at"] == NOON


BY_EFFECTIVE_TIME = (
    "consents", "satisfaction", "interactions", "channels", "last_contact_at",
    "purchases", "items", "revenue", "last_purchase_at", "registered_at",
)  # fmt: skip


@given(stories())
@bounded(60)
def test_facts_amount_to_the_same_in_the_order_in_which_they_happened(world):
    history = world.history()
    heard = customer_view.fold(history)
    happened = customer_view.fold(sorted(history, key=lambda r: (r.time, r.position)))
    assert heard.keys() == happened.keys()
    for key, one in heard.items():
        for column in BY_EFFECTIVE_TIME:
            assert one[column] == happened[key][column], column


# ---- Merged customers are shown as one -----------------------------------------------------------


@pytest.fixture
def merged(world):
    for command in (
        RecordPurchase(customer=ANN, amount={"amount": 500, "currency": "EUR"}, quantity=2),
        RecordPurchase(customer=BOB, amount={"amount": 700, "currency": "JPY"}),
        AddIdentifier(customer=ANN, identifier=MAIL),
        AddIdentifier(customer=BOB, identifier=SHOP),
        ChangeProfile(customer=ANN, full_name="Ann Lee", language="de"),
        ChangeProfile(customer=BOB, full_name="A. Lee"),
        RecordInteraction(customer=ANN, channel="web", kind="visit"),
        ChangeStage(customer=ANN, stage="partner"),
        AssignTier(customer=ANN, tier="gold"),
        MergeCustomer(customer=ANN, into=BOB, reason="same person"),
    ):
        assert world.ask(command).status == "accepted"
    return world


def test_merged_customers_are_shown_as_one(merged):
    one = shown(merged, BOB, ANN)
    assert (one["key"], one["merged"]) == (BOB, [ANN])
    assert one["revenue"] == {"EUR": 500, "JPY": 700}
    assert (one["purchases"], one["items"], one["interactions"]) == (2, 3, 1)
    assert [i["kind"] for i in one["identifiers"]] == ["external", "email"]
    assert one["channels"] == {"web": 1}
    assert one["last_contact_at"] == merged.now - timedelta(seconds=3)
    assert one["position"] == len(merged.store.log)


def test_the_one_who_stands_for_both_is_called_as_before_and_lacks_nothing(merged):
    profile = shown(merged, BOB, ANN)["profile"]
    assert opened(merged, profile["full_name"], "full_name") == "A. Lee"
    assert opened(merged, profile["language"], "language") == "de"


def test_the_relationship_is_as_deep_as_with_any_of_them(merged):
    one = shown(merged, BOB, ANN)
    assert (one["stage"], one["tier"]) == ("partner", "gold")
    merged.ask(AssignTier(customer=BOB, tier="silver"))
    assert shown(merged, BOB, ANN)["tier"] == "silver"


@pytest.mark.parametrize("first", [ANN, BOB])
def test_a_withdrawal_counts_whichever_of_them_it_was_told_of(merged, first):
    second = BOB if first == ANN else ANN
    merged.ask(GrantConsent(**NEWS | {"customer": first}, text_version="1"))
    merged.ask(WithdrawConsent(**NEWS | {"customer": second}))
    assert shown(merged, BOB, ANN)["consents"]["news/email"]["granted"] is False
    merged.ask(GrantConsent(**NEWS | {"customer": first}, text_version="2"))
    assert shown(merged, BOB, ANN)["consents"]["news/email"]["granted"] is True


def test_the_newest_rating_of_any_of_them_is_shown(merged):
    merged.ask(RateSatisfaction(customer=ANN, scale="nps", score=3))
    merged.ask(RateSatisfaction(customer=BOB, scale="nps", score=8), at=NOON)
    assert shown(merged, BOB, ANN)["satisfaction"]["nps"]["score"] == 3


def test_an_unmerge_shows_each_as_if_they_had_never_been_merged(merged):
    before = customer_view.fold(merged.history())
    merged.ask(UnmergeCustomer(customer=ANN, reason="mistake"))
    after = customer_view.fold(merged.history())
    assert (before[ANN]["merged_into"], after[ANN]["merged_into"]) == (BOB, None)
    for key in (ANN, BOB):
        moved_on = {"position": after[key]["position"], "merged_into": None}
        assert after[key] == before[key] | moved_on
    assert shown(merged, BOB)["merged"] == []
    assert shown(merged, BOB)["revenue"] == {"JPY": 700}


@given(stories(), st.randoms(use_true_random=False))
@bounded(40)
def test_the_order_of_those_who_are_merged_does_not_matter(world, chance):
    rows = customer_view.fold(world.history())
    first, *others = [row | {"key": key} for key, row in sorted(rows.items())]
    one = combine([first, *others])
    chance.shuffle(others)
    other = combine([first, *others])
    for column in ("purchases", "items", "interactions", "revenue", "channels", "stage",
                   "last_contact_at", "last_purchase_at", "position"):  # fmt: skip
        assert one[column] == other[column]
    assert one["purchases"] == sum(row["purchases"] for row in rows.values())
