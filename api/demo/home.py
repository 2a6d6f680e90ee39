"""The directory of a demo: one demo at a time, its plan, its keys, and a file to source."""

import fcntl
import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict

from api.demo.plan import Plan
from infra.api_keys import ROLES, ApiKeys
from infra.runtime import Runtime


class Busy(Exception):
    """Another demo is running in the directory."""


class OtherPlan(Exception):
    """The directory holds a year that was told otherwise."""


class Home(BaseModel):
    """What a demo remembers from one start to the next."""

    model_config = ConfigDict(extra="forbid")

    seed: int
    customers: int
    is_played: bool = False
    keys: dict[str, str] = {}

    @classmethod
    def of(cls, plan: Plan, directory: Path) -> "Home":
        """Read what the directory remembers; raises `OtherPlan` when it is of another year."""
        path = directory / "demo.json"
        if not path.exists():
            return cls(seed=plan.seed, customers=plan.customers)
        home = cls.model_validate_json(path.read_bytes())
        if (home.seed, home.customers) != (plan.seed, plan.customers):
            raise OtherPlan(
                f"{directory} holds the year of seed {home.seed} with {home.customers} customers;"
                " --reset begins anew."
            )
        return home

    def keep(self, directory: Path) -> None:
        """Remember all of it."""
        write(directory / "demo.json", orjson.dumps(self.model_dump()))

    def make_keys(self, runtime: Runtime) -> None:
        """Have a key of every role, the same ones as before if they are still good."""
        known = ApiKeys(runtime.pool)
        for role in ROLES:
            if role not in self.keys or known.find(self.keys[role]) is None:
                self.keys[role] = known.create(runtime.settings.tenant, role)


def write_env(home: Home, directory: Path, address: str) -> Path:
    """Write a file that a shell can source, so that commands find the demo."""
    programs = Path(sys.executable).parent
    held = {
        "CRM_DIRECTORY": str(directory.resolve()),
        "API": address,
        **{role.upper(): key for role, key in home.keys.items()},
    }
    lines = [
        "# Source this in another terminal: . " + shlex.quote(str(directory / "env")),
        "unset CRM_DATABASE_URL CRM_MASTER_KEY_FILE CRM_KAFKA_BOOTSTRAP_SERVERS CRM_TENANT",
        *(f"export {name}={shlex.quote(value)}" for name, value in held.items()),
        f'export PATH={shlex.quote(str(programs))}:"$PATH"',
    ]
    path = directory / "env"
    write(path, "\n".join([*lines, ""]).encode())
    return path


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Have the directory for oneself; raises `Busy`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(f"A demo is running in {directory} already.") from None
        yield


def write(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    fresh.replace(path)
