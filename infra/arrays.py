"""Arrays as PostgreSQL takes them in binary, for statements that write many rows.

The driver finds out of every element of a list what it is; for a group of events that took as long
as all the rest of writing it. Here the kind is known, and laying out is joining bytes.
"""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Any, ClassVar

from psycopg import Connection
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format

HEAD = Struct("!5i").pack
"""How many dimensions, whether there are NULLs, the elements' type; how many, and from where on."""
LENGTH = Struct("!i").pack
BIGINT = Struct("!q").pack


class Array(bytes):
    """An array that is laid out; the object identifiers are those of the catalogue `pg_type`."""

    oid: ClassVar[int]
    element: ClassVar[int]


class Bytes(Array):
    """Of `bytea`."""

    oid, element = 1001, 17


class Texts(Array):
    """Of `text`; a statement casts it to what can be read from text."""

    oid, element = 1009, 25


class BigInts(Array):
    """Of `bigint`."""

    oid, element = 1016, 20


def of_bytes(items: Sequence[bytes]) -> Bytes:
    """Lay byte strings out."""
    return Bytes(laid_out(Bytes.element, items))


def of_texts(items: Iterable[str]) -> Texts:
    """Lay texts out, or whatever is written as one."""
    return Texts(laid_out(Texts.element, [item.encode() for item in items]))


def of_bigints(items: Iterable[int]) -> BigInts:
    """Lay numbers of up to 64 bits out."""
    return BigInts(laid_out(BigInts.element, [BIGINT(item) for item in items]))


def laid_out(element: int, items: Sequence[bytes]) -> bytes:
    """Put an array's head before its elements, and each element's length before the element."""
    head = HEAD(1, 0, element, len(items), 1)
    return b"".join([head, *[LENGTH(len(item)) + item for item in items]])


class AsItIs(Dumper):
    """Hands over what is laid out already."""

    format = Format.BINARY

    def __init__(self, cls: type[Array], context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self.oid = cls.oid

    def dump(self, obj: Array) -> bytes:
        """Give the bytes."""
        return obj


def register(conn: Connection[Any]) -> None:
    """Let a connection take arrays as parameters."""
    for kind in (Bytes, Texts, BigInts):
        conn.adapters.register_dumper(kind, AsItIs)
