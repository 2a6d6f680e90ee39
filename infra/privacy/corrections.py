"""Correcting an event: it stays as it is, and another one says what is true. Four eyes.

Two people agree on the command that corrects, to the letter. What it says may be personal, so the
request holds it sealed under the customer's own key: an erasure takes it along.
"""

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

from commands.catalogue import BY_NAME
from commands.cloudevents import in_words
from commands.command import Command
from commands.execute import execute
from commands.ports import Forgotten, Kept, Request, Who
from domain.rejected import Rejected
from infra.approvals import Approvals, Asked
from infra.keys.keyring import DataKey, Slot
from infra.runtime import Runtime

EVENT_AT = """
SELECT e.envelope FROM crm.log l JOIN crm.event e USING (seq)
WHERE l.position = %s AND e.tenant = %s
"""


class Correction(NamedTuple):
    """The position of what is wrong, the command that corrects it, and why."""

    position: int
    command: str
    fields: Mapping[str, Any]
    reason: str
    at: datetime | None = None
    """Since when it is true; by default, since what was wrong happened."""


def ask_to_correct(runtime: Runtime, who: Who, wanted: Correction) -> Asked:
    """Ask that an event be corrected; another person must approve it. Raises `Rejected`."""
    with runtime.pool.connection() as conn:
        row = conn.execute(EVENT_AT, [wanted.position, who.tenant], binary=True).fetchone()
    if row is None:
        raise Rejected("event.unknown", f"There is no event at position {wanted.position}.")
    event = orjson.loads(row[0])
    meant(wanted.command, wanted.fields)
    slot = Slot(event["subject"], "content")
    try:
        key = runtime.keyring.ensure(who.tenant, [slot])[slot]
    except Forgotten:
        raise Rejected("customer.erased", "The customer was erased.") from None
    what = {
        "position": wanted.position, "event": event["id"], "type": event["type"],
        "customer": event["subject"], "correlation": event["correlationid"],
        "command": wanted.command, "sealed": sealed(key, event["id"], wanted.fields),
        "time": wanted.at or event["time"], "reason": wanted.reason,
    }  # fmt: skip
    return Approvals(runtime.pool).ask(who, "event.correct", what)


def correct(runtime: Runtime, tenant: str, id_: str) -> tuple[Kept, ...]:
    """Ask the command as approved; gives the events that correct. Raises `Rejected`."""
    approvals = Approvals(runtime.pool)
    asked = approvals.approved(tenant, id_, "event.correct")
    what = asked.what
    command = meant(what["command"], fields_of(runtime, asked))
    at, about = datetime.fromisoformat(what["time"]), what["event"]
    request = Request(command, id_, at, what["correlation"], causationid=about)
    who = Who(tenant, f"correction:{id_}", operates=True)
    [verdict] = execute([request], who, runtime.ports)
    if verdict.status in ("rejected", "conflict"):
        raise Rejected(verdict.code, verdict.sentence)
    approvals.done(tenant, id_)
    return verdict.events


def fields_of(runtime: Runtime, asked: Asked) -> dict[str, Any]:
    """Open what is asked, for who is to approve it; the look is noted. Raises `Rejected`."""
    slot, raw = Slot(asked.what["customer"], "content"), b64decode(asked.what["sealed"])
    key = runtime.keyring.find(asked.tenant, [slot]).get(slot)
    if key is None:
        raise Rejected("customer.erased", "The customer was erased, or is under a legal hold.")
    runtime.keyring.access.note(asked.tenant, [slot], 1)
    nonce, about = raw[:12], asked.what["event"].encode()
    fields: dict[str, Any] = orjson.loads(key.cipher.decrypt(nonce, raw[12:], about))
    return fields


def sealed(key: DataKey, event: str, fields: Mapping[str, Any]) -> str:
    """Close what is asked, bound to the event that it is about."""
    nonce = os.urandom(12)
    return b64encode(
        nonce + key.cipher.encrypt(nonce, orjson.dumps(fields), event.encode())
    ).decode()


def meant(command: str, fields: Mapping[str, Any]) -> Command:
    """Read a command. Raises `Rejected`."""
    kind = BY_NAME.get(command)
    if kind is None:
        raise Rejected("command.unknown", f"There is no command {command}.")
    try:
        return kind.model_validate(fields)
    except ValidationError as error:
        raise Rejected("data.invalid", in_words(error)) from None
