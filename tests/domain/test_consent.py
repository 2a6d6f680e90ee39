"""Consent at any instant, per purpose and channel; and the guard that refuses to send."""

from datetime import UTC, datetime, timedelta

import pytest

from commands.command import ByEmail, ByExternalId
from commands.customers import (
    GrantConsent,
    MergeCustomer,
    RegisterCustomer,
    WithdrawConsent,
)
from commands.interactions import RecordInteraction
from commands.privacy import ObjectToProcessing, RestrictProcessing
from domain.consent import NEVER, Consent, Statement, consent, may_send
from domain.rejected import Rejected
from domain.rights import Rights
from tests.world import World

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def said(days, granted, text_version=None, purpose="news", channel="email"):
    return Statement(NOON + days * DAY, granted, purpose, channel, text_version)


TOLD = [
    said(20, False),
    said(0, True, "v1"),  # told late
    said(30, True, "v2"),
    said(5, True, "other", purpose="offers"),
    said(6, True, "phone", channel="phone"),
]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (-1, NEVER),
        (0, Consent(True, "v1", NOON)),
        (19, Consent(True, "v1", NOON)),
        (20, Consent(False, None, NOON + 20 * DAY)),
        (99, Consent(True, "v2", NOON + 30 * DAY)),
    ],
)
def test_what_holds_is_what_was_said_last_of_that_purpose_and_channel(days, expected):
    at = NOON + days * DAY
    assert consent(TOLD, "news", "email", at) == expected
    assert consent(TOLD[::-1], "news", "email", at) == expected


def test_of_two_statements_of_one_instant_the_one_told_last_holds():
    told = [said(0, True, "v1"), said(0, False)]
    assert not consent(told, "news", "email", NOON).granted
    assert consent(told[::-1], "news", "email", NOON).granted


@pytest.mark.parametrize(
    ("rights", "told", "code"),
    [
        (Rights("x"), [], "consent.missing"),
        (Rights("x"), [said(0, True, channel="phone")], "consent.missing"),
        (Rights("x"), [said(0, True), said(1, False)], "consent.missing"),
        (Rights("x", grounds=frozenset(["accuracy"])), [said(0, True)], "rights.restricted"),
        (Rights("x", objections=frozenset(["news"])), [said(0, True)], "rights.objection"),
    ],
)
def test_nothing_is_sent_without_consent_or_against_the_customers_will(rights, told, code):
    with pytest.raises(Rejected) as no:
        may_send(rights, told, "news", "email", NOON + 9 * DAY)
    assert no.value.code == code


def test_what_the_customer_agrees_to_is_sent():
    other = Rights("x", objections=frozenset(["profiling"]))
    assert may_send(other, [said(0, True, "v1")], "news", "email", NOON).text_version == "v1"


# ---- The command ---------------------------------------------------------------------------------

ANN = ByEmail(email="ann@example.org")
SHOP = ByExternalId(system="shop", id="1")
NEWS = {"customer": ANN, "purpose": "news", "channel": "email"}
SENT = RecordInteraction(**NEWS, direction="outbound", kind="newsletter", message="hello")


@pytest.fixture
def world():
    world = World()
    world.ask(RegisterCustomer(customer=ANN))
    return world


def code(verdict):
    return verdict.code or verdict.status


def test_an_outbound_message_needs_consent_to_its_purpose(world):
    assert code(world.ask(SENT)) == "consent.missing"
    world.ask(GrantConsent(**NEWS, text_version="v1"))
    assert code(world.ask(SENT)) == "accepted"
    assert code(world.ask(SENT.model_copy(update={"channel": "phone"}))) == "consent.missing"
    assert code(world.ask(SENT, at=NOON - 9 * DAY)) == "consent.missing"  # sent before
    world.ask(WithdrawConsent(**NEWS))
    assert code(world.ask(SENT)) == "consent.missing"


def test_the_same_message_sent_again_is_a_duplicate_even_after_a_withdrawal(world):
    message = "c0000000-0000-0000-0000-00000000beef"
    world.ask(GrantConsent(**NEWS, text_version="v1"))
    assert code(world.ask(SENT, message)) == "accepted"
    world.ask(WithdrawConsent(**NEWS))
    assert code(world.ask(SENT, message)) == "duplicate"


def test_what_needs_no_consent_is_kept_as_ever(world):
    assert code(world.ask(SENT.model_copy(update={"purpose": None}))) == "accepted"
    assert code(world.ask(SENT.model_copy(update={"direction": "inbound"}))) == "accepted"


def test_a_consent_given_in_the_same_batch_counts(world):
    verdicts = world.ask_all(
        [(GrantConsent(**NEWS, text_version="v1"), "", None), (SENT, "", None)]
    )
    assert [code(verdict) for verdict in verdicts] == ["accepted", "accepted"]


def test_a_consent_of_who_was_merged_counts_for_who_stands_for_both(world):
    world.ask(RegisterCustomer(customer=SHOP))
    world.ask(GrantConsent(**NEWS | {"customer": SHOP}, text_version="v1"))
    assert code(world.ask(SENT)) == "consent.missing"
    world.ask(MergeCustomer(customer=SHOP, into=ANN, reason="same"))
    assert code(world.ask(SENT)) == "accepted"
    assert code(world.ask(SENT.model_copy(update={"customer": SHOP}))) == "accepted"
    third = ByExternalId(system="shop", id="3")
    world.ask(RegisterCustomer(customer=third))
    world.ask(MergeCustomer(customer=third, into=ANN, reason="same"))
    world.ask(WithdrawConsent(**NEWS | {"customer": SHOP}))
    assert code(world.ask(SENT.model_copy(update={"customer": third}))) == "consent.missing"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (lambda id_: ObjectToProcessing(customer=id_, purpose="news"), "rights.objection"),
        (lambda id_: RestrictProcessing(customer=id_, ground="claims"), "rights.restricted"),
    ],
)
def test_nothing_is_sent_to_who_objects_or_is_restricted(world, limit, expected):
    world.ask(GrantConsent(**NEWS, text_version="v1"))
    id_ = world.store.owners("acme", [ANN.identifier()])[ANN.identifier()]
    assert code(world.ask(limit(id_))) == "accepted"
    assert code(world.ask(SENT)) == expected
    assert code(world.ask(SENT.model_copy(update={"purpose": None}))) == "accepted"
