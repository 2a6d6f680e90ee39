"""Where master keys are kept: in files of this machine, unless a key service is named."""

import os
from datetime import datetime
from pathlib import Path

from infra.keys.aws_kms import AwsMasterKeys, Credentials
from infra.keys.master_key import MasterKey, MasterKeys
from infra.keys.vault import VaultMasterKeys


class UnknownKeyService(Exception):
    """The settings name no place for master keys that we know, or not how to get in."""


def master_keys(where: str, file: Path) -> MasterKeys:
    """Give the master keys: `file`, `vault:URL#MOUNT/PREFIX`, or `aws-kms:REGION/PREFIX`.

    Credentials are in the environment, under the names that those services have given them.
    """
    kind, _, place = where.partition(":")
    match kind:
        case "file":
            return FileMasterKeys(file)
        case "vault":
            address, _, path = place.rpartition("#")
            mount, _, prefix = path.rpartition("/")
            return VaultMasterKeys(address, mount, prefix, credential("VAULT_TOKEN"))
        case "aws-kms":
            region, _, prefix = place.partition("/")
            shown = Credentials(
                credential("AWS_ACCESS_KEY_ID"),
                credential("AWS_SECRET_ACCESS_KEY"),
                os.environ.get("AWS_SESSION_TOKEN", ""),
            )
            endpoint = os.environ.get("AWS_ENDPOINT_URL_KMS")
            return AwsMasterKeys(region, prefix, shown, endpoint)
    raise UnknownKeyService(f"CRM_MASTER_KEYS: {kind!r} is none of file, vault, aws-kms.")


def credential(name: str) -> str:
    """Give what opens a key service. Raises `UnknownKeyService`."""
    if not os.environ.get(name):
        raise UnknownKeyService(f"CRM_MASTER_KEYS names a key service, and {name} is not set.")
    return os.environ[name]


class LostEpoch(Exception):
    """The master key of an epoch is not there; what it had wrapped cannot be opened."""


class FileMasterKeys:
    """A file per epoch: `master.key` for the first, then `master.key.2` and so on.

    Overwriting a file before it is removed is no promise that the disk has forgotten it: where that
    matters, the directory belongs on an encrypted volume, or the keys into Vault or a KMS.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._keys: dict[int, MasterKey] = {}
        if not any(path.parent.glob(f"{path.name}*")):
            self.make(1)

    def make(self, epoch: int) -> None:
        """Make the key of a new epoch."""
        self._key(epoch, make=True)

    def wrap(self, epoch: int, secret: bytes, bound_to: bytes) -> bytes:
        """Encrypt a data key, bound to what it is for."""
        return self._key(epoch).wrap(secret, bound_to)

    def unwrap(self, epoch: int, wrapped: bytes, bound_to: bytes) -> bytes:
        """Decrypt a data key; raises `cryptography.exceptions.InvalidTag` if it is not ours."""
        return self._key(epoch).unwrap(wrapped, bound_to)

    def destroy(self, epoch: int) -> datetime | None:
        """Overwrite and remove the file of an epoch."""
        self._keys.pop(epoch, None)
        path = self._file(epoch)
        if path.exists():
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                os.fsync(file.fileno())
            path.unlink()
        return None

    def _file(self, epoch: int) -> Path:
        return self._path if epoch == 1 else self._path.with_name(f"{self._path.name}.{epoch}")

    def _key(self, epoch: int, *, make: bool = False) -> MasterKey:
        if epoch not in self._keys or not self._file(epoch).exists():
            self._keys.pop(epoch, None)
            if not make and not self._file(epoch).exists():
                raise LostEpoch(f"There is no master key of epoch {epoch}: {self._file(epoch)}.")
            self._keys[epoch] = MasterKey(self._file(epoch))
        return self._keys[epoch]
