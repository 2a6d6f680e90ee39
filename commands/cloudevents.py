"""A CloudEvents 1.0 message as a request: `type` says which command, `source` and `id` are its id.

The type is either an event's name (`case.opened.v1`: it happened over there) or a command's name
(`case.open`: do it); both validate against the same model and obey the same rules.
"""

import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from commands.catalogue import BY_EVENT, BY_NAME
from commands.command import named_id
from commands.ports import Request
from commands.words import said
from domain.rejected import Rejected
from domain.values import Instant

Attribute = Annotated[
    str, StringConstraints(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f]+$")
]

Correlation = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class CloudEvent(BaseModel):
    """The attributes that we read; extensions that we do not know are let through unread."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    specversion: Annotated[str, StringConstraints(pattern=r"^1\.0$")] = "1.0"
    id: Attribute
    source: Attribute
    type: Attribute
    time: Instant | None = None
    datacontenttype: str | None = None
    correlationid: Correlation = ""
    causationid: Correlation = ""
    data: dict[str, Any]


def read(message: object, tenant: str) -> Request:
    """Read a message; raises `Rejected` with the first things that are wrong with it."""
    try:
        event = CloudEvent.model_validate(message)
    except ValidationError as error:
        raise Rejected("message.invalid", in_words(error)) from None
    command = BY_EVENT.get(event.type) or BY_NAME.get(event.type)
    if command is None:
        sentence = f"Nothing is known about messages of type {as_name(event.type)}."
        raise Rejected("message.type_unknown", sentence)
    try:
        asked = command.model_validate(event.data)
    except ValidationError as error:
        raise Rejected("data.invalid", in_words(error)) from None
    return Request(
        command=asked,
        commandid=message_id(tenant, event.source, event.id),
        time=event.time,
        correlationid=event.correlationid,
        causationid=event.causationid,
    )


def message_id(tenant: str, source: str, id_: str) -> str:
    """Give the command id of a message: the same source and id always give the same one."""
    return named_id(tenant, source, id_)


def in_words(error: ValidationError) -> str:
    """Say what is wrong, field by field, without repeating what was sent."""
    faults = error.errors(include_input=False, include_url=False, include_context=False)
    told = [f"{'.'.join(map(as_name, f['loc'])) or 'message'}: {said(f)}" for f in faults[:5]]
    more = f" (and {len(faults) - 5} more)" if len(faults) > 5 else ""
    return "; ".join(told) + more + "."


def as_name(sent: int | str) -> str:
    """Show a name that was sent, unless it is none: somebody may have put a value in its place."""
    return str(sent) if re.fullmatch(r"[A-Za-z0-9._-]{1,60}", str(sent)) else "…"
