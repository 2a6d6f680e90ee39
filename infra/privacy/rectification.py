"""Rectification (GDPR 16): what is right is told by a new event, and what was wrong is hidden.

The events stay as they are: they prove what was known, and since when. Histories, views, feeds and
topics show the right value alone; a replay or an audit export still shows both.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from commands.customers import ChangeProfile
from commands.execute import execute
from commands.ports import Request, Who
from commands.privacy import RectifyData
from domain.catalogue import EVENTS
from domain.customer import ProfileChanged
from domain.events import Event, Recorded
from domain.rejected import Rejected
from infra.ids import uuid7
from infra.privacy.requests import carried_out, everybody
from infra.runtime import Runtime
from infra.store.envelope import decode

PROFILE = ("full_name", "language", "country")
"""What is corrected by its name; anything else by the event that says it."""

SAID = """
SELECT envelope FROM crm.event
WHERE tenant = %(tenant)s AND subject = ANY(%(subjects)s::uuid[])
  AND (%(id)s::text IS NULL OR convert_from(envelope, 'UTF8')::json ->> 'id' = %(id)s)
  AND (%(type)s::text IS NULL OR type = %(type)s)
"""


class Wrong(NamedTuple):
    """An event that was wrong, and whose it is."""

    event: str
    subject: str


def rectify(
    runtime: Runtime, who: Who, customer: str, reason: str, *, field: str, value: str
) -> int:
    """Say what is right in a field of the profile; gives how many events were wrong in it.

    Raises `Rejected`.
    """
    if field not in PROFILE:
        known = ", ".join(PROFILE)
        raise Rejected(
            "rectification.field", f"By name only these are rectified: {known}; else by the event."
        )
    subjects = everybody(runtime, who.tenant, customer)
    wrong = list(told_in(runtime, who.tenant, subjects, field))
    if not wrong:
        raise Rejected("rectification.unknown", f"Nothing was ever told of the {field}.")
    correct(runtime, who, ChangeProfile.model_validate({"customer": subjects[0], field: value}))
    note(runtime, who, wrong, field, reason)
    carried_out(runtime, who, subjects, "rectification")
    return len(wrong)


def rectify_event(
    runtime: Runtime, who: Who, customer: str, reason: str, *, event: str, field: str
) -> None:
    """Hide what one event says in a personal field, as wrong. Raises `Rejected`."""
    subjects = everybody(runtime, who.tenant, customer)
    found = [
        recorded
        for recorded in said(runtime, who.tenant, subjects, id_=event)
        if field in EVENTS[recorded.type].personal
    ]
    if not found:
        raise Rejected(
            "rectification.unknown", f"No event {event} of this customer has the field {field}."
        )
    note(runtime, who, [Wrong(event, found[0].subject)], field, reason)
    carried_out(runtime, who, subjects, "rectification")


def told_in(runtime: Runtime, tenant: str, subjects: Sequence[str], field: str) -> Iterator[Wrong]:
    """Give the events that told a field of the profile."""
    for recorded in said(runtime, tenant, subjects, type_=ProfileChanged.name):
        if getattr(recorded.event, field) is not None:
            yield Wrong(recorded.id, recorded.subject)


def said(
    runtime: Runtime,
    tenant: str,
    subjects: Sequence[str],
    *,
    id_: str | None = None,
    type_: str | None = None,
) -> Iterator[Recorded[Event]]:
    """Give events about a customer, closed."""
    arguments = {"tenant": tenant, "subjects": list(subjects), "id": id_, "type": type_}
    with runtime.pool.connection() as conn:
        rows = conn.execute(SAID, arguments, binary=True).fetchall()
    return (decode(envelope) for (envelope,) in rows)


def correct(runtime: Runtime, who: Who, right: ChangeProfile) -> None:
    """Tell what is right. Raises `Rejected`, also when it is what is known already."""
    [verdict] = execute([Request(right, uuid7())], who, runtime.ports)
    if verdict.status != "accepted":
        raise Rejected(verdict.code, verdict.sentence)
    if not verdict.events:
        raise Rejected("rectification.same", "That is what is known already.")


def note(runtime: Runtime, who: Who, wrong: Sequence[Wrong], field: str, reason: str) -> None:
    """Note what was wrong, with each id of the customer what its own events said."""
    requests = [
        Request(
            RectifyData(
                customer=subject,
                events=tuple(each.event for each in wrong if each.subject == subject),
                fields=(field,),
                reason=reason,
            ),
            uuid7(),
        )
        for subject in sorted({each.subject for each in wrong})
    ]
    execute(requests, who, runtime.ports)
