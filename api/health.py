"""How the process is, for whoever watches it: alive, ready, and in figures. Open to everybody."""

from typing import Any

import orjson
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.metrics import CONTENT_TYPE
from infra.database import DATABASE_AWAY
from infra.progress import progress
from infra.runtime import Runtime


def health_routes() -> list[Route]:
    """Give the routes for watchers."""
    return [
        Route("/livez", livez),
        Route("/readyz", readyz),
        Route("/metrics", metrics),
    ]


async def livez(_: Request) -> Response:
    """Tell that the process answers."""
    return written({"live": True}, 200)


async def readyz(request: Request) -> Response:
    """Tell whether calls can be answered; if not, why not. A lag is told, but is no reason."""
    state = await to_thread.run_sync(readiness, request.app.state.runtime)
    return written(state, 200 if state["ready"] else 503)


async def metrics(request: Request) -> Response:
    """Give the metrics for Prometheus."""
    text = await to_thread.run_sync(request.app.state.metrics.exposed)
    return Response(text, media_type=CONTENT_TYPE)


def readiness(runtime: Runtime) -> dict[str, Any]:
    """Look at everything that an answer depends on."""
    try:
        now = progress(runtime.pool, runtime.tables)
    except DATABASE_AWAY:
        return {"ready": False, "reasons": ["The database cannot be reached."], "read_models": []}
    reasons = [] if now.is_led else ["No sequencer is running: new events get no position."]
    warnings = [
        f"Rows of {level.projection} to which an event could not be applied: {level.parked};"
        " `crm parked list` tells which and why."
        for level in now.levels
        if level.parked
    ]
    return {
        "ready": not reasons,
        "reasons": reasons,
        "warnings": warnings,
        "pending": now.pending,
        "read_models": [level._asdict() for level in now.levels],
    }


def written(content: object, status: int) -> Response:
    """Write an answer down."""
    return Response(orjson.dumps(content), status, media_type="application/json")
