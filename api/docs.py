"""How to use the API: OpenAPI, and a page of our own that needs nothing from elsewhere."""

from collections.abc import Iterator
from html import escape
from typing import Any

import orjson
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from api import models
from api.auth import needed
from api.publish import KEY_MAX
from api.unpack import BATCH_MAX
from commands.catalogue import ALL
from commands.cloudevents import CloudEvent
from commands.command import Command

Schema = dict[str, Any]

ANSWERS: tuple[type[BaseModel], ...] = (models.Receipt, models.Done, models.Problem)
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Sending the command again with the same key gives the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_MAX, "pattern": "^[!-~]+$"},
}
TIME = {"type": "string", "format": "date-time", "description": "When it happened, if not now."}


def docs_routes() -> list[Route]:
    """Give the routes that tell how to use the others."""
    return [Route("/openapi.json", openapi), Route("/docs", docs)]


async def openapi(request: Request) -> Response:
    """Give the OpenAPI document."""
    return Response(orjson.dumps(document(request.app)), media_type="application/json")


async def docs(request: Request) -> Response:
    """List everything that can be called."""
    rows = "".join(
        f"<tr><td>{method.upper()}<td><code>{escape(path)}</code>"
        f"<td>{operation['x-role']}<td>{escape(operation['summary'])}"
        for path, method, operation in operations(document(request.app))
    )
    return HTMLResponse(PAGE.replace("{rows}", rows))


def document(app: FastAPI) -> Schema:
    """Describe the API. What channels publish is described by the models that validate it."""
    if app.openapi_schema is None:
        told = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        schemas = told["components"]["schemas"]
        schemas.update(schemas_of_publishing())
        told["paths"] = paths_of_publishing(schemas) | told["paths"]
        told["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        told["security"] = [{"key": []}]
        for path, method, operation in operations(told):
            finish(operation, path, method)
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        app.openapi_schema = told
    return app.openapi_schema


def operations(told: Schema) -> Iterator[tuple[str, str, Schema]]:
    """Go through everything that can be called."""
    for path, methods in told["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def finish(operation: Schema, path: str, method: str) -> None:
    """Say what all operations have in common: roles, and how they tell what went wrong."""
    operation["summary"] = operation.pop("description", operation["summary"])
    operation["x-role"] = needed(method.upper(), path)
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "What went wrong, with a code and a sentence.",
        "content": {"application/problem+json": {"schema": ref("Problem")}},
    }


# ---- Where channels publish ----------------------------------------------------------------------


def paths_of_publishing(schemas: Schema) -> Schema:
    """Describe the raw routes; every command has an address of its own."""
    batch = {"type": "array", "items": ref("CloudEvent"), "minItems": 1, "maxItems": BATCH_MAX}
    events = {
        "summary": "Publish events: CloudEvents in structured, batch or binary mode.",
        "requestBody": body(
            {
                "application/cloudevents+json": ref("CloudEvent"),
                "application/cloudevents-batch+json": batch,
            }
        ),
        "responses": {
            "200": answer("What became of the message.", "Receipt"),
            "207": answer("What became of each message of a batch.", "Receipt"),
        },
    }
    commands = {
        f"/v1/commands/{command.name}": {"post": command_operation(command, schemas)}
        for command in ALL
    }
    return {"/v1/events": {"post": events}, **commands}


def command_operation(command: type[Command], schemas: Schema) -> Schema:
    """Describe a command; its body has its fields, and when it happened."""
    fields = schemas[command.__name__]
    asked = {**fields, "properties": {**fields["properties"], "time": TIME}}
    return {
        "summary": fields["description"],
        "parameters": [IDEMPOTENCY_KEY],
        "requestBody": body({"application/json": asked}),
        "responses": {"200": answer("It is done, or was done before.", "Done")},
    }


def schemas_of_publishing() -> Schema:
    """Give the schemas of what is published, and of what is answered."""
    wanted = [(model, "validation") for model in (CloudEvent, *ALL, *ANSWERS)]
    _, told = models_json_schema(wanted, ref_template=ref("{model}")["$ref"])  # type: ignore[arg-type]
    schemas: Schema = told["$defs"]
    message = schemas["CloudEvent"]
    schemas["CloudEvent"] = {
        "description": "A CloudEvent; its type says which data it has.",
        "oneOf": [message_of(command, message) for command in ALL],
    }
    return schemas


def message_of(command: type[Command], message: Schema) -> Schema:
    """Describe the messages that one command understands."""
    types = {"enum": [command.publishes, command.name]}
    properties = message["properties"] | {"type": types, "data": ref(command.__name__)}
    return {**message, "title": command.publishes, "properties": properties}


def ref(model: str) -> Schema:
    """Point to a schema."""
    return {"$ref": f"#/components/schemas/{model}"}


def body(content: Schema) -> Schema:
    """Describe a request's body."""
    told = {kind: {"schema": schema} for kind, schema in content.items()}
    return {"required": True, "content": told}


def answer(description: str, model: str) -> Schema:
    """Describe an answer."""
    return {"description": description, "content": {"application/json": {"schema": ref(model)}}}


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>crm API</title>
<style>body{font:15px/1.5 system-ui;margin:2rem auto;max-width:70rem;padding:0 1rem}
td{padding:.2rem .8rem .2rem 0;vertical-align:top}</style>
<h1>crm API</h1><p>Every call shows a key: <code>Authorization: Bearer crm_…</code>.
The whole description is at <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>
<table><tr><th><th>address<th>role<th>what it does{rows}</table></html>
"""
