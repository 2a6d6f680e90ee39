"""Checks an exported history of one customer: python verify.py DIRECTORY. It asks nobody else.

This file is in every bundle, and our own software checks with the same functions. It needs Python
3.11 and the package `cryptography`. Ask a witness whether key.txt and checkpoint.txt are those that
were published. The tree is that of RFC 6962: the event at position p is leaf p - 1. Checkpoints are
signed notes (C2SP tlog-checkpoint, Ed25519).
"""

import json
import re
import sys
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Hashes = Sequence[bytes]


class BadProof(Exception):
    """Something does not prove what it claims to prove."""


class Checkpoint(NamedTuple):
    """What was signed: a tree had this root when it had so many leaves."""

    origin: str
    size: int
    root: bytes


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node."""
    return sha256(b"\x01" + left + right).digest()


def climb(at: int, last: int, proof: Hashes) -> Iterator[tuple[bytes, bool]]:
    """Go up from a node, the last one of its row being `last`; tell which hashes go to the left."""
    for each in proof:
        if last == 0 or len(each) != 32:
            raise BadProof("A proof is malformed.")
        left = at & 1 == 1 or at == last
        while left and at and not at & 1:
            at, last = at >> 1, last >> 1
        yield each, left
        at, last = at >> 1, last >> 1
    if last:
        raise BadProof("A proof is too short.")


def check_inclusion(leaf: bytes, index: int, size: int, proof: Hashes, root: bytes) -> None:
    """Check that a leaf is in the tree of this size and root (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size:
        raise BadProof("A proof is malformed.")
    for each, left in climb(index, size - 1, proof):
        leaf = node_hash(each, leaf) if left else node_hash(leaf, each)
    if leaf != root:
        raise BadProof(f"The event at position {index + 1} is not the one that was recorded.")


def check_consistency(old: int, new: int, proof: Hashes, old_root: bytes, new_root: bytes) -> None:
    """Check that a tree only grew from one size and root to the other (RFC 9162, 2.1.4.2)."""
    if 0 < old == new and not proof and old_root == new_root:
        return
    steps = list(proof) if old & (old - 1) else [old_root, *proof]
    if not 0 < old < new or not steps:
        raise BadProof("A proof is malformed, or there are two trees of one size.")
    up, before, after = (old & -old).bit_length() - 1, steps[0], steps[0]
    for each, left in climb(old - 1 >> up, new - 1 >> up, steps[1:]):
        before = node_hash(each, before) if left else before
        after = node_hash(each, after) if left else node_hash(after, each)
    if (before, after) != (old_root, new_root):
        raise BadProof(f"The tree of size {new} does not continue the one of size {old}.")


def exactly(text: str) -> bytes:
    """Read base64; refuse what is not exactly as it would be written."""
    with suppress(ValueError):
        raw = b64decode(text, validate=True)
        if b64encode(raw).decode() == text:
            return raw
    raise BadProof("Something is not base64 as it is written.")


def key_id(name: str, public: bytes) -> bytes:
    """Give the bytes by which a signature tells its key."""
    return sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def read_checkpoint(note: str, key: str) -> Checkpoint:
    """Read a signed checkpoint; `key` is NAME+ID+BASE64, as the Go `note` package writes it."""
    name, id_, raw = key.strip().split("+", 2)  # base64 has pluses of its own
    public = exactly(raw).removeprefix(b"\x01")
    parts = re.fullmatch(r"((\S+)\n(0|[1-9][0-9]{0,18})\n(\S+)\n)\n((?:— [^\n]+\n)+)", note)
    mine = [line for line in parts[5].split("\n") if line.startswith(f"— {name} ")] if parts else []
    if not parts or parts[2] != name or len(mine) != 1:
        raise BadProof("A checkpoint is malformed, or of another log.")
    size, root, signature = int(parts[3]), exactly(parts[4]), exactly(mine[0].split(" ")[2])
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], parts[1].encode())
    except (InvalidSignature, ValueError):
        raise BadProof(f"The signature of the checkpoint of size {size} is false.") from None
    if signature[:4].hex() != id_ or signature[:4] != key_id(name, public) or len(root) != 32:
        raise BadProof("A checkpoint is malformed, or signed with another key.")
    return Checkpoint(name, size, root)


def check(directory: Path) -> tuple[int, Checkpoint]:
    """Check a bundle; gives how many events it proves, and in which tree."""
    text = {file.name: file.read_text("utf-8") for file in directory.glob("*.*")}
    newest = read_checkpoint(text["checkpoint.txt"], text["key.txt"])
    signed = {newest}
    for line in map(json.loads, text["checkpoints.jsonl"].split("\n")[:-1]):
        old, proof = read_checkpoint(line["checkpoint"], text["key.txt"]), line["proof"]
        check_consistency(old.size, newest.size, [*map(exactly, proof)], old.root, newest.root)
        signed.add(old)
    for file in directory.glob("time-stamps/*.txt"):
        if read_checkpoint(file.read_text("utf-8"), text["key.txt"]) not in signed:
            raise BadProof("A time stamp is of a checkpoint that is not proven.")
    versions, positions = defaultdict[str, list[int]](list), list[int]()
    for line in map(json.loads, text["events.jsonl"].split("\n")[:-1]):
        leaf, at, proof = leaf_hash(line["envelope"].encode()), line["position"], line["proof"]
        check_inclusion(leaf, at - 1, newest.size, [*map(exactly, proof)], newest.root)
        event = json.loads(line["envelope"])
        versions[event["stream"]].append(event["version"])
        positions.append(at)
    if positions != sorted(set(positions)):
        raise BadProof("The events are not in the order in which they were recorded.")
    if any(found != list(range(1, len(found) + 1)) for found in versions.values()):
        raise BadProof("An event between two others has been left out.")
    return len(positions), newest


if __name__ == "__main__":
    try:
        count, tree = check(Path(*sys.argv[1:2]))
    except (BadProof, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"NOT PROVEN: {error}")
    sys.stdout.write(f"Proven: {count} events are in {tree.origin}, of {tree.size}, as recorded.\n")
