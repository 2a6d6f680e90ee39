"""How long personal data is kept, over HTTP: one key asks for schedules, another one approves."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from api.models import Answer
from api.privacy import RequestShown, refusals, runtime_of, shown, who_of
from api.questions import Strict
from api.reads import The, told
from domain.personal import Group
from domain.schedule import Schedule
from domain.values import Id
from infra.privacy import schedules as kept

router = APIRouter()


class SchedulesWanted(Strict):
    """The schedules that are to count, in place of all that do."""

    schedules: list[Schedule] = Field(max_length=1000)


class Schedules(Answer):
    """The schedules that count."""

    version: int
    schedules: list[Schedule]


class DueShown(Answer):
    """A customer some of whose data is due to be destroyed; `kept` says what prevents it."""

    schedule: str
    customer: Id
    subjects: list[Id]
    groups: list[Group]
    due_at: datetime
    kept: str | None


class AllDue(Answer):
    """Everything that is due."""

    items: list[DueShown]


@router.post("/v1/privacy/schedules", responses={200: {"model": RequestShown}})
def load(request: Request, the: The, wanted: SchedulesWanted) -> Response:
    """Ask that schedules count in place of those that do; another key must approve it."""
    with refusals():
        asked = kept.ask(runtime_of(request), who_of(request), wanted.schedules)
    return the.answer(shown(asked))


@router.get("/v1/privacy/schedules", responses=told(Schedules))
def schedules(request: Request, the: The) -> Response:
    """Give the schedules that count."""
    found = kept.held(runtime_of(request), the.tenant)
    listed = [schedule.model_dump(mode="json") for schedule in found.schedules]
    return the.answer({"version": found.version, "schedules": listed})


@router.get("/v1/privacy/schedules/due", responses=told(AllDue))
def due(request: Request, the: The) -> Response:
    """Tell whose data is due to be destroyed, and what keeps it all the same."""
    runtime = runtime_of(request)
    found = kept.due_data(runtime, the.tenant, runtime.ports.now())
    return the.answer({"items": [each._asdict() for each in found]})
