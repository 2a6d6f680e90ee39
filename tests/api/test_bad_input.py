"""Bad input: a 4xx with a code and a sentence, never a fault of ours, nothing half-written."""

import gzip
import json
import random
import tracemalloc
import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from api import bodies
from api.bodies import BODY_MAX
from api.problems import Problem
from api.unpack import BATCH_MAX

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
GZIP = {"Content-Encoding": "gzip"}
DATA = {"customer": {"email": "ann@example.org"}, "channel": "web", "kind": "visit"}


def message(**changes: Any) -> dict[str, Any]:
    whole = {"id": "1", "source": "shop", "type": "interaction.recorded.v1", "data": DATA}
    return whole | changes


def data(**changes: Any) -> dict[str, Any]:
    return message(data=DATA | changes)


def raw(text: str) -> bytes:
    """The message with a piece of JSON that Python would not write."""
    return json.dumps(message(data=DATA | {"more": "HERE"})).replace('"HERE"', text).encode()


class Bad(NamedTuple):
    """Something bad to send, and how it must be refused."""

    name: str
    body: bytes | object
    status: int
    code: str
    type: str = STRUCTURED
    headers: Mapping[str, str] = MappingProxyType({})
    is_kept: bool = True


CASES = [
    # Not JSON
    Bad("nothing", b"", 400, "message.not_json"),
    Bad("cut off", json.dumps(message()).encode()[:-5], 400, "message.not_json"),
    Bad("two texts", json.dumps(message()).encode() * 2, 400, "message.not_json"),
    Bad("NaN", raw("NaN"), 400, "message.not_json"),
    Bad("Infinity", raw("-Infinity"), 400, "message.not_json"),
    Bad("1e999", raw("1e999"), 400, "message.not_json"),
    Bad("broken UTF-8", raw('"\x00"').replace(b"\x00", b"\xff\xfe"), 400, "message.not_json"),
    Bad("overlong UTF-8", raw('"\x00"').replace(b"\x00", b"\xc0\x80"), 400, "message.not_json"),
    Bad("lone surrogate", raw('"\\ud800"'), 400, "message.not_json"),
    Bad("surrogate in UTF-8", raw('"\x00"').replace(b"\x00", b"\xed\xa0\x80"), 400,
        "message.not_json"),
    Bad("bare control character", raw('"\n"'), 400, "message.not_json"),
    Bad("64 bits and a half", raw(str(2**63)), 400, "message.integer_too_large"),
    Bad("65 bits", raw(str(2**64)), 400, "message.integer_too_large"),
    Bad("minus 65 bits", raw(str(-(2**64))), 400, "message.integer_too_large"),
    Bad("300 digits", raw("9" * 300), 400, "message.integer_too_large"),
    Bad("5,000 digits", raw("9" * 5000), 400, "message.not_json"),
    Bad("300 brackets", raw("[" * 300 + "]" * 300), 400, "message.too_deep"),
    Bad("100,000 brackets", raw("[" * 100_000 + "]" * 100_000), 400, "message.too_deep"),
    Bad("open brackets", b"[" * 500_000, 400, "message.too_deep", "application/json"),
    # Not a message
    Bad("a number", 7, 422, "message.invalid"),
    Bad("null", None, 422, "message.invalid"),
    Bad("an array as one message", [message()], 422, "message.invalid"),
    Bad("no id", {k: v for k, v in message().items() if k != "id"}, 422, "message.invalid"),
    Bad("empty id", message(id=""), 422, "message.invalid"),
    Bad("numeric id", message(id=7), 422, "message.invalid"),
    Bad("id with NUL", message(id="a\x00b"), 422, "message.invalid"),
    Bad("id with escape", message(id="a\x1b[31mb"), 422, "message.invalid"),
    Bad("endless id", message(id="x" * 600), 422, "message.invalid"),
    Bad("source with newline", message(source="a\nb"), 422, "message.invalid"),
    Bad("other specversion", message(specversion="0.3"), 422, "message.invalid"),
    Bad("unknown type", message(type="case.exploded.v1"), 422, "message.type_unknown"),
    Bad("no data", message(data=None), 422, "message.invalid"),
    Bad("data as text", message(data="hello"), 422, "message.invalid"),
    Bad("correlation with NUL", message(correlationid="a\x00"), 422, "message.invalid"),
    # Times
    Bad("time without zone", message(time="2026-01-31T12:00:00"), 422, "message.invalid"),
    Bad("time in the future", message(time="2999-01-31T12:00:00Z"), 422, "time.future"),
    Bad("time before time", message(time="0001-01-01T00:00:00+14:00"), 422, "message.invalid"),
    Bad("time after time", message(time="9999-12-31T23:59:59-14:00"), 422, "message.invalid"),
    Bad("time as a number", message(time=1_700_000_000), 422, "message.invalid"),
    Bad("no such day", message(time="2026-02-30T12:00:00Z"), 422, "message.invalid"),
    # Data
    Bad("wrong type", data(kind=7), 422, "data.invalid"),
    Bad("unknown field", data(colour="red"), 422, "data.invalid"),
    Bad("unknown field with NUL", data(**{"a\x00": 1}), 422, "data.invalid"),
    Bad("label with NUL", data(kind="a\x00b"), 422, "data.invalid"),
    Bad("text with NUL", data(message="a\x00b"), 422, "data.invalid"),
    Bad("text without end", data(message="x" * 70_000), 422, "data.invalid"),
    Bad("neither address nor id", data(customer={"email": "nobody"}), 422, "data.invalid"),
    Bad("unknown customer", data(customer="0190a0a0-0000-7000-8000-000000000000"), 422,
        "customer.unknown"),
    Bad("amount as float", message(type="customer.record_purchase", data={
        "customer": DATA["customer"], "amount": {"amount": 1.5, "currency": "EUR"}}), 422,
        "data.invalid"),
    Bad("amount beyond exact floats", message(type="customer.record_purchase", data={
        "customer": DATA["customer"], "amount": {"amount": 2**53 + 1, "currency": "EUR"}}), 422,
        "data.invalid"),
    Bad("broken rule", message(type="case.close", data={"case": {"system": "d", "id": "1"}}), 422,
        "case.unknown"),
    # Batches
    Bad("empty batch", [], 400, "batch.empty", BATCH, is_kept=False),
    Bad("batch that is none", {"id": "1"}, 400, "batch.not_array", BATCH, is_kept=False),
    Bad("NaN in a batch", b"[" + raw("NaN") + b"]", 400, "message.not_json", BATCH),
    Bad("too many", [message()] * (BATCH_MAX + 1), 413, "batch.too_large", BATCH, is_kept=False),
    # Encodings and sizes
    Bad("not gzip", b"hello", 400, "body.gzip_broken", headers=GZIP),
    Bad("cut gzip", gzip.compress(json.dumps(message()).encode())[:-9], 400, "body.gzip_broken",
        headers=GZIP),
    Bad("altered gzip", gzip.compress(b"x" * 100)[:-8] + bytes(8), 400, "body.gzip_broken",
        headers=GZIP),
    Bad("gzip and more", gzip.compress(json.dumps(message()).encode()) + b"more", 400,
        "body.gzip_broken", headers=GZIP),
    Bad("zlib as gzip", zlib.compress(b"{}"), 400, "body.gzip_broken", headers=GZIP),
    Bad("gzip bomb", gzip.compress(b" " * 30_000_000, 1), 413, "body.too_large", headers=GZIP,
        is_kept=False),
    Bad("many small bombs", gzip.compress(b" " * 4_000_000) * 3, 413, "body.too_large",
        headers=GZIP, is_kept=False),
    Bad("brotli", b"x", 415, "body.encoding_unknown", headers={"Content-Encoding": "br"},
        is_kept=False),
    Bad("two encodings", b"x", 415, "body.encoding_unknown",
        headers={"Content-Encoding": "gzip, gzip"}, is_kept=False),
    Bad("too large", b"x" * (BODY_MAX + 1), 413, "body.too_large", is_kept=False),
    Bad("as large as can be", b"x" * BODY_MAX, 400, "message.not_json"),
    # Types
    Bad("a form", b"a=1", 415, "body.type_unknown", "application/x-www-form-urlencoded",
        is_kept=False),
    Bad("XML", b"<a/>", 415, "body.type_unknown", "application/cloudevents+xml", is_kept=False),
    Bad("Latin-1", message(), 415, "body.charset_unknown", "application/json; charset=latin-1",
        is_kept=False),
    # Binary mode
    Bad("header that is not UTF-8", DATA, 400, "message.header_not_utf8", "application/json",
        {"ce-id": "%FF", "ce-type": "x", "ce-source": "s"}),
    Bad("header with NUL", DATA, 422, "message.invalid", "application/json",
        {"ce-id": "a%00b", "ce-type": "interaction.recorded.v1", "ce-source": "s"}),
    Bad("data that is not JSON", b"hello", 400, "data.not_json", "text/plain",
        {"ce-id": "1", "ce-type": "interaction.recorded.v1", "ce-source": "s"}),
    Bad("binary without data", b"", 422, "message.invalid", "application/json",
        {"ce-id": "1", "ce-type": "interaction.recorded.v1", "ce-source": "s"}),
]  # fmt: skip


