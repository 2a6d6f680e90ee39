"""The HTTP application: everything it answers, and the layers around it."""

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api import (
    dead_letters,
    privacy,
    problems,
    reads,
    replay,
    retention,
    rights,
    schedules,
    sla_reads,
)
from api.auth import Gate
from api.docs import docs_routes
from api.edge import Edge
from api.health import health_routes
from api.metrics import Metrics
from api.publish import ingesting, publish_routes
from api.together import Together
from infra.api_keys import ApiKeys
from infra.read_models.reader import Reader
from infra.read_models.sla import SlaReader
from infra.runtime import Runtime


def create_app(runtime: Runtime) -> FastAPI:
    """Make the application; it answers for as long as the runtime is open."""
    app = FastAPI(
        title="crm",
        version="1",
        summary="An event-sourced CRM: publish events, ask read models, follow changes.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        exception_handlers={
            HTTPException: problems.answer,
            RequestValidationError: problems.answer,
        },
    )
    app.state.runtime = runtime
    app.state.reader = Reader(runtime)
    app.state.sla = SlaReader(runtime.pool)
    app.state.metrics = Metrics(runtime)
    app.state.together = Together(ingesting(runtime))
    app.router.routes.extend([*publish_routes(), *health_routes(), *docs_routes()])
    app.include_router(reads.router)
    app.include_router(retention.router)
    app.include_router(sla_reads.router)
    app.include_router(dead_letters.router)
    app.include_router(privacy.router)
    app.include_router(schedules.router)
    app.include_router(rights.router)
    app.include_router(replay.router)
    app.add_middleware(Gate, keys=ApiKeys(runtime.pool))
    app.add_middleware(Edge)
    return app
