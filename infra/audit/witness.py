"""Witnesses: somebody else remembers our checkpoints, so that we cannot show two histories.

A witness takes a checkpoint only with a proof that it continues the last one that it has seen. The
file is for a disk that the database's administrators cannot write to; the HTTP witness speaks C2SP
tlog-witness and adds its own signature.
"""

import fcntl
import os
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from infra.audit.proofs import BadProof, Checkpoint, check_consistency, exactly, read_checkpoint
from infra.audit.tree import StoredTree

TIMEOUT_SECONDS = 10.0
ATTEMPTS_MAX = 4
COSIGNATURE = b"\x04"
"""The type of a witness's key."""


class Witness(Protocol):
    """Remembers the checkpoints of our trees."""

    def size(self, key: str) -> int:
        """Tell how large the tree was when it was last seen, 0 if never."""

    def add(self, key: str, old: int, proof: Sequence[bytes], note: str) -> str:
        """Take a checkpoint; gives the signatures to be added. Raises `BadProof`, `OSError`."""


class Behind(OSError):
    """The witness has seen another size than we thought; showing it again will work."""


def publish(tree: StoredTree, witness: Witness) -> Checkpoint | None:
    """Show the newest checkpoint of a tree to a witness, unless it has seen it.

    Another auditor may be at it as well, and quicker: then it is asked again what it has seen.
    """
    for _ in range(ATTEMPTS_MAX - 1):
        try:
            return shown(tree, witness)
        except Behind:
            continue
    return shown(tree, witness)


def shown(tree: StoredTree, witness: Witness) -> Checkpoint | None:
    """Show it once. Raises `Behind`, `BadProof`, `OSError`."""
    key = tree.signer.key(tree.name)
    old = witness.size(key)  # asked first: another auditor may sign and show more meanwhile
    head = tree.head()
    if head is None:
        return None
    if old > head.size:
        raise BadProof(f"The witness has seen {old} leaves of {tree.name}; there are {head.size}.")
    if old < head.size:
        proof = tree.consistency(old, head.size) if old else []
        signatures = witness.add(key, old, proof, head.note)
        if signatures:
            tree.add_signatures(head.size, signatures)
    return read_checkpoint(head.note, key)


class WoundBack(NamedTuple):
    """Two people have agreed that a log goes on after `size`: a backup was restored."""

    size: int
    request: str
    asked_by: str
    approved_by: str


class FileWitness:
    """One line for each checkpoint, only ever added to; what was read is not read again."""

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0
        self._newest: dict[str, str] = {}
        self._reading = threading.Lock()

    def checkpoints(self, key: str) -> list[Checkpoint]:
        """Give what was seen of a tree and still counts, the oldest first. Raises `BadProof`."""
        return [read_checkpoint(note, key) for note in counting(self._lines(), origin_of(key))]

    def wound_back(self, key: str) -> list[WoundBack]:
        """Tell when a log was wound back, and by whom."""
        of_tree = (line for line in self._lines() if line.get("tree") == origin_of(key))
        return [WoundBack(**line["wound_back"]) for line in of_tree]

    def size(self, key: str) -> int:
        """Tell how large the tree was when it was last seen, 0 if never."""
        last = self._last(key)
        return last.size if last else 0

    def add(self, key: str, old: int, proof: Sequence[bytes], note: str) -> str:
        """Take a checkpoint that continues the last one. Raises `Behind`, `BadProof`, `OSError`."""
        new = read_checkpoint(note, key)
        with self._alone():
            last = self._last(key)
            if (last.size if last else 0) != old:
                raise Behind(f"The witness has not seen {old} leaves last.")
            if last:
                check_consistency(last.size, new.size, proof, last.root, new.root)
            self._append({"checkpoint": note})
        return ""

    def wind_back(self, key: str, back: WoundBack) -> None:
        """Let a log go on after fewer leaves than were seen."""
        self._append({"tree": origin_of(key), "wound_back": back._asdict()})

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes away from the file."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _append(self, line: dict[str, Any]) -> None:
        raw = orjson.dumps({"time": datetime.now(UTC), **line}) + b"\n"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())

    def _last(self, key: str) -> Checkpoint | None:
        with self._reading:
            if self._size() < self._read:  # another file
                self._read, self._newest = 0, {}
            for line, end in self._lines_to(self._read):
                self._take(line)
                self._read = end
            note = self._newest.get(origin_of(key))
        return read_checkpoint(note, key) if note else None

    def _take(self, line: dict[str, Any]) -> None:
        if "checkpoint" in line:
            self._newest[line["checkpoint"].partition("\n")[0]] = line["checkpoint"]
            return
        left = counting(self._lines(), line["tree"])
        self._newest[line["tree"]] = left[-1] if left else ""

    def _lines(self) -> Iterator[dict[str, Any]]:
        return (line for line, _ in self._lines_to(0))

    def _lines_to(self, start: int) -> Iterator[tuple[dict[str, Any], int]]:
        """Give the lines that are whole, each with the place where it ends."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(start)
            for raw in file:
                if raw.endswith(b"\n"):
                    start += len(raw)
                    yield orjson.loads(raw), start

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0


def counting(lines: Iterable[dict[str, Any]], origin: str) -> list[str]:
    """Give the checkpoints of a tree without those that a restored backup has made void."""
    notes: list[str] = []
    for line in lines:
        if line.get("tree") == origin:
            upto = line["wound_back"]["size"]
            notes = [note for note in notes if int(note.split("\n", 2)[1]) <= upto]
        elif line.get("checkpoint", "").startswith(f"{origin}\n"):
            notes.append(line["checkpoint"])
    return notes


def origin_of(key: str) -> str:
    """Give the name of the tree that a key is for."""
    return key.partition("+")[0]


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
