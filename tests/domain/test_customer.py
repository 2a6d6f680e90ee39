"""The rules of customers, one by one."""

import pytest

from domain import customer as rules
from domain.customer import (
    ConsentGranted,
    ConsentWithdrawn,
    Customer,
    CustomerAbsorbed,
    CustomerLinked,
    CustomerMerged,
    CustomerRegistered,
    CustomerReleased,
    CustomerUnlinked,
    CustomerUnmerged,
    IdentifierAdded,
    IdentifierRemoved,
    ProfileChanged,
    PurchaseRecorded,
    SatisfactionRated,
    StageChanged,
    TierAssigned,
)
from domain.personal import Redacted
from domain.rejected import Rejected
from domain.values import Money, email, external_id, phone
from tests.scenario import after, given

ANN = Customer("a0000000-0000-0000-0000-000000000000")
BOB = Customer("b0000000-0000-0000-0000-000000000000")
CARLA = Customer("c0000000-0000-0000-0000-000000000000")

REGISTERED = CustomerRegistered(kind="person", stage="acquaintance", channel="web")
BOB_KNOWN = after(BOB, REGISTERED)
MAIL = email("ann@example.org")
MAIL_ADDED = IdentifierAdded(number=1, **MAIL._asdict())
MERGED = CustomerMerged(into=BOB.id, reason="same person")
ABSORBED = CustomerAbsorbed(other=ANN.id, reason="same person")
GRANTED = ConsentGranted(purpose="news", channel="email", text_version="2026-01")
WITHDRAWN = ConsentWithdrawn(purpose="news", channel="email")

# ---- Getting to know a customer ------------------------------------------------------------------


def test_a_stranger_is_met_with_the_identifier_that_led_to_us():
    met = rules.meet(ANN, MAIL)
    assert met == [
        CustomerRegistered(kind="person", stage="stranger", channel="email"),
        MAIL_ADDED,
    ]
    assert rules.meet(ANN, external_id("shop", "7"))[0].channel == "shop"


def test_who_is_introduced_is_met_as_introduced():
    introduced = CustomerRegistered(kind="organisation", stage="partner", channel="fair")
    assert rules.meet(ANN, MAIL, introduced) == [introduced, MAIL_ADDED]


def test_a_customer_is_registered_once():
    given(ANN).when(rules.register, REGISTERED).then(REGISTERED)


def test_registering_a_stranger_again_deepens_the_relationship():
    stranger = CustomerRegistered(kind="person", stage="stranger", channel="email")
    given(ANN, stranger).when(rules.register, REGISTERED).then(StageChanged(stage="acquaintance"))


def test_registering_a_friend_again_does_not_loosen_the_relationship():
    friend = StageChanged(stage="friend")
    given(ANN, REGISTERED, friend).when(rules.register, REGISTERED).then()


PURCHASE = PurchaseRecorded(amount=Money(amount=1999, currency="EUR"), quantity=2)
RATING = SatisfactionRated(scale="nps", score=9)


