"""Checks an exported history of one customer: python verify.py DIRECTORY. It asks nobody else.

Our own software checks with it, too. It needs Python 3.11 and `cryptography`. Ask a witness if
key.txt and checkpoint.txt are what was published. The tree is that of RFC 6962, the event at
position p its leaf p - 1; checkpoints are C2SP signed notes (Ed25519). complete.txt tells all
positions of this customer: that none was left out is the word of who signed; since, is proven.
"""

import json
import re
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Hashes = Sequence[bytes]


class BadProof(Exception):
    """Something does not prove what it claims to prove."""


class Checkpoint(NamedTuple):
    """What was signed: a tree had this root when it had so many leaves; and what else of it."""

    origin: str
    size: int
    root: bytes
    more: str = ""


def leaf_hash(data: bytes) -> bytes:
    """Hash a leaf."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash an inner node."""
    return sha256(b"\x01" + left + right).digest()


def climb(at: int, last: int, proof: Hashes) -> Iterator[tuple[bytes, int]]:
    """Go up from a node, the last one of its row being `last`; tell which hashes go to the left."""
    inner = (at ^ last).bit_length()  # from there on, all that lies to the right is missing
    left = [at >> height & 1 for height in range(inner)] + [1] * (at >> inner).bit_count()
    if [len(each) for each in proof] != [32] * len(left):
        raise BadProof("A proof is malformed.")
    return zip(proof, left, strict=True)


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
        if b64encode(raw := b64decode(text, validate=True)).decode() == text:
            return raw
    raise BadProof("Something is not base64 as it is written.")


def key_id(name: str, public: bytes) -> bytes:
    """Give the bytes by which a signature tells its key."""
    return sha256(name.encode() + b"\n\x01" + public).digest()[:4]


def read_checkpoint(note: str, key: str, what: str = "") -> Checkpoint:
    """Read what a key has signed: NAME+ID+BASE64, as Go's `note` writes it; `what` adds to NAME."""
    log, id_, raw = key.strip().split("+", 2)  # base64 has pluses of its own
    name, public = log + what, exactly(raw).removeprefix(b"\x01")
    parts = re.fullmatch(r"((.+)\n(0|[1-9][0-9]{0,18})\n(\S{43}=)\n(.+\n)?)\n((?:— .+\n)+)", note)
    mine = re.findall(f"^— {re.escape(name)} (.+)$", parts[6], re.MULTILINE) if parts else []
    if not parts or parts[2] != name or len(mine) != 1 or id_ != key_id(log, public).hex():
        raise BadProof(f"A checkpoint is malformed, or not of {name}.")
    signature = exactly(mine[0]).removeprefix(key_id(name, public))
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, parts[1].encode())
    except (InvalidSignature, ValueError):
        raise BadProof(f"The signature of {name} at size {parts[3]} is false.") from None
    return Checkpoint(name, int(parts[3]), exactly(parts[4]), parts[5] or "")


def check(directory: Path) -> tuple[int, str]:
    """Check a bundle; gives how many events it proves, and of whom they are all up to where."""
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
    whole = read_checkpoint(text["complete.txt"], text["key.txt"], "/complete")
    if whole[1:3] != newest[1:3]:
        raise BadProof(f"complete.txt is of size {whole.size}, checkpoint.txt of {newest.size}.")
    told, seen = json.loads(whole.more), set[tuple[str, int]]()
    lines = map(json.loads, text["events.jsonl"].split("\n")[:-1])
    for at in told["positions"]:
        line = next(lines, dict[str, Any](position=0))
        if line["position"] != at:
            raise BadProof(f"The event at position {at} about {told['customers'][0]} is missing.")
        leaf, proof = leaf_hash(line["envelope"].encode()), [*map(exactly, line["proof"])]
        check_inclusion(leaf, at - 1, newest.size, proof, newest.root)
        event = json.loads(line["envelope"])
        if event["tenant"] != told["tenant"] or event["subject"] not in told["customers"]:
            raise BadProof(f"The event at position {at} is about another customer.")
        seen.add((event["stream"], event["version"]))
    if any(version > 1 and (stream, version - 1) not in seen for stream, version in seen):
        raise BadProof("An event between two others was left out before this was signed.")
    if [*lines] or len(seen) < len(told["positions"]):
        raise BadProof("There are more events than were signed, or one of them twice.")
    return len(seen), f"{' = '.join(told['customers'])} of {told['tenant']} up to {newest.size}"


if __name__ == "__main__":
    try:
        count, whom = check(Path(*sys.argv[1:2]))
    except (BadProof, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        sys.exit(f"NOT PROVEN: {error}")
    sys.stdout.write(f"Proven: {count} events, as recorded; no other is about {whom}.\n")
