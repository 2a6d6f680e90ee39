"""What goes wrong, told in one way: RFC 9457 problem documents with a code and a sentence."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from commands.ports import Busy
from commands.words import said
from domain.rejected import Rejected
from infra.database import DATABASE_AWAY

RETRY_AFTER_SECONDS = 1


class Problem(Exception):
    """An answer that is not what was asked for: a stable `code` and a `sentence` for people."""

    def __init__(
        self,
        status: int,
        code: str,
        sentence: str,
        headers: Mapping[str, str] | None = None,
        **more: object,
    ) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence = status, code, sentence
        self.headers, self.more = dict(headers or {}), more


def response_of(problem: Problem) -> Response:
    """Write a problem down."""
    document = {
        "type": f"urn:crm:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.sentence,
        "code": problem.code,
        **problem.more,
    }
    return Response(
        orjson.dumps(document), problem.status, problem.headers, "application/problem+json"
    )


def problem_of(error: Exception) -> Problem | None:
    """Say what an error means to the caller; None when it means that we have a fault."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return Problem(400, "request.invalid", in_words(error.errors()))
        case HTTPException(status_code=404):
            return Problem(404, "route.unknown", "There is nothing at this address.")
        case HTTPException(status_code=405):
            allowed = dict(error.headers or {})
            return Problem(405, "method.not_allowed", "This address does not do that.", allowed)
        case HTTPException(status_code=400, __cause__=Problem() as cause):
            return cause
        case HTTPException(status_code=400):
            return Problem(400, "body.not_json", "The body is not JSON in UTF-8 that can be read.")
        case HTTPException():
            return Problem(error.status_code, "request.refused", "The request cannot be answered.")
        case Rejected():
            return Problem(422, error.code, error.sentence)
        case Busy():
            return away("write.busy", str(error))
        case _ if isinstance(error, DATABASE_AWAY):
            return away("database.away", "The database cannot be reached; sending again is safe.")
        case _:
            return None


def away(code: str, sentence: str) -> Problem:
    """Ask to come back in a moment."""
    return Problem(503, code, sentence, {"Retry-After": str(RETRY_AFTER_SECONDS)})


def in_words(faults: Any) -> str:  # noqa: ANN401 - pydantic's list of faults
    """Say what is wrong with a request, parameter by parameter."""
    told = [
        f"{' '.join(printable(part) for part in fault['loc'])}: "
        + ("there is no such parameter" if fault["type"] == "extra_forbidden" else said(fault))
        for fault in faults[:5]
    ]
    return "; ".join(told) + "."


def printable(part: object) -> str:
    """Name a parameter; one that we do not know is named as far as it can be printed."""
    return "".join(c for c in str(part) if c.isprintable())[:60]


async def answer(_: Request, error: Exception) -> Response:
    """Handle what the framework raises by itself."""
    problem = problem_of(error)
    if problem is None:
        raise error
    return response_of(problem)
