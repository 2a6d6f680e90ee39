"""Reading what channels send: within limits, inflated, parsed strictly."""

import zlib

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from api.problems import Problem
from domain.rejected import Rejected

BODY_MAX = 10_000_000
"""Bytes, on the wire as well as inflated."""


def limited(scope: Scope, receive: Receive) -> Receive:
    """Let a body come in only until it is too large, whichever route reads it."""
    declared = Headers(scope=scope).get("content-length", "")
    read = int(declared) if declared.isdecimal() and int(declared) > BODY_MAX else 0

    async def receive_some() -> Message:
        nonlocal read
        if read <= BODY_MAX:
            message = await receive()
            read += len(message.get("body", b""))
        if read > BODY_MAX:
            raise too_large()
        return message

    return receive_some


def inflated(body: bytes, encoding: str) -> bytes:
    """Undo the content encoding. Raises `Rejected` when the body is broken."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return gunzipped(body)
    raise Problem(
        415,
        "body.encoding_unknown",
        "A body can be sent as it is, or with Content-Encoding: gzip.",
        {"Accept-Encoding": "gzip, identity"},
    )


def gunzipped(body: bytes) -> bytes:
    """Inflate a body of one or more gzip members; stops as soon as it grows too large."""
    plain = bytearray()
    while body:
        member = zlib.decompressobj(wbits=31)
        try:
            plain += member.decompress(body, BODY_MAX + 1 - len(plain))
        except zlib.error:
            raise broken("is not gzip") from None
        if len(plain) > BODY_MAX:
            raise too_large()
        if not member.eof:
            raise broken("ends too early")
        body = member.unused_data
    return bytes(plain)


def broken(how: str) -> Rejected:
    """Refuse a body that cannot be inflated."""
    return Rejected("body.gzip_broken", f"The body says that it is gzip, but {how}.")


def too_large() -> Problem:
    """Refuse a body beyond the limit, whatever is in it."""
    return Problem(
        413, "body.too_large", f"A body can have {BODY_MAX // 1_000_000} MB, also when inflated."
    )
