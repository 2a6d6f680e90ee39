"""Where channels publish: raw routes, because each channel sends in its own way.

A verdict for every message. A rejected one never stops the others, and is kept with its reason.
"""

from collections.abc import Callable, Sequence
from typing import Any

import orjson
from anyio import to_thread
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api import bodies
from api.metrics import Metrics
from api.problems import Problem
from api.questions import token_of
from api.together import Ingest, Together
from api.unpack import Delivery, media_type, unpack
from commands.catalogue import BY_NAME
from commands.ingest import Message, ingest
from commands.ports import Verdict, Who
from domain.rejected import Rejected
from infra import strict_json
from infra.ids import uuid7
from infra.runtime import Runtime
from infra.store.refused import printable

KEY_MAX = 200
REFUSED = {"rejected": 422, "conflict": 409}

SMALL_MAX = 16_384
"""Bytes of a body that is read on the spot, and taken in with others; a larger one is a batch."""

Read = Callable[[Request, bytes], Delivery]
Answer = Callable[[Delivery, Sequence[Verdict]], Response]


def publish_routes() -> list[Route]:
    """Give the routes where channels publish."""
    return [
        Route("/v1/events", publishing(read_events, answer_events), methods=["POST"]),
        Route("/v1/commands/{name}", publishing(read_command, answer_command), methods=["POST"]),
    ]


def publishing(read: Read, answer: Answer) -> Callable[[Request], Any]:
    """Take in what comes; what is large or blocks goes to a thread."""

    def at_once(request: Request, body: bytes) -> Response:
        delivery = read(request, body)
        return answer(delivery, take_in(request, delivery.messages))

    async def publish(request: Request) -> Response:
        with metrics(request).timed():
            body = await request.body()
            if len(body) > SMALL_MAX or "content-encoding" in request.headers:
                return await to_thread.run_sync(at_once, request, body)
            delivery = read(request, body)
            return answer(delivery, await take_in_with_others(request, delivery.messages))

    return publish


def read_events(request: Request, body: bytes) -> Delivery:
    """Read one message or a batch: `POST /v1/events`."""
    try:
        plain = bodies.inflated(body, request.headers.get("content-encoding", ""))
        return unpack(request.headers, plain)
    except Rejected as fault:
        return Delivery([Message(None, body, fault)])


def answer_events(delivery: Delivery, verdicts: Sequence[Verdict]) -> Response:
    """Give a verdict for every message; 207 for a batch, though it has but one."""
    if not delivery.is_batch:
        refuse(delivery.messages[0], verdicts[0])
    told = [item(*pair) for pair in zip(delivery.messages, verdicts, strict=True)]
    token = token_of(max(verdict.token for verdict in verdicts))
    return written({"items": told, "token": token}, 207 if delivery.is_batch else 200)


def read_command(request: Request, body: bytes) -> Delivery:
    """Read what is asked: `POST /v1/commands/{name}`."""
    name = request.path_params["name"]
    if name not in BY_NAME:
        raise Problem(404, "command.unknown", "There is no command of this name.")
    return Delivery([message_of_command(request, name, body)])


def answer_command(delivery: Delivery, verdicts: Sequence[Verdict]) -> Response:
    """Tell what became of the command."""
    [message], [verdict] = delivery.messages, verdicts
    refuse(message, verdict)
    return written(item(message, verdict) | {"token": token_of(verdict.token)}, 200)


def message_of_command(request: Request, name: str, body: bytes) -> Message:
    """Make of a command what every channel sends; its source is `command`."""
    key = idempotency_key(request)
    if media_type(request.headers) not in ("", "application/json"):
        raise Problem(415, "body.type_unknown", "Send a command as application/json.")
    try:
        encoding = request.headers.get("content-encoding", "")
        fields = strict_json.loads(bodies.inflated(body, encoding))
    except Rejected as fault:
        return Message(None, body, fault)
    if not isinstance(fields, dict):
        raise Problem(400, "command.not_object", "A command is a JSON object of its fields.")
    asked: dict[str, Any] = {"specversion": "1.0", "id": key, "source": "command", "type": name}
    if "time" in fields:
        asked["time"] = fields.pop("time")
    asked["data"] = fields
    return Message(asked, orjson.dumps(asked))


def idempotency_key(request: Request) -> str:
    """Give what makes the command safe to send again; without one it is a new command."""
    key = request.headers.get("idempotency-key")
    if key is None:
        return uuid7()
    if not 0 < len(key) <= KEY_MAX or not key.isprintable():
        raise Problem(
            400, "idempotency_key.invalid",
            f"An Idempotency-Key has 1 to {KEY_MAX} printable characters.",
        )  # fmt: skip
    return key


def ingesting(runtime: Runtime) -> Ingest:
    """Give what takes in messages on behalf of a caller, wherever they come from."""

    def ingested(messages: Sequence[Message], who: Who) -> list[Verdict]:
        return ingest(messages, who, runtime.ports, runtime.refused)

    return ingested


def take_in(request: Request, messages: Sequence[Message]) -> list[Verdict]:
    """Decide messages on behalf of the caller, and count the verdicts."""
    verdicts = ingesting(request.app.state.runtime)(messages, request.state.caller.who)
    metrics(request).count(verdict.status for verdict in verdicts)
    return verdicts


async def take_in_with_others(request: Request, messages: Sequence[Message]) -> list[Verdict]:
    """Do the same together with what comes meanwhile."""
    together: Together = request.app.state.together
    verdicts = await together.take_in(messages, request.state.caller.who)
    metrics(request).count(verdict.status for verdict in verdicts)
    return verdicts


def refuse(message: Message, verdict: Verdict) -> None:
    """Answer for a single message that was not kept with a problem; its verdict is in it."""
    if verdict.status in REFUSED:
        status = 400 if message.fault else REFUSED[verdict.status]
        raise Problem(status, verdict.code, verdict.sentence, item=item(message, verdict))


def item(message: Message, verdict: Verdict) -> dict[str, Any]:
    """Tell what became of a message."""
    named = message.parsed if isinstance(message.parsed, dict) else {}
    return {
        "id": printable(named.get("id")),
        "status": verdict.status,
        "code": verdict.code,
        "sentence": verdict.sentence,
        "events": [kept._asdict() for kept in verdict.events],
    }


def written(content: object, status: int) -> Response:
    """Write an answer down."""
    return Response(orjson.dumps(content), status, media_type="application/json")


def metrics(request: Request) -> Metrics:
    """Give what the process counts."""
    counted: Metrics = request.app.state.metrics
    return counted