@pytest.mark.parametrize(
    ("decide", "asked"),
    [
        (rules.add_identifier, (MAIL,)),
        (rules.remove_identifier, (MAIL,)),
        (rules.change_profile, (ProfileChanged(language="de"),)),
        (rules.change_stage, ("friend",)),
        (rules.promote, ("friend",)),
        (rules.assign_tier, ("gold",)),
        (rules.state_consent, (GRANTED,)),
        (rules.state_consent, (WITHDRAWN,)),
        (rules.merge, (BOB_KNOWN, "same person")),
        (rules.unmerge, (BOB_KNOWN, "a mistake")),
        (rules.record_purchase, (PURCHASE,)),
        (rules.rate_satisfaction, (RATING,)),
        (rules.link, (BOB_KNOWN, "refers")),
        (rules.unlink, (BOB.id, "refers")),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_nothing_can_be_done_with_a_customer_whom_nobody_has_registered(decide, asked):
    given(ANN).when(decide, *asked).rejected("customer.unknown", "no such customer")


# ---- Identifiers ---------------------------------------------------------------------------------


def test_an_identifier_leads_to_the_customer_from_now_on():
    given(ANN, REGISTERED).when(rules.add_identifier, MAIL).then(MAIL_ADDED)


def test_identifiers_are_numbered_and_a_number_is_never_used_again():
    removed = IdentifierRemoved(number=1, **MAIL._asdict())
    number_2 = IdentifierAdded(number=2, **phone("+49 30 1")._asdict())
    given(ANN, REGISTERED, MAIL_ADDED, removed).when(rules.add_identifier, phone("+49 30 1")).then(
        number_2
    )


def test_an_identifier_of_another_system_is_another_one():
    shop, desk = external_id("shop", "7"), external_id("desk", "7")
    has_shop = IdentifierAdded(number=1, **shop._asdict())
    given(ANN, REGISTERED, has_shop).when(rules.add_identifier, desk).then(
        IdentifierAdded(number=2, **desk._asdict())
    )


def test_a_removed_identifier_leads_to_nobody():
    given(ANN, REGISTERED, MAIL_ADDED).when(rules.remove_identifier, MAIL).then(
        IdentifierRemoved(number=1, **MAIL._asdict())
    )


def test_an_identifier_that_was_never_there_need_not_be_removed():
    given(ANN, REGISTERED).when(rules.remove_identifier, MAIL).then()


def test_removing_one_identifier_keeps_the_others():
    other = IdentifierAdded(number=2, **phone("030 1")._asdict())
    removed = IdentifierRemoved(number=1, **MAIL._asdict())
    assert after(ANN, REGISTERED, MAIL_ADDED, other, removed).identifiers == {phone("030 1"): 2}


# ---- Profile, stage, tier ------------------------------------------------------------------------


def test_only_what_is_new_in_a_profile_changes():
    known = ProfileChanged(full_name="Ann Lee", language="en")
    asked = ProfileChanged(kind="person", full_name="Ann Lee", language="de")
    given(ANN, REGISTERED, known).when(rules.change_profile, asked).then(
        ProfileChanged(language="de")
    )


def test_somebody_taken_for_a_person_may_turn_out_to_be_an_organisation():
    asked = ProfileChanged(kind="organisation")
    given(ANN, REGISTERED).when(rules.change_profile, asked).then(asked)


def test_attributes_add_to_those_that_are_known():
    known = ProfileChanged(attributes={"size": "M", "colour": "red"})
    asked = ProfileChanged(attributes={"size": "L", "shoe": "42"})
    given(ANN, REGISTERED, known).when(rules.change_profile, asked).then(
        ProfileChanged(attributes={"size": "L", "colour": "red", "shoe": "42"})
    )


def test_an_empty_text_takes_a_fact_back():
    known = ProfileChanged(full_name="Ann Lee", attributes={"size": "M"})
    asked = ProfileChanged(full_name="", attributes={"size": ""})
    given(ANN, REGISTERED, known).when(rules.change_profile, asked).then(
        ProfileChanged(full_name="", attributes={})
    )


def test_what_was_never_known_need_not_be_taken_back():
    asked = ProfileChanged(full_name="", attributes={"size": ""})
    given(ANN, REGISTERED).when(rules.change_profile, asked).then()


def test_what_is_closed_is_as_good_as_unknown():
    erased = ProfileChanged(full_name=Redacted("erased"), attributes=Redacted("erased"))
    asked = ProfileChanged(full_name="Ann Lee", attributes={"size": "M"})
    given(ANN, REGISTERED, erased).when(rules.change_profile, asked).then(asked)


@pytest.mark.parametrize("empty", [ProfileChanged(), ProfileChanged(full_name=None)])
def test_a_profile_change_must_change_something(empty):
    given(ANN, REGISTERED).when(rules.change_profile, empty).rejected("customer.profile_empty")


def test_the_relationship_may_deepen_and_loosen():
    given(ANN, REGISTERED).when(rules.change_stage, "partner").then(StageChanged(stage="partner"))
    given(ANN, REGISTERED).when(rules.change_stage, "stranger").then(StageChanged(stage="stranger"))


@pytest.mark.parametrize(
    ("stage", "follows"),
    [("stranger", "friend"), ("acquaintance", "friend"), ("friend", None), ("partner", None)],
)
def test_a_promotion_never_loosens_the_relationship(stage, follows):
    expected = [StageChanged(stage=follows)] if follows else []
    known = [REGISTERED, StageChanged(stage=stage)]
    given(ANN, *known).when(rules.promote, "friend").then(*expected)


def test_a_customer_is_in_one_tier():
    given(ANN, REGISTERED).when(rules.assign_tier, "gold").then(TierAssigned(tier="gold"))
    gold = TierAssigned(tier="gold")
    given(ANN, REGISTERED, gold).when(rules.assign_tier, "silver").then(TierAssigned(tier="silver"))


# ---- What counts each time -----------------------------------------------------------------------


@pytest.mark.parametrize("stated", [GRANTED, WITHDRAWN])
def test_every_statement_about_a_consent_is_kept(stated):
    given(ANN, REGISTERED, stated).when(rules.state_consent, stated).then_each_time(stated)


def test_a_withdrawal_is_kept_even_if_it_comes_before_its_consent():
    given(ANN, REGISTERED).when(rules.state_consent, WITHDRAWN).then_each_time(WITHDRAWN)


def test_every_purchase_counts():
    given(ANN, REGISTERED, PURCHASE).when(rules.record_purchase, PURCHASE).then_each_time(PURCHASE)


@pytest.mark.parametrize(("scale", "score"), [("csat", 1), ("csat", 5), ("nps", 0), ("nps", 10)])
def test_a_score_on_the_scale_is_kept(scale, score):
    rating = SatisfactionRated(scale=scale, score=score, comment="ok")
    given(ANN, REGISTERED).when(rules.rate_satisfaction, rating).then_each_time(rating)


@pytest.mark.parametrize(
    ("scale", "score", "span"),
    [("csat", 0, "1 to 5"), ("csat", 6, "1 to 5"), ("nps", -1, "0 to 10"), ("nps", 11, "0 to 10")],
)
def test_a_score_off_the_scale_is_refused(scale, score, span):
    rating = SatisfactionRated(scale=scale, score=score)
    given(ANN, REGISTERED).when(rules.rate_satisfaction, rating).rejected(
        "customer.score_out_of_scale", f"A {scale.upper()} score is {span}, not {score}."
    )


# ---- Links ---------------------------------------------------------------------------------------

REFERS = CustomerLinked(other=BOB.id, relation="refers")


def test_a_customer_is_linked_to_another_in_several_ways():
    given(ANN, REGISTERED).when(rules.link, BOB_KNOWN, "refers").then(REFERS)
    given(ANN, REGISTERED, REFERS).when(rules.link, BOB_KNOWN, "works_for").then(
        CustomerLinked(other=BOB.id, relation="works_for")
    )


def test_a_customer_is_not_linked_to_somebody_unknown():
    given(ANN, REGISTERED).when(rules.link, BOB, "refers").rejected("customer.unknown")


def test_a_customer_is_not_linked_to_itself():
    itself = after(ANN, REGISTERED)
    given(ANN, REGISTERED).when(rules.link, itself, "refers").rejected("customer.link_self")


def test_a_link_ends_and_what_never_was_need_not_end():
    ended = CustomerUnlinked(other=BOB.id, relation="refers")
    given(ANN, REGISTERED, REFERS).when(rules.unlink, BOB.id, "refers").then(ended)
    given(ANN, REGISTERED, REFERS).when(rules.unlink, BOB.id, "works_for").then()


# ---- Merging: two customers change, or none ------------------------------------------------------


def test_a_merged_customer_points_to_the_one_that_stands_for_both():
    ann, bob = after(ANN, REGISTERED), BOB_KNOWN
    assert rules.merge(ann, bob, "same person") == ([MERGED], [ABSORBED])
    assert after(ann, MERGED).merged_into == bob.id
    assert after(bob, ABSORBED).absorbed == {ann.id}


def test_merging_again_into_the_same_one_changes_nothing():
    merged = after(ANN, REGISTERED, MERGED)
    assert rules.merge(merged, after(BOB, REGISTERED, ABSORBED), "again") == ([], [])


def test_a_customer_is_not_merged_with_itself():
    ann = after(ANN, REGISTERED)
    given(ANN, REGISTERED).when(rules.merge, ann, "?").rejected("customer.merge_self")


def test_a_merged_customer_is_not_merged_into_a_third_one():
    carla = after(CARLA, REGISTERED)
    given(ANN, REGISTERED, MERGED).when(rules.merge, carla, "?").rejected(
        "customer.already_merged", f"already merged into {BOB.id}"
    )


def test_nobody_is_merged_into_a_merged_customer_so_links_never_form_a_circle():
    merged = after(ANN, REGISTERED, MERGED)
    given(BOB, REGISTERED, ABSORBED).when(rules.merge, merged, "?").rejected(
        "customer.merge_target_merged", f"merged into {BOB.id}"
    )


def test_who_stands_for_others_may_be_merged_in_turn():
    carla = after(CARLA, REGISTERED)
    on = CustomerMerged(into=CARLA.id, reason="same household")
    taken = CustomerAbsorbed(other=BOB.id, reason="same household")
    bob = after(BOB, REGISTERED, ABSORBED)
    assert rules.merge(bob, carla, "same household") == ([on], [taken])


def test_nobody_is_merged_into_somebody_unknown():
    given(ANN, REGISTERED).when(rules.merge, BOB, "?").rejected("customer.unknown")


def test_an_unmerge_lets_each_stand_for_itself_again():
    ann, bob = after(ANN, REGISTERED, MERGED), after(BOB, REGISTERED, ABSORBED)
    unmerged = CustomerUnmerged(out_of=BOB.id, reason="a mistake")
    released = CustomerReleased(other=ANN.id, reason="a mistake")
    assert rules.unmerge(ann, bob, "a mistake") == ([unmerged], [released])
    assert after(ann, unmerged) == after(ANN, REGISTERED)
    assert after(bob, released) == BOB_KNOWN


def test_who_is_not_merged_need_not_be_unmerged():
    assert rules.unmerge(after(ANN, REGISTERED), BOB_KNOWN, "?") == ([], [])


def test_an_unmerge_names_the_one_that_stands_for_the_customer():
    carla = after(CARLA, REGISTERED)
    given(ANN, REGISTERED, MERGED).when(rules.unmerge, carla, "?").rejected(
        "customer.not_merged_there", f"merged into {BOB.id}"
    )


def test_a_customer_is_not_unmerged_from_somebody_unknown():
    with pytest.raises(Rejected) as no:
        rules.unmerge(after(ANN, REGISTERED, MERGED), BOB, "?")
    assert no.value.code == "customer.unknown"
