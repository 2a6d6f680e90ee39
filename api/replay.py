"""What was known of a customer at an instant, as JSON or as a page, and what changed since."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AfterValidator, Field, create_model
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.models import Answer, Customer, HistoryEvent
from api.privacy import runtime_of
from api.problems import Problem
from api.questions import Question, opaque, position_of
from api.reads import PathId, The
from domain.rejected import Rejected
from domain.values import Instant
from infra.audit.replay import Instants, page, replay, sections

router = APIRouter()


class AskedReplay(Question):
    """A customer as of an instant, and what has changed until a later one."""

    as_known_at: Instant | None = Field(None, description="What we knew by then.")
    as_effective_at: Instant | None = Field(None, description="What had happened by then.")
    until: Instant | None = Field(None, description="Tell what changed from then to this.")
    limit: int = Field(100, ge=1, le=1000)
    after: Annotated[str, AfterValidator(position_of)] = Field(
        "", description="The last page's `next`: more of the events."
    )

    @property
    def then(self) -> Instants:
        """Give the instants as the replay wants to know them."""
        return Instants(self.as_known_at, self.as_effective_at)


class DifferenceShown(Answer):
    """Something that is not the same at two instants."""

    what: str
    before: Any
    after: Any


class EventReplayed(HistoryEvent):
    """Something that the answer is made of; `since` are those that changed it later."""

    channel: str
    since: bool


KNOWN: Any = Customer | None  # a model that is made of a read model is no type to mypy
Replayed = create_model(
    "Replayed",
    __base__=Answer,
    customer=(KNOWN, ...),
    differences=(list[DifferenceShown], ...),
    events=(list[EventReplayed], ...),
    next=(str | None, ...),
)
"""A customer as of an instant, from what it was known, and what changed until another."""

ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": Replayed, "content": {"text/html": {}}},
    304: {"description": "Nothing has changed."},
}


@router.get("/v1/customers/{id}/replay", responses=ANSWERS)
def replayed(
    request: Request, the: The, id_: PathId, asked: Annotated[AskedReplay, Query()]
) -> Response:
    """Show what was known of a customer, by whom, and what changed; a page for `text/html`."""
    try:
        found = replay(
            runtime_of(request), the.tenant, id_, asked.then, asked.until,
            after=int(asked.after or 0), limit=asked.limit,
        )  # fmt: skip
    except Rejected as no:
        raise Problem(400, no.code, no.sentence) from None
    if found.customer is None and not found.differences:
        return the.one(None, "customer")
    if "text/html" in request.headers.get("accept", ""):
        then = asked.as_known_at or asked.as_effective_at
        return HTMLResponse(page(f"Customer {id_} as of {then}", sections(found)))
    following = None if found.next is None else opaque("p", found.next)
    differences = [each._asdict() for each in found.differences]
    return the.answer(found._asdict() | {"differences": differences, "next": following})
