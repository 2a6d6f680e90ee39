"""What a person gets who asks for their data (GDPR 15, 20): everything, readable and portable."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from commands.ports import Who
from domain.catalogue import EVENTS
from domain.rejected import Rejected
from infra.access import Recipient, looking
from infra.audit.export import write_lines
from infra.audit.replay import Section, flat, page
from infra.privacy import consents, schedules
from infra.privacy.record_of_processing import record
from infra.privacy.requests import carried_out, requests_of, resolve
from infra.read_models.opening import open_events
from infra.read_models.reader import Reader, customer_events
from infra.runtime import Runtime
from infra.seeing import seeing_held
from projections.projection import Row

LOOKS_MAX = 100_000

# What has no position yet is in no history.
WAITING = """
SELECT EXISTS (
    SELECT FROM crm.pending JOIN crm.event USING (seq)
    WHERE tenant = %s AND subject = ANY(%s::uuid[])
      AND convert_from(envelope, 'UTF8')::jsonb -> 'sealed' <> '{}')
"""


def write_bundle(
    runtime: Runtime, tenant: str, subjects: Sequence[str], directory: Path, who: str
) -> int:
    """Write the bundle; gives the number of events. The looks of others are told without names.

    Raises `Rejected` rather than leave something out.
    """
    wait_for_all(runtime, tenant, subjects)
    reader, access = Reader(runtime), runtime.keyring.access
    looks = access.looks(tenant, list(subjects), LOOKS_MAX)
    recipients = [each._asdict() for each in shown_to(access.recipients(tenant, subjects))]
    purpose = "access request of the customer"
    with looking(who, purpose, exported=True), seeing_held():  # it is theirs
        sealed = customer_events(runtime.pool, tenant, subjects)
        events = open_events(runtime.keyring, tenant, (envelope for _, envelope in sealed))
        customer = reader.customer(tenant, subjects[0])
    told = [look._replace(who="not told")._asdict() for look in looks]
    sources = sorted({event["authid"] for event in events})
    schemas = {
        name: EVENTS[name].model_json_schema() for name in sorted({e["type"] for e in events})
    }
    directory.mkdir(parents=True, mode=0o700)
    write_lines(directory / "events.jsonl", events)
    write_lines(directory / "looks.jsonl", told)
    said = [each._asdict() for each in consents.told(runtime.pool, tenant, subjects)]
    kept = [each.model_dump(mode="json") for each in schedules.held(runtime, tenant).schedules]
    contents: dict[str, Any] = {
        "customer": customer, "schemas": schemas, "sources": sources, "recipients": recipients,
        "consents": said, "retention": kept, "rights": limits(runtime, tenant, subjects),
    }  # fmt: skip
    for name, content in contents.items():
        raw = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
        (directory / f"{name}.json").write_bytes(raw)
    (directory / "processing.md").write_text(record(), "utf-8")
    (directory / "index.html").write_text(
        page("Your data", sections(contents, events, told)), "utf-8"
    )
    asked_by = Who(tenant, who)
    carried_out(runtime, asked_by, subjects, "access")
    for case in requests_of(runtime, tenant, subjects, "portability"):
        resolve(runtime, asked_by, case)
    return len(events)


def sections(contents: dict[str, Any], events: list[Row], looks: list[Row]) -> list[Section]:
    """Lay all of it out for reading."""
    return [
        ("What we know of you", ("what", "value"), list(flat("", contents["customer"] or {}))),
        ("What happened", ("when", "what", "told by", "facts"), [
            (e["time"], e["type"], e["authid"], {n: v for n, v in e["data"].items() if v})
            for e in events
        ]),
        ("What you agreed to", ("when", "to what", "over", "text", "agreed"), [
            (each["at"], each["purpose"], each["channel"], each["text_version"], each["granted"])
            for each in contents["consents"]
        ]),
        ("How long it is kept", ("what", "from when on", "for"), [
            (", ".join(each["groups"]), each["trigger"], each["period"])
            for each in contents["retention"]
        ]),
        ("To whom it was shown", ("whom", "how often", "as a file", "what", "last"), [
            (who, times, files, ", ".join(groups), last)
            for who, times, files, groups, last in map(dict.values, contents["recipients"])
        ]),
        ("When and why somebody looked", ("when", "why", "what"), [
            (look["at"], look["purpose"], ", ".join(look["fields"] or look["groups"]))
            for look in looks
        ]),
    ]  # fmt: skip


def shown_to(recipients: Sequence[Recipient]) -> list[Recipient]:
    """Tell to whom data was shown: each service by its key, those who work here as one."""
    staff = [each for each in recipients if not each.who.startswith("key:")]
    services = [each for each in recipients if each.who.startswith("key:")]
    if not staff:
        return services
    looks, exports = sum(each.looks for each in staff), sum(each.exports for each in staff)
    groups = sorted({group for each in staff for group in each.groups})
    last = max(each.last_at for each in staff)
    return [Recipient("staff", looks, exports, groups, last), *services]


def wait_for_all(runtime: Runtime, tenant: str, subjects: Sequence[str]) -> None:
    """Wait until all personal data is in the log. Raises `Rejected`."""
    deadline = time.monotonic() + runtime.settings.read_wait_seconds
    with runtime.pool.connection() as conn:
        while conn.execute(WAITING, [tenant, list(subjects)]).fetchone() == (True,):
            if time.monotonic() > deadline:
                raise Rejected(
                    "access.incomplete",
                    "Events of this customer have no position yet and would be missing:"
                    " let `crm up` or `crm sequencer` run, and ask again.",
                )
            time.sleep(0.02)


def limits(runtime: Runtime, tenant: str, subjects: Sequence[str]) -> dict[str, list[str]]:
    """Tell on which grounds the data is restricted, and what the customer objects to."""
    rights = consents.rights_of(runtime.pool, tenant, subjects)
    return {"restricted": sorted(rights.grounds), "objections": sorted(rights.objections)}
