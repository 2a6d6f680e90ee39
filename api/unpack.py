"""What a request body holds: CloudEvents in structured, batch or binary mode, or plain JSON."""

import re
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import orjson
from starlette.datastructures import Headers

from api.problems import Problem
from commands.ingest import Message
from domain.rejected import Rejected
from infra import strict_json
from infra.store.refused import message_of

BATCH_MAX = 2_500
JSON_TYPES = ("", "application/json", "application/cloudevents+json")
BATCH_TYPE = "application/cloudevents-batch+json"
BINARY_MARKS = ("ce-id", "ce-type", "ce-source", "ce-specversion")


class Delivery(NamedTuple):
    """The messages of one request, and whether it was sent as a batch."""

    messages: list[Message]
    is_batch: bool = False


def unpack(headers: Headers, body: bytes) -> Delivery:
    """Find the messages in a body."""
    content_type = media_type(headers)
    if content_type.startswith("application/cloudevents"):
        return parsed(body, content_type)
    if any(mark in headers for mark in BINARY_MARKS):
        return Delivery([binary(headers, content_type, body)])
    return parsed(body, content_type)


def media_type(headers: Headers) -> str:
    """Give the type of a body; only UTF-8 is understood."""
    name, _, parameters = headers.get("content-type", "").lower().partition(";")
    charset = re.search(r'charset\s*=\s*"?([^";\s]+)', parameters)
    if charset and charset[1] not in ("utf-8", "utf8", "us-ascii"):
        raise Problem(415, "body.charset_unknown", "Only UTF-8 is understood.")
    return name.strip()


def parsed(body: bytes, content_type: str) -> Delivery:
    """Parse a structured message, a batch, or plain JSON that may be either."""
    if content_type not in (*JSON_TYPES, BATCH_TYPE):
        raise Problem(
            415, "body.type_unknown",
            "Send application/cloudevents+json, application/cloudevents-batch+json, "
            "application/json, or the attributes as ce- headers.",
        )  # fmt: skip
    if content_type == BATCH_TYPE or (content_type != JSON_TYPES[2] and body.lstrip()[:1] == b"["):
        return batch(body)
    return Delivery([message_of(body)])


def batch(body: bytes) -> Delivery:
    """Take a batch apart. A body that cannot be parsed is one message with a fault."""
    try:
        items = strict_json.items(body)
    except Rejected as fault:
        return Delivery([Message(None, body, fault)])
    if items is None:
        raise Problem(400, "batch.not_array", "A batch is a JSON array of messages.")
    if not items:
        raise Problem(400, "batch.empty", "The batch has no messages in it.")
    if len(items) > BATCH_MAX:
        raise Problem(413, "batch.too_large", f"A batch can have {BATCH_MAX} messages.")
    return Delivery([message_of(item) for item in items], is_batch=True)


def binary(headers: Headers, content_type: str, body: bytes) -> Message:
    """Put a message together whose attributes are headers and whose body is the data."""
    try:
        attributes = dict(attributes_in(headers.raw))
        data = data_of(content_type, body)
    except Rejected as fault:
        return Message(None, body, fault)
    message = attributes if data is None else attributes | {"data": data}
    return Message(message, orjson.dumps(message))


def data_of(content_type: str, body: bytes) -> object:
    """Parse the data of a message, if there is any."""
    if content_type not in ("", "application/json") and not content_type.endswith("+json"):
        raise Rejected("data.not_json", "The data of a message must be JSON.")
    return strict_json.loads(body) if body else None


def attributes_in(headers: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[str, str]]:
    """Give the attributes in `ce-` headers, unquoted and percent-decoded."""
    for name, value in headers:
        if name.startswith(b"ce-"):
            try:
                yield name[3:].decode("ascii"), unquote_to_bytes(unquoted(value)).decode()
            except UnicodeDecodeError:
                raise Rejected(
                    "message.header_not_utf8", "A ce- header is not percent-encoded UTF-8."
                ) from None


def unquoted(value: bytes) -> bytes:
    """Take a header value out of its double quotes."""
    if len(value) >= 2 and value[:1] == value[-1:] == b'"':
        return re.sub(rb"\\(.)", rb"\1", value[1:-1])
    return value
