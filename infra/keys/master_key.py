"""Master keys: what wraps data keys, and what every place that keeps them has to do."""

import contextlib
import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32


class WrongKey(Exception):
    """A master key is not the one that wrapped what it is to open, or is no key at all."""


class MasterKeys(Protocol):
    """The master keys of all epochs; their bytes never leave where they are kept."""

    def make(self, epoch: int) -> None:
        """Make the key of a new epoch."""

    def wrap(self, epoch: int, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypt a data key, bound to what it is for."""

    def unwrap(self, epoch: int, wrapped: bytes, bound_to: bytes) -> bytes:
        """Decrypt a data key."""

    def destroy(self, epoch: int) -> datetime | None:
        """Destroy the key of an epoch for good; gives when, if that is not at once."""


class MasterKey:
    """The master key of an epoch in a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._cipher = AESGCM(read_key_file(path))

    def wrap(self, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypt a data key, bound to what it is for."""
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, secret, bound_to)

    def unwrap(self, wrapped: bytes, bound_to: bytes) -> bytes:
        """Decrypt a data key; raises `cryptography.exceptions.InvalidTag` if it is not ours."""
        return self._cipher.decrypt(wrapped[:12], wrapped[12:], bound_to)


def read_key_file(path: Path) -> bytes:
    """Give 32 secret bytes that only their owner can read; they are made if they are missing."""
    if not path.exists():
        make_key_file(path)
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"The key {path} can be read by others: chmod 600 it.")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise WrongKey(f"The key {path} has {len(key)} bytes; it must be the {KEY_BYTES} it had.")
    return key


def make_key_file(path: Path) -> None:
    """Make a key, whole and on disk before it has its name; the first of several stays."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, unfinished = tempfile.mkstemp(dir=path.parent, prefix=path.name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(AESGCM.generate_key(256))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        os.unlink(unfinished)
    directory = os.open(path.parent, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)


# A key that is under a legal hold is given only to who says so.
