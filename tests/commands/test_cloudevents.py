"""A CloudEvents message becomes a request, or says what is wrong with it."""

import pytest

from commands.catalogue import ALL, BY_EVENT, BY_NAME
from commands.cloudevents import message_id, read
from commands.customers import RecordPurchase
from commands.ports import Request
from domain.catalogue import EVENTS
from domain.rejected import Rejected
from tests.world import NOON

BOUGHT = {
    "specversion": "1.0",
    "id": "1",
    "source": "shop",
    "type": "customer.purchase_recorded.v1",
    "time": "2026-01-31T12:00:00Z",
    "data": {"customer": {"email": "ann@example.org"}, "amount": {"amount": 5, "currency": "EUR"}},
}


NAMED_BY = "it is named by its id, or by {system, id}, {email} or {phone}"


def refused(message, tenant="acme"):
    with pytest.raises(Rejected) as no:
        read(message, tenant)
    return no.value


def test_a_message_names_an_event_that_happened_or_a_command_to_be_done():
    request = read(BOUGHT, "acme")
    assert isinstance(request.command, RecordPurchase)
    assert request.time == NOON
    assert read(BOUGHT | {"type": "customer.record_purchase"}, "acme") == request


def test_source_and_id_make_the_message_what_it_is_for_one_tenant():
    ids = {
        message_id(*named)
        for named in [("a", "s", "1"), ("b", "s", "1"), ("a", "t", "1"), ("a", "s", "2")]
    }
    assert len(ids) == 4
    assert read(BOUGHT, "a").commandid == message_id("a", "shop", "1")
    assert message_id("a", "s/1", "2") != message_id("a", "s", "1/2")


def test_the_chain_of_causes_is_taken_over():
    request = read(BOUGHT | {"correlationid": "order 7", "causationid": "click 3"}, "acme")
    assert (request.correlationid, request.causationid) == ("order 7", "click 3")


def test_extensions_that_nobody_knows_are_let_through():
    assert isinstance(read(BOUGHT | {"traceparent": "00-…"}, "acme"), Request)


@pytest.mark.parametrize("message", [None, 7, "text", [], [BOUGHT], {}])
def test_a_message_is_an_object_with_the_attributes_of_cloudevents(message):
    assert refused(message).code == "message.invalid"


@pytest.mark.parametrize("missing", ["id", "source", "type", "data"])
def test_each_required_attribute_is_required(missing):
    told = refused({name: value for name, value in BOUGHT.items() if name != missing})
    assert told.code == "message.invalid"
    assert f"{missing}: Field required" in told.sentence


@pytest.mark.parametrize(
    "wrong",
    [
        {"specversion": "0.3"},
        {"id": ""},
        {"id": 7},
        {"id": "a\nb"},
        {"source": "x" * 513},
        {"source": "\x00"},
        {"time": "2026-01-31T12:00:00"},
        {"time": "yesterday"},
        {"time": 1_769_860_800},
        {"time": "0001-01-01T00:00:00+14:00"},
        {"correlationid": "\x1b[31m"},
        {"causationid": "x" * 201},
        {"data": None},
        {"data": "{}"},
        {"data": []},
    ],
    ids=str,
)
def test_a_wrong_attribute_is_refused_by_its_name(wrong):
    told = refused(BOUGHT | wrong)
    assert told.code == "message.invalid"
    assert told.sentence.startswith(next(iter(wrong)))


def test_a_sentence_names_no_class_of_ours():
    told = [refused(None), refused(BOUGHT | {"time": "0001-01-01T00:00:00+14:00"})]
    assert [each.sentence for each in told] == [
        "message: Input should be an object.",
        "time: the time is out of range.",
    ]


def test_a_type_that_nobody_knows_is_refused():
    told = refused(BOUGHT | {"type": "customer.danced.v1"})
    assert (told.code, told.sentence) == (
        "message.type_unknown",
        "Nothing is known about messages of type customer.danced.v1.",
    )


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "customer: Field required; amount: Field required."),
        ({**BOUGHT["data"], "colour": "red"}, "colour: Extra inputs are not permitted."),
        ({**BOUGHT["data"], "quantity": 0.5}, "quantity: "),
        ({**BOUGHT["data"], "amount": 3}, "amount: Input should be an object."),
        (
            {**BOUGHT["data"], "customer": {"email": "a b"}},
            "customer.by_email.email: String should",
        ),
        ({**BOUGHT["data"], "customer": {"system": "x"}}, "customer.by_system.id: Field required."),
        ({**BOUGHT["data"], "customer": {"mail": "a@b"}}, f"customer: {NAMED_BY}."),
        ({**BOUGHT["data"], "customer": None}, f"customer: {NAMED_BY}."),
        ({**BOUGHT["data"], "quantity": 2**65}, "quantity: "),
        ({**BOUGHT["data"], "amount": {"amount": 1.5, "currency": "EUR"}}, "amount.amount: "),
        ({**BOUGHT["data"], "amount": {"amount": float("nan"), "currency": "EUR"}}, "amount."),
        ({**BOUGHT["data"], "customer": {"email": "nobody"}}, "customer."),
        ({**BOUGHT["data"], "customer": {"email": "a@b", "phone": "1234"}}, "customer."),
        ({**BOUGHT["data"], "product": "x\x00"}, "product: "),
    ],
)
def test_wrong_data_is_refused_field_by_field(data, said):
    told = refused(BOUGHT | {"data": data})
    assert told.code == "data.invalid"
    assert said in told.sentence


def test_only_the_first_five_faults_are_told():
    told = refused(BOUGHT | {"data": {f"field_{n}": n for n in range(20)}})
    assert told.sentence.count(";") == 4
    assert told.sentence.endswith("(and 17 more).")


@pytest.mark.parametrize(
    "message",
    [
        BOUGHT | {"type": "canary@example.org"},
        BOUGHT | {"data": {**BOUGHT["data"], "canary@example.org": 1}},
        BOUGHT | {"data": {**BOUGHT["data"], "customer": {"email": "canary@@example.org"}}},
        BOUGHT | {"data": {**BOUGHT["data"], "customer": {"canary@example.org": "x"}}},
        BOUGHT | {"data": {**BOUGHT["data"], "product": "canary@example.org\n"}},
        BOUGHT | {"time": "canary@example.org"},
        BOUGHT
        | {
            "type": "customer.change_profile",
            "data": {"customer": {"phone": "1234"}, "attributes": {"canary@example.org\n": "x"}},
        },
    ],
)
def test_a_refusal_never_repeats_what_was_sent(message):
    assert "canary" not in refused(message).sentence


def test_every_command_publishes_an_event_and_has_names_of_its_own():
    assert len(BY_NAME) == len(BY_EVENT) == len(ALL)
    assert set(BY_EVENT) <= set(EVENTS)


def test_every_event_can_be_told_but_those_that_only_another_one_brings_about():
    assert set(EVENTS) - set(BY_EVENT) == {
        "customer.absorbed.v1",
        "customer.released.v1",
        "customer.erased.v1",
        "case.handed_over.v1",
        "case.mark_reached.v1",
        "case.notification_requested.v1",
        "credit.earned.v1",
        "rights.data_expired.v1",
        "rights.objected.v1",
        "rights.objection_withdrawn.v1",
        "rights.rectified.v1",
        "rights.restricted.v1",
        "rights.restriction_lifted.v1",
        "schedule.set.v1",
    }
