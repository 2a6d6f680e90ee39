"""What persons may ask for, over HTTP: requests with the law's clock, restriction, objection."""

from datetime import datetime
from typing import Annotated, Literal, Self

from fastapi import APIRouter, Query
from pydantic import model_validator
from starlette.requests import Request
from starlette.responses import Response

from api.models import Answer
from api.privacy import LISTED, refusals, runtime_of, who_of
from api.questions import Question, Strict
from api.reads import PathId, The, told
from domain.privacy_request import Kind, Law
from domain.rejected import Rejected
from domain.rights import PROFILING
from domain.values import Id, Instant, Label, Text
from infra.privacy import consents, rectification
from infra.privacy import requests as privacy_requests
from infra.privacy import rights as carry_out

router = APIRouter()
Ground = Literal["accuracy", "unlawful", "claims", "objection"]


class Asked(Strict):
    """What a person asks for, by whose law, and when it was received, if not just now."""

    customer: Id
    kind: Kind
    law: Law = "gdpr"
    received: Instant | None = None
    channel: Label = "itself"


class Opened(Answer):
    """The case that a request is."""

    id: Id


class Longer(Strict):
    """Why the longer time of the law is needed."""

    reason: Label


class PrivacyRequestShown(Answer):
    """A request of a person, and by when it is due."""

    id: Id
    customer: Id
    kind: Kind
    law: Law | None
    status: str
    received_at: datetime
    extended: bool
    due_at: datetime | None
    overdue: bool


class PrivacyRequestsShown(Answer):
    """Requests by when they are due."""

    items: list[PrivacyRequestShown]


class WhichRequests(Question):
    """Which requests are asked for."""

    done: bool = False


class Restriction(Strict):
    """Whose data is restricted, and on which ground of GDPR 18(1)."""

    customer: Id
    ground: Ground


class Objection(Strict):
    """Who objects, and to what."""

    customer: Id
    purpose: Label = PROFILING


class WhichConsent(Question):
    """Consent to what, over which channel, and when, if not now."""

    purpose: Label
    channel: Label
    at: Instant | None = None


class ConsentShown(Answer):
    """What held, the text that was read, and whether anything may be sent for it; why not."""

    granted: bool
    text_version: str | None
    since: datetime | None
    may_send: bool
    why: str | None


class Rectification(Strict):
    """What was wrong, and what is right; or else which event was wrong in it."""

    customer: Id
    reason: Label
    field: Label
    value: Text | None = None
    event: Id | None = None

    @model_validator(mode="after")
    def _says_either(self) -> Self:
        if (self.value is None) == (self.event is None):
            raise ValueError("give either the right value, or the event that was wrong")
        return self


class Rectified(Answer):
    """How many events were wrong in it."""

    events: int


class About(Answer):
    """All ids of the customer that it holds for."""

    customers: list[Id]


class LimitedShown(Answer):
    """A customer whose data is restricted, or who objects to something."""

    customer: Id
    grounds: list[str]
    objections: list[str]


class AllLimited(Answer):
    """Whose data is restricted, and who objects to what."""

    items: list[LimitedShown]


@router.get("/v1/customers/{id}/consent", responses=told(ConsentShown))
def consent(
    request: Request, the: The, id_: PathId, asked: Annotated[WhichConsent, Query()]
) -> Response:
    """Tell what the customer agreed to at an instant, and whether anything may be sent for it."""
    runtime, about = runtime_of(request), (the.tenant, id_, asked.purpose, asked.channel)
    with refusals():
        held = consents.consent(runtime, *about, at=asked.at)
    why = None
    try:
        consents.must_consent(runtime, *about, at=asked.at)
    except Rejected as no:
        why = no.code
    return the.answer(held._asdict() | {"may_send": why is None, "why": why})


@router.post("/v1/privacy/cases", responses={200: {"model": Opened}})
def ask(request: Request, the: The, asked: Asked) -> Response:
    """Note that a person asked for something: a case under the law's clock."""
    with refusals():
        id_ = privacy_requests.open_request(
            runtime_of(request), who_of(request), asked.customer, asked.kind, asked.law,
            received=asked.received, channel=asked.channel,
        )  # fmt: skip
    return the.answer({"id": id_})


@router.get("/v1/privacy/cases", responses=told(PrivacyRequestsShown))
def cases(request: Request, the: The, asked: Annotated[WhichRequests, Query()]) -> Response:
    """List what persons asked for and by when it is due, the most urgent first."""
    runtime = runtime_of(request)
    found = privacy_requests.requests(runtime, the.tenant, runtime.ports.now(), done=asked.done)
    return the.answer({"items": [each._asdict() for each in found]})


@router.post("/v1/privacy/cases/{id}/extension", responses={200: {"model": Opened}})
def extend(request: Request, the: The, id_: PathId, longer: Longer) -> Response:
    """Take the longer time that the law allows for a request."""
    with refusals():
        privacy_requests.extend(runtime_of(request), who_of(request), id_, longer.reason)
    return the.answer({"id": id_})


@router.post("/v1/privacy/restrictions", responses={200: {"model": About}})
def restrict(request: Request, the: The, asked: Restriction) -> Response:
    """Only store a customer's data from now on: it is shown to the hold role alone."""
    with refusals():
        ids = carry_out.restrict(runtime_of(request), who_of(request), asked.customer, asked.ground)
    return the.answer({"customers": ids})


@router.post("/v1/privacy/restrictions/lift", responses={200: {"model": About}})
def lift(request: Request, the: The, asked: Restriction) -> Response:
    """End one ground of a restriction."""
    with refusals():
        ids = carry_out.lift(runtime_of(request), who_of(request), asked.customer, asked.ground)
    return the.answer({"customers": ids})


@router.post("/v1/privacy/objections", responses={200: {"model": About}})
def object_to(request: Request, the: The, asked: Objection) -> Response:
    """Stop processing a customer's data for a purpose."""
    with refusals():
        ids = carry_out.object_to(
            runtime_of(request), who_of(request), asked.customer, asked.purpose
        )
    return the.answer({"customers": ids})


@router.post("/v1/privacy/objections/withdraw", responses={200: {"model": About}})
def withdraw(request: Request, the: The, asked: Objection) -> Response:
    """Note that a customer does not object to a purpose any more."""
    with refusals():
        ids = carry_out.withdraw_objection(
            runtime_of(request), who_of(request), asked.customer, asked.purpose
        )
    return the.answer({"customers": ids})


@router.post("/v1/privacy/rectifications", responses={200: {"model": Rectified}})
def rectify(request: Request, the: The, asked: Rectification) -> Response:
    """Say what is right of a customer; what was wrong is shown to auditors alone."""
    about = (runtime_of(request), who_of(request), asked.customer, asked.reason)
    count = 1
    with refusals():
        if asked.value is not None:
            count = rectification.rectify(*about, field=asked.field, value=asked.value)
        else:
            rectification.rectify_event(*about, event=asked.event or "", field=asked.field)
    return the.answer({"events": count})


@router.get("/v1/privacy/limits", responses=told(AllLimited))
def limits(request: Request, the: The) -> Response:
    """List whose data is restricted, on which grounds, and who objects to what."""
    found = carry_out.limited(runtime_of(request).pool, the.tenant, LISTED)
    return the.answer({"items": [each._asdict() for each in found]})
