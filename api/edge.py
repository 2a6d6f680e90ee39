"""The outermost layer: safe headers on every answer, and a problem document for every error.

An error that we did not foresee is logged by its kind and place alone: its words may quote what a
customer wrote.
"""

import traceback
from collections.abc import Iterable

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import bodies
from api.problems import Problem, problem_of, response_of

HEADERS: Iterable[tuple[bytes, bytes]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
PLACES_LOGGED = 6

log = structlog.get_logger()


class Edge:
    """Lets no error out that is not told as a problem."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a call."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_safely(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", ()), *HEADERS]
            await send(message)

        try:
            await self._app(scope, bodies.limited(scope, receive), send_safely)
        except ClientDisconnect:
            return
        except Exception as error:
            problem = problem_of(error) or fault(scope, error)
            if not begun:
                await response_of(problem)(scope, receive, send_safely)


def fault(scope: Scope, error: Exception) -> Problem:
    """Log an error of ours, and tell nothing of it but that it is there."""
    frames = traceback.extract_tb(error.__traceback__)[-PLACES_LOGGED:]
    log.error(
        "http.fault",
        method=scope["method"],
        route=getattr(scope.get("route"), "path", ""),
        error=type(error).__name__,
        places=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
    return Problem(500, "internal.fault", "Something is wrong on our side; it has been logged.")
