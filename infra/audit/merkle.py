"""Roots and proofs of an RFC 6962 tree, from whatever can give the hash of a perfect subtree.

A subtree is perfect when all its 2^height leaves are there; `index` counts those of its height.
Hashes are kept in tiles of 256 leaves, eight levels high (C2SP tlog-tiles): the root of a full
tile is a leaf of the tile above it. Checking proofs is in `infra.audit.proofs`.
"""

from collections.abc import Callable
from hashlib import sha256
from struct import Struct

from infra.audit.proofs import node_hash

HEIGHT = 8
WIDTH = 1 << HEIGHT
HASH = 32
EMPTY_ROOT = sha256(b"").digest()
PAIR = Struct(f"{2 * HASH}s")
INNER = sha256(b"\x01")
"""Begun as every inner node is: going on from it costs OpenSSL less than to begin anew."""

Node = Callable[[int, int], bytes]
"""Gives the hash of the perfect subtree of (height, index)."""


class Tile:
    """Up to 256 hashes next to one another, and all nodes above them."""

    __slots__ = ("levels",)

    def __init__(self, hashes: bytes) -> None:
        self.levels = [hashes]
        while len(self.levels[-1]) > HASH:
            self.levels.append(parents(self.levels[-1]))

    def node(self, height: int, index: int) -> bytes:
        """Give a node of this tile; its leaves have height 0. Raises `LookupError`."""
        at = index * HASH
        found = self.levels[height][at : at + HASH]
        if len(found) != HASH:
            raise LookupError(f"The tile has no node {index} of height {height}.")
        return found


def parents(hashes: bytes) -> bytes:
    """Hash neighbours two by two; a last one without a neighbour has no parent yet."""
    found = []
    for (pair,) in PAIR.iter_unpack(hashes[: len(hashes) // PAIR.size * PAIR.size]):
        node = INNER.copy()
        node.update(pair)
        found.append(node.digest())
    return b"".join(found)


def tile_of(height: int, index: int) -> tuple[int, int]:
    """Tell in which tile a node is: its level, and its number within the level."""
    return height // HEIGHT, index >> (HEIGHT - height % HEIGHT)


def node_in(tile: Tile, height: int, index: int) -> bytes:
    """Take a node of the whole tree out of its tile."""
    within = HEIGHT - height % HEIGHT
    return tile.node(height % HEIGHT, index & ((1 << within) - 1))


def split(size: int) -> int:
    """Give the largest power of two below a size."""
    return 1 << (size - 1).bit_length() - 1


def subtree(node: Node, start: int, stop: int) -> bytes:
    """Hash the leaves from `start` to before `stop`; `start` is where such a subtree can begin."""
    size = stop - start
    if size & (size - 1) == 0:
        height = size.bit_length() - 1
        return node(height, start >> height)
    middle = start + split(size)
    return node_hash(subtree(node, start, middle), subtree(node, middle, stop))


def root(node: Node, size: int) -> bytes:
    """Give the root of the tree of the first `size` leaves."""
    return subtree(node, 0, size) if size else EMPTY_ROOT


def inclusion_proof(node: Node, index: int, size: int) -> list[bytes]:
    """Prove that a leaf is in the tree of this size."""
    if not 0 <= index < size:
        raise LookupError(f"A tree of size {size} has no leaf {index}.")
    proof, start, stop = [], 0, size
    while stop - start > 1:
        middle = start + split(stop - start)
        if index < middle:
            proof.append(subtree(node, middle, stop))
            stop = middle
        else:
            proof.append(subtree(node, start, middle))
            start = middle
    return proof[::-1]


def consistency_proof(node: Node, old: int, new: int) -> list[bytes]:
    """Prove that the tree of size `new` begins with all leaves of the one of size `old`."""
    if not 0 < old <= new:
        raise LookupError(f"No tree of size {new} continues one of size {old}.")
    proof, start, stop = [], 0, new
    while stop != old:
        middle = start + split(stop - start)
        if old <= middle:
            proof.append(subtree(node, middle, stop))
            stop = middle
        else:
            proof.append(subtree(node, start, middle))
            start = middle
    if start:
        proof.append(subtree(node, start, stop))
    return proof[::-1]
