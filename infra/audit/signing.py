"""Signs checkpoints: C2SP tlog-checkpoint as a signed note, Ed25519."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.audit.proofs import key_id
from infra.keys.master_key import read_key_file

ED25519 = b"\x01"


class Signer:
    """The key of this installation's checkpoints. The name of the log is made of it."""

    def __init__(self, path: Path) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(read_key_file(path))
        self.public = self._key.public_key().public_bytes_raw()
        self.name = f"crm-{sha256(self.public).hexdigest()[:12]}"

    def origin(self, tree: str) -> str:
        """Name one of this installation's trees."""
        return f"{self.name}/{tree}"

    def key(self, tree: str) -> str:
        """Give what checks the signatures of a tree: NAME+ID+BASE64, as Go's `note` reads it."""
        origin = self.origin(tree)
        public = b64encode(ED25519 + self.public).decode()
        return f"{origin}+{key_id(origin, self.public).hex()}+{public}"

    def checkpoint(self, tree: str, size: int, root: bytes) -> str:
        """Sign that a tree has this root at this size."""
        return self.sign(tree, f"{self.origin(tree)}\n{size}\n{b64encode(root).decode()}")

    def sign(self, what: str, text: str) -> str:
        """Sign a text as a note: the text, an empty line, and who signed it."""
        origin, text = self.origin(what), f"{text}\n"
        signature = key_id(origin, self.public) + self._key.sign(text.encode())
        return f"{text}\n— {origin} {b64encode(signature).decode()}\n"

    def verify(self, what: str, signature: bytes, text: str) -> None:
        """Check a signature of ours; raises `ValueError`."""
        if signature[:4] != key_id(self.origin(what), self.public):
            raise ValueError("The signature is of another key.")
        try:
            self._key.public_key().verify(signature[4:], text.encode())
        except InvalidSignature:
            raise ValueError("The signature is false.") from None
