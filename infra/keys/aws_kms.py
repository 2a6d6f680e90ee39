"""Master keys in AWS KMS: it wraps and unwraps, the keys never leave it.

Only three calls are needed, so they are made here, signed with Signature Version 4.
"""

import hmac
import json
from base64 import b64decode
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, NamedTuple

from infra.keys.vault import call, text

PENDING_DAYS = 7
"""The shortest time after which KMS deletes a key."""
ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """An access key; `session` only where it is a temporary one."""

    key_id: str
    secret: str
    session: str = ""


class AwsMasterKeys:
    """One KMS key per epoch, found by its alias: `alias/PREFIX-1`, `alias/PREFIX-2` and so on."""

    def __init__(
        self, region: str, prefix: str, credentials: Credentials, endpoint: str | None = None
    ) -> None:
        self._region, self._prefix, self._credentials = region, prefix, credentials
        self._url = (endpoint or f"https://kms.{region}.amazonaws.com").rstrip("/") + "/"
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def make(self, epoch: int) -> None:
        """Make the key of a new epoch, and give it its name."""
        made = self._call("CreateKey", {"Description": f"Data keys of epoch {epoch}"})
        target = made["KeyMetadata"]["KeyId"]
        self._call("CreateAlias", {"AliasName": self._alias(epoch), "TargetKeyId": target})

    def wrap(self, epoch: int, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypt a data key, bound to what it is for."""
        sent = {"Plaintext": text(secret), **self._bound(epoch, bound_to)}
        return b64decode(self._call("Encrypt", sent)["CiphertextBlob"])

    def unwrap(self, epoch: int, wrapped: bytes, bound_to: bytes) -> bytes:
        """Decrypt a data key; raises `infra.keys.vault.KeyService`."""
        sent = {"CiphertextBlob": text(wrapped), **self._bound(epoch, bound_to)}
        return b64decode(self._call("Decrypt", sent)["Plaintext"])

    def destroy(self, epoch: int) -> datetime | None:
        """Schedule the key of an epoch for deletion; gives when KMS will delete it."""
        found = self._call("DescribeKey", {"KeyId": self._alias(epoch)})
        sent = {"KeyId": found["KeyMetadata"]["KeyId"], "PendingWindowInDays": PENDING_DAYS}
        told = self._call("ScheduleKeyDeletion", sent)
        return datetime.fromtimestamp(float(told["DeletionDate"]), UTC)

    def _alias(self, epoch: int) -> str:
        return f"alias/{self._prefix}-{epoch}"

    def _bound(self, epoch: int, bound_to: bytes) -> dict[str, Any]:
        return {"KeyId": self._alias(epoch), "EncryptionContext": {"bound-to": text(bound_to)}}

    def _call(self, action: str, sent: dict[str, Any]) -> dict[str, Any]:
        body = json.dumps(sent).encode()
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "host": self._url.split("/")[2],
            "x-amz-date": self.now().strftime("%Y%m%dT%H%M%SZ"),
            "x-amz-target": f"TrentService.{action}",
        }
        if self._credentials.session:
            headers["x-amz-security-token"] = self._credentials.session
        signed = authorization(self._credentials, self._region, "kms", headers, body)
        return call(self._url, "POST", headers | {"authorization": signed}, body)


def authorization(
    credentials: Credentials, region: str, service: str, headers: dict[str, str], body: bytes
) -> str:
    """Sign a POST to / (AWS Signature Version 4)."""
    at = headers["x-amz-date"]
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    request = f"POST\n/\n\n{lines}\n{names}\n{sha256(body).hexdigest()}"
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{at}\n{scope}\n{sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), sha256)
    signature = hmac.digest(key, to_sign.encode(), sha256).hex()
    shown = f"Credential={credentials.key_id}/{scope}"
    return f"{ALGORITHM} {shown}, SignedHeaders={names}, Signature={signature}"