def post(acme: Any, bad: Bad, path: str = "/v1/events") -> Any:
    body = bad.body if isinstance(bad.body, bytes) else json.dumps(bad.body).encode()
    return acme.post(path, content=body, headers={"Content-Type": bad.type, **bad.headers})


@pytest.mark.parametrize("bad", CASES, ids=[case.name for case in CASES])
def test_bad_input_is_refused_and_leaves_nothing_behind(acme: Any, counts: Any, bad: Bad) -> None:
    before = counts()
    answer = post(acme, bad)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (bad.status, bad.code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == bad.status
    assert problem["detail"].endswith((".", "…."))
    assert problem["detail"].isprintable()
    assert counts() == before | {"refused": int(bad.is_kept)}


@pytest.mark.parametrize("bad", [case for case in CASES if case.is_kept and case.status == 400],
                         ids=lambda case: case.name)  # fmt: skip
def test_what_cannot_be_parsed_can_be_listed_and_tried_again(acme: Any, bad: Bad) -> None:
    post(acme, bad)
    [refused] = acme.items("/v1/refused")
    assert refused["code"] == bad.code
    again = acme.post(f"/v1/refused/{refused['id']}/retry")
    assert 400 <= again.status_code < 500
    assert len(acme.items("/v1/refused")) == 1


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 400, "message.not_json"),
        (b"[]", {}, 400, "command.not_object"),
        (b'{"time": "2026-01-31T12:00:00"}', {}, 422, "message.invalid"),
        (b"{}", {}, 422, "data.invalid"),
        (b'{"a\\u0000": 1}', {}, 422, "data.invalid"),
        (b"{}", {"Idempotency-Key": ""}, 400, "idempotency_key.invalid"),
        (b"{}", {"Idempotency-Key": "x" * 201}, 400, "idempotency_key.invalid"),
        (b"{}", {"Idempotency-Key": "a\tb"}, 400, "idempotency_key.invalid"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "body.type_unknown"),
        (b"x", GZIP, 400, "body.gzip_broken"),
    ],
)
def test_bad_commands_are_refused(
    acme: Any, counts: Any, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    headers = {"Content-Type": "application/json", **headers}
    answer = acme.post("/v1/commands/customer.register", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert counts()["event"] == counts()["command"] == 0


def test_a_bomb_never_takes_the_memory_that_it_asks_for() -> None:
    squeeze = zlib.compressobj(1, wbits=31)
    bomb = b"".join(squeeze.compress(bytes(1_000_000)) for _ in range(200)) + squeeze.flush()
    tracemalloc.start()
    with pytest.raises(Problem):
        bodies.gunzipped(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * BODY_MAX


def test_there_is_a_sentence_for_unknown_commands(acme: Any) -> None:
    answer = acme.post("/v1/commands/case.explode", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "command.unknown")


def test_random_damage_is_never_our_fault(acme: Any) -> None:
    chance = random.Random(7)
    whole = json.dumps([message(), data(kind="call")]).encode()
    for _ in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(damaged))
            damaged[place : place + chance.randint(0, 2)] = chance.randbytes(chance.randint(0, 2))
        answer = acme.post(
            "/v1/events", content=bytes(damaged), headers={"Content-Type": "application/json"}
        )
        assert answer.status_code < 500, bytes(damaged)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"x" * (BODY_MAX + 1), 413, "body.too_large"),
        (iter([b"x" * 4_000_000] * 3), 413, "body.too_large"),
        (b"\xff", 400, "body.not_json"),
        (b"[" * 100_000, 400, "body.not_json"),
        (b"{", 400, "request.invalid"),
        (b"null", 400, "request.invalid"),
    ],
    ids=["declared", "not declared", "not UTF-8", "too deep", "broken", "null"],
)
def test_a_body_that_no_channel_sends_is_limited_and_read_strictly_too(
    acme: Any, body: Any, status: int, code: str
) -> None:
    headers = {"Content-Type": "application/json"}
    answer = acme.post("/v1/privacy/cases", content=body, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
