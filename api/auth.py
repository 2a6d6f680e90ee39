"""Who may do what: every call shows a key, and the key alone says which tenant it is for."""

from typing import NamedTuple

from anyio import to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from api.problems import Problem
from commands.catalogue import ALL
from commands.ports import Who
from infra.access import looking
from infra.api_keys import ApiKeys, Role
from infra.seeing import seeing_held

OPEN = frozenset({"/livez", "/readyz", "/metrics", "/docs", "/openapi.json"})
"""What anybody may see: how the process is, and how to use it. Never a tenant's data."""

MAY: dict[Role, frozenset[Role]] = {
    "publish": frozenset({"publish"}),
    "read": frozenset({"read"}),
    "operate": frozenset({"publish", "read", "operate"}),
    "hold": frozenset({"read", "hold"}),
}


FOR_OPERATORS = frozenset(command.name for command in ALL if not command.by_channels)
"""The commands that no channel may ask for."""
PURPOSE_MAX = 120


class Caller(NamedTuple):
    """On whose behalf a call is made."""

    tenant: str
    key_id: str
    role: Role

    @property
    def who(self) -> Who:
        """As the write path wants to know it."""
        return Who(self.tenant, f"key:{self.key_id}", operates=self.role == "operate")


def needed(method: str, path: str) -> Role:
    """Say which role a call needs. A new route is closed: to read it needs `read`, else more."""
    if path.removeprefix("/v1/commands/") in FOR_OPERATORS:
        return "operate"
    if path.startswith(("/v1/events", "/v1/commands/")):
        return "publish"
    if path.startswith(("/v1/refused", "/v1/privacy/")) or method not in ("GET", "HEAD"):
        return "operate"
    return "read"


class Gate:
    """Lets in who shows a key that may do what is asked; nobody else gets further."""

    def __init__(self, app: ASGIApp, keys: ApiKeys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the key of a call; what follows finds the caller in its state."""
        if scope["type"] == "http" and scope["path"] not in OPEN:
            caller = await self._caller(scope)
            required = needed(scope["method"], scope["path"])
            if required not in MAY[caller.role]:
                raise Problem(
                    403,
                    "key.role",
                    f"This key is for the role {caller.role}; this needs {required}.",
                )
            scope.setdefault("state", {})["caller"] = caller
            purpose = header(scope, b"x-purpose")[:PURPOSE_MAX]
            with looking(caller.who.authid, purpose), seeing_held(sees=caller.role == "hold"):
                await self._app(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _caller(self, scope: Scope) -> Caller:
        shown = bearer(scope)
        found = self._keys.remembered(shown)
        if found is None and shown:
            found = await to_thread.run_sync(self._keys.find, shown)
        if found is None:
            sentence = (
                "That key is not known, or has ended." if shown else "Show a key: Bearer crm_…."
            )
            raise Problem(
                401, "key.unknown" if shown else "key.missing", sentence,
                {"WWW-Authenticate": 'Bearer realm="crm"'},
            )  # fmt: skip
        return Caller(found.tenant, found.id, found.role)


def bearer(scope: Scope) -> str:
    """Take the key out of the Authorization header."""
    scheme, _, key = header(scope, b"authorization").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


def header(scope: Scope, wanted: bytes) -> str:
    """Give the first header of a name; nothing in it can steer a terminal."""
    for name, value in scope["headers"]:
        if name == wanted:
            text = value.decode("latin-1")
            return text if text.isprintable() else "".join(filter(str.isprintable, text))
    return ""
