"""Master keys in HashiCorp Vault: the transit engine wraps and unwraps, the keys never leave it."""

import json
import urllib.error
import urllib.request
from base64 import b64decode, b64encode
from datetime import datetime
from typing import Any

TIMEOUT_SECONDS = 10.0


class KeyService(Exception):
    """The service that keeps the master keys refused, or could not be reached."""


class VaultMasterKeys:
    """One transit key per epoch: `PREFIX-1`, `PREFIX-2` and so on."""

    def __init__(self, address: str, mount: str, prefix: str, token: str) -> None:
        self._base, self._prefix, self._token = f"{address.rstrip('/')}/v1/{mount}", prefix, token

    def make(self, epoch: int) -> None:
        """Make the key of a new epoch; one that is there already stays as it is."""
        self._call("POST", f"keys/{self._prefix}-{epoch}", {"type": "aes256-gcm96"})

    def wrap(self, epoch: int, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypt a data key, bound to what it is for."""
        sent = {"plaintext": text(secret), "associated_data": text(bound_to)}
        answer = self._call("POST", f"encrypt/{self._prefix}-{epoch}", sent)
        return str(answer["data"]["ciphertext"]).encode()

    def unwrap(self, epoch: int, wrapped: bytes, bound_to: bytes) -> bytes:
        """Decrypt a data key; raises `KeyService`."""
        sent = {"ciphertext": wrapped.decode(), "associated_data": text(bound_to)}
        answer = self._call("POST", f"decrypt/{self._prefix}-{epoch}", sent)
        return b64decode(answer["data"]["plaintext"])

    def destroy(self, epoch: int) -> datetime | None:
        """Delete the key of an epoch."""
        name = f"keys/{self._prefix}-{epoch}"
        self._call("POST", f"{name}/config", {"deletion_allowed": True})
        self._call("DELETE", name)
        return None

    def _call(self, method: str, path: str, sent: dict[str, Any] | None = None) -> dict[str, Any]:
        headers = {"X-Vault-Token": self._token, "Content-Type": "application/json"}
        body = None if sent is None else json.dumps(sent).encode()
        return call(f"{self._base}/{path}", method, headers, body)


def call(url: str, method: str, headers: dict[str, str], body: bytes | None) -> dict[str, Any]:
    """Call a key service; what it says goes into no message: it may quote what was sent."""
    request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - a setting
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310
            raw = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            raise KeyService(f"The key service refused with {error.code}.") from None
    except OSError as error:
        raise KeyService(f"The key service is away: {type(error).__name__}.") from None
    return dict(json.loads(raw)) if raw else {}


def text(raw: bytes) -> str:
    """Write bytes as base64."""
    return b64encode(raw).decode()
