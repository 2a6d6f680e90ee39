"""Witnesses: somebody else remembers our checkpoints, so that we cannot show two histories.

A witness takes a checkpoint only with a proof that it continues the last one that it has seen. The
file is for a disk that the database's administrators cannot write to; the HTTP witness speaks C2SP
tlog-witness and adds its own signature.
"""

import os
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infra.audit_tree import StoredTree
from infra.proofs import BadProof, Checkpoint, check_consistency, exactly, read_checkpoint

TIMEOUT_SECONDS = 10.0
COSIGNATURE = b"\x04"
"""The type of a witness's key."""


class Witness(Protocol):
    """Remembers the checkpoints of our trees."""

    def size(self, key: str) -> int:
        """Tell how large the tree was when it was last seen, 0 if never."""

    def add(self, key: str, old: int, proof: Sequence[bytes], note: str) -> str:
        """Take a checkpoint; gives the signatures to be added. Raises `BadProof`, `OSError`."""


def publish(tree: StoredTree, witness: Witness) -> Checkpoint | None:
    """Show the newest checkpoint of a tree to a witness, unless it has seen it."""
    head, key = tree.head(), tree.signer.key(tree.name)
    if head is None:
        return None
    old = witness.size(key)
    if old > head.size:
        raise BadProof(f"The witness has seen {old} leaves of {tree.name}; there are {head.size}.")
    if old < head.size:
        proof = tree.consistency(old, head.size) if old else []
        signatures = witness.add(key, old, proof, head.note)
        if signatures:
            tree.add_signatures(head.size, signatures)
    return read_checkpoint(head.note, key)


class FileWitness:
    """One line for each checkpoint, only ever added to."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def checkpoints(self, key: str) -> Iterator[Checkpoint]:
        """Give all that were seen of a tree, the oldest first. Raises `BadProof`."""
        origin = key.partition("+")[0]
        for line in self._lines():
            if line["checkpoint"].startswith(f"{origin}\n"):
                yield read_checkpoint(line["checkpoint"], key)

    def size(self, key: str) -> int:
        """Tell how large the tree was when it was last seen, 0 if never."""
        last = self._last(key)
        return last.size if last else 0

    def add(self, key: str, old: int, proof: Sequence[bytes], note: str) -> str:
        """Take a checkpoint that continues the last one. Raises `BadProof`, `OSError`."""
        last, new = self._last(key), read_checkpoint(note, key)
        if (last.size if last else 0) != old:
            raise BadProof(f"The witness has not seen {old} leaves last.")
        if last:
            check_consistency(last.size, new.size, proof, last.root, new.root)
        line = orjson.dumps({"time": datetime.now(UTC), "checkpoint": note})
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(line + b"\n")
            file.flush()
            os.fsync(file.fileno())
        return ""

    def _last(self, key: str) -> Checkpoint | None:
        origin = key.partition("+")[0]
        for line in reversed(list(self._lines())):
            if line["checkpoint"].startswith(f"{origin}\n"):
                return read_checkpoint(line["checkpoint"], key)
        return None

    def _lines(self) -> Iterator[dict[str, str]]:
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                yield orjson.loads(line)


class HttpWitness:
    """A witness that speaks C2SP tlog-witness; `key` checks its signatures: NAME+ID+BASE64."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url.rstrip("/"), key
        self._sizes: dict[str, int] = {}

    def size(self, key: str) -> int:
        """Tell how large the tree was when we last heard of it; the witness corrects it."""
        return self._sizes.get(key, 0)

    def add(self, key: str, old: int, proof: Sequence[bytes], note: str) -> str:
        """Send a checkpoint; gives the witness's signature. Raises `BadProof`, `OSError`."""
        hashes = "".join(f"{b64encode(each).decode()}\n" for each in proof)
        body = f"old {old}\n{hashes}\n{note}".encode()
        request = urllib.request.Request(f"{self._url}/add-checkpoint", body, method="POST")  # noqa: S310 - the operator's own setting
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
                signatures = str(answer.read(100_000), "utf-8")
        except urllib.error.HTTPError as error:
            with error:
                self._refused(key, error)
        self._check(note, signatures)
        self._sizes[key] = read_checkpoint(note, key).size
        return signatures

    def _refused(self, key: str, error: urllib.error.HTTPError) -> None:
        if error.code == 409:
            self._sizes[key] = int(error.read(40))
            raise Behind(f"The witness has seen {self._sizes[key]} leaves.") from None
        raise BadProof(f"The witness refused the checkpoint with {error.code}.") from None

    def _check(self, note: str, signatures: str) -> None:
        """Check the cosignature (C2SP tlog-cosignature): its time, then the note's text."""
        name, id_, public = self._key.split("+", 2)
        for line in signatures.splitlines():
            if line.startswith(f"— {name} "):
                raw = exactly(line.split(" ")[2])
                time, text = int.from_bytes(raw[4:12]), note.partition("\n\n")[0]
                signed = f"cosignature/v1\ntime {time}\n{text}\n".encode()
                try:
                    raw_key = exactly(public).removeprefix(COSIGNATURE)
                    Ed25519PublicKey.from_public_bytes(raw_key).verify(raw[12:], signed)
                except (InvalidSignature, ValueError):
                    break
                if raw[:4].hex() == id_:
                    return
        raise BadProof("The witness did not sign the checkpoint.")


class Behind(OSError):
    """The witness has seen another size than we thought; showing it again will work."""
