"""Publishing: the ways to send, a verdict for every message, and sending again."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

VISIT = {
    "specversion": "1.0", "id": "v-1", "source": "shop", "type": "interaction.recorded.v1",
    "data": {"customer": {"email": "ann@example.org"}, "channel": "web", "kind": "visit"},
}  # fmt: skip
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def visit(**changes: Any) -> dict[str, Any]:
    data = VISIT["data"] | changes.pop("data", {})
    return VISIT | {"data": data} | changes


def sent(acme: Any, message: object, content_type: str, **headers: str) -> Any:
    return acme.post(
        "/v1/events", content=json.dumps(message), headers={"Content-Type": content_type, **headers}
    )


# ---- Ways to send --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content_type", [STRUCTURED, STRUCTURED + "; charset=UTF-8", "application/json"]
)
def test_a_structured_message_is_kept(acme: Any, content_type: str) -> None:
    answer = sent(acme, VISIT, content_type)
    assert answer.status_code == 200
    [item] = answer.json()["items"]
    assert (item["id"], item["status"]) == ("v-1", "accepted")
    assert [event["type"] for event in item["events"]][-1] == "interaction.recorded.v1"
    assert answer.json()["token"]


@pytest.mark.parametrize("content_type", [BATCH, "application/json"])
def test_a_batch_gets_a_verdict_for_every_message(
    acme: Any, content_type: str, catch_up: Callable[[], int]
) -> None:
    broken = visit(id="v-2", data={"kind": 5})
    answer = sent(acme, [VISIT, broken, VISIT, visit(data={"kind": "x"}), 7], content_type)
    assert answer.status_code == 207
    told = [(item["id"], item["status"], item["code"]) for item in answer.json()["items"]]
    assert told == [
        ("v-1", "accepted", ""),
        ("v-2", "rejected", "data.invalid"),
        ("v-1", "duplicate", ""),
        ("v-1", "conflict", "interaction.conflict"),
        ("", "rejected", "message.invalid"),
    ]
    catch_up()
    [ann] = acme.items("/v1/customers?email=ann@example.org")
    assert ann["interactions"] == 1
    refused = acme.items("/v1/refused")
    assert sorted(each["code"] for each in refused) == [
        "data.invalid", "interaction.conflict", "message.invalid"
    ]  # fmt: skip


def test_a_binary_message_has_its_attributes_in_headers(
    acme: Any, catch_up: Callable[[], int]
) -> None:
    answer = acme.post(
        "/v1/events",
        content=json.dumps(VISIT["data"]),
        headers={
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": "caf%C3%A9",
            "ce-source": '"shop \\"one\\""',
            "ce-type": "interaction.recorded.v1",
            "ce-time": "2026-01-31T12:00:00+01:00",
        },
    )
    assert answer.status_code == 200
    assert answer.json()["items"][0]["id"] == "café"
    catch_up()
    [ann] = acme.items("/v1/customers?email=ann@example.org")
    assert ann["last_contact_at"] == "2026-01-31T11:00:00Z"
    again = sent(acme, visit(id="café", source='shop "one"'), STRUCTURED)
    assert again.json()["items"][0]["status"] == "duplicate"


def test_a_body_may_be_gzip(acme: Any) -> None:
    members = gzip.compress(json.dumps(VISIT).encode()[:40]) + gzip.compress(
        json.dumps(VISIT).encode()[40:]
    )
    headers = {"Content-Type": STRUCTURED, "Content-Encoding": "gzip"}
    answer = acme.post("/v1/events", content=members, headers=headers)
    assert answer.json()["items"][0]["status"] == "accepted"


def test_long_integers_are_the_fault_of_their_message_alone(acme: Any) -> None:
    long = visit(id="v-2", data={"kind": "x", "more": 2**64})
    answer = sent(acme, [VISIT, long, visit(id="9" * 25)], BATCH)
    told = [(item["status"], item["code"]) for item in answer.json()["items"]]
    assert told == [("accepted", ""), ("rejected", "message.integer_too_large"), ("accepted", "")]


# ---- Sending again -------------------------------------------------------------------------------


def test_a_command_sent_again_gets_its_first_answer(acme: Any, counts: Any) -> None:
    body = {"customer": {"email": "ann@example.org"}, "full_name": "Ann"}
    headers = {"Idempotency-Key": "form 7"}
    first = acme.post("/v1/commands/customer.register", json=body, headers=headers).json()
    before = counts()
    second = acme.post("/v1/commands/customer.register", json=body, headers=headers).json()
    assert (first["status"], second["status"]) == ("accepted", "duplicate")
    assert (first["events"], first["token"]) == (second["events"], second["token"])
    assert counts() == before


def test_an_idempotency_key_belongs_to_one_content(acme: Any, counts: Any) -> None:
    headers = {"Idempotency-Key": "form 7"}
    url = "/v1/commands/customer.register"
    acme.post(url, json={"customer": {"email": "ann@example.org"}}, headers=headers)
    before = counts()
    other = acme.post(url, json={"customer": {"email": "bob@example.org"}}, headers=headers)
    assert other.status_code == 409
    assert other.json()["code"] == "id.conflict"
    assert counts() == before | {"refused": 1}


def test_commands_without_a_key_are_each_their_own(acme: Any) -> None:
    body = {
        "customer": {"email": "ann@example.org"},
        "amount": {"amount": 100, "currency": "EUR"},
    }
    answers = [
        acme.post("/v1/commands/customer.record_purchase", json=body).json() for _ in range(2)
    ]
    assert [answer["status"] for answer in answers] == ["accepted", "accepted"]
    assert answers[0]["id"] != answers[1]["id"]


def test_a_command_may_tell_when_it_happened(acme: Any, catch_up: Callable[[], int]) -> None:
    acme.command(
        "case.open", case={"system": "desk", "id": "1"}, customer={"email": "ann@example.org"},
        channel="mail", time="2026-01-31T12:00:00Z",
    )  # fmt: skip
    catch_up()
    [case] = acme.items("/v1/cases")
    assert case["opened_at"] == "2026-01-31T12:00:00Z"


def test_a_broken_rule_is_told_in_a_sentence(acme: Any, counts: Any) -> None:
    answer = acme.post("/v1/commands/case.close", json={"case": {"system": "desk", "id": "1"}})
    assert answer.status_code == 422
    problem = answer.json()
    assert (problem["code"], problem["detail"]) == ("case.unknown", "There is no such case.")
    assert problem["item"]["status"] == "rejected"
    assert counts()["event"] == 0


# ---- Messages that were not kept -----------------------------------------------------------------


def test_a_refused_message_can_be_tried_again(acme: Any) -> None:
    close = {"id": "c-1", "source": "desk", "type": "case.closed.v1",
             "data": {"case": {"system": "desk", "id": "1"}}}  # fmt: skip
    assert sent(acme, close, STRUCTURED).status_code == 422
    assert sent(acme, close, STRUCTURED).status_code == 422
    [refused] = acme.items("/v1/refused")
    assert (refused["message_id"], refused["code"], refused["attempts"]) == (
        "c-1", "case.unknown", 2
    )  # fmt: skip
    retry = f"/v1/refused/{refused['id']}/retry"
    assert acme.post(retry).status_code == 422
    acme.command(
        "case.open", case={"system": "desk", "id": "1"}, customer={"email": "a@example.org"},
        channel="mail",
    )  # fmt: skip
    answer = acme.post(retry)
    assert (answer.status_code, answer.json()["status"]) == (200, "accepted")
    assert acme.items("/v1/refused") == []
    assert acme.post(retry).status_code == 404


def test_a_refused_message_can_be_dropped(acme: Any) -> None:
    sent(acme, visit(type="nothing"), STRUCTURED)
    [refused] = acme.items("/v1/refused?code=message.type_unknown")
    assert acme.items("/v1/refused?code=other") == []
    assert acme.call("DELETE", f"/v1/refused/{refused['id']}").status_code == 204
    assert acme.call("DELETE", f"/v1/refused/{refused['id']}").status_code == 404
    assert acme.items("/v1/refused") == []


def test_dropping_a_message_never_forgets_a_customer(
    acme: Any, catch_up: Callable[[], int], runtime: Any
) -> None:
    id_ = acme.register("a@example.org")
    assert acme.call("DELETE", f"/v1/refused/{id_}").status_code == 404
    runtime.keyring.forget()
    catch_up()
    shown = acme.get(f"/v1/customers/{id_}").json()
    assert shown["identifiers"][0]["value"] == "a@example.org"
