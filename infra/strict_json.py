"""Reads JSON that others sent, and takes nothing in that would come out as something else.

orjson is fast and strict about UTF-8, surrogates and NaN, but makes a float of an integer that has
more than 64 bits. Such a text is read a second time by the standard library, which can tell.
"""

import json
import re

import orjson

from domain.rejected import Rejected

INTEGER_MAX = 2**63 - 1
MAYBE_TOO_LONG = re.compile(rb"\d{19}")


def loads(text: bytes) -> object:
    """Parse a JSON text; raises `Rejected`."""
    parsed = parse(text)
    if MAYBE_TOO_LONG.search(text):
        json.loads(text, parse_int=refuse_length)
    return parsed


def items(text: bytes) -> list[bytes] | None:
    """Split a JSON array into the texts of its items; None when it is not an array.

    An integer that is too long is left to its item: it must not be the fault of the others.
    """
    parsed = parse(text)
    if not isinstance(parsed, list):
        return None
    if MAYBE_TOO_LONG.search(text):
        return [json.dumps(item).encode() for item in json.loads(text)]
    return [orjson.dumps(item) for item in parsed]


def parse(text: bytes) -> object:
    """Parse as fast as can be."""
    try:
        parsed: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise fault_of(error) from None
    refuse_depth(parsed)
    return parsed


def fault_of(error: orjson.JSONDecodeError) -> Rejected:
    """Say what is wrong without a word of what was sent."""
    if "depth" in error.msg or "recursion" in error.msg.lower():
        return too_deep()
    place = f"line {error.lineno}, column {error.colno}"
    return Rejected("message.not_json", f"This is not JSON: {error.msg} ({place}).")


def refuse_depth(parsed: object) -> None:
    """Refuse what could be read, but never be written again."""
    try:
        orjson.dumps(parsed)
    except orjson.JSONEncodeError:
        raise too_deep() from None


def too_deep() -> Rejected:
    """Refuse a text whose brackets are nested beyond reason."""
    return Rejected("message.too_deep", "This JSON is nested too deeply; 250 levels are allowed.")


def refuse_length(digits: str) -> int:
    """Refuse an integer that is not one of 64 bits."""
    number = int(digits) if len(digits) <= 20 else INTEGER_MAX + 1
    if not -INTEGER_MAX - 1 <= number <= INTEGER_MAX:
        raise Rejected(
            "message.integer_too_large", "An integer has more than 64 bits; send it as a string."
        )
    return number
