"""Signs checkpoints: C2SP tlog-checkpoint as a signed note, Ed25519."""

from base64 import b64encode
from hashlib import sha256
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from infra.keys import read_key_file
from infra.proofs import key_id

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
        origin = self.origin(tree)
        text = f"{origin}\n{size}\n{b64encode(root).decode()}\n"
        signature = key_id(origin, self.public) + self._key.sign(text.encode())
        return f"{text}\n— {origin} {b64encode(signature).decode()}\n"
