"""What a person gets who asks for their data (GDPR 15, 20): everything, readable and portable."""

from collections.abc import Sequence
from pathlib import Path

import orjson

from domain.catalogue import EVENTS
from infra.access import looking
from infra.audit_export import write_lines
from infra.opening import open_events
from infra.reader import Reader, customer_events
from infra.record_of_processing import record
from infra.replay import Section, flat, page
from infra.runtime import Runtime

LOOKS_MAX = 100_000


def write_bundle(
    runtime: Runtime, tenant: str, subjects: Sequence[str], directory: Path, who: str
) -> int:
    """Write the bundle; gives the number of events. The looks of others are told without names."""
    reader, access = Reader(runtime), runtime.keyring.access
    looks = access.looks(tenant, list(subjects), LOOKS_MAX)
    with looking(who, "access request of the customer", exported=True):
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
    for name, content in (("customer", customer), ("schemas", schemas), ("sources", sources)):
        raw = orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z)
        (directory / f"{name}.json").write_bytes(raw)
    (directory / "processing.md").write_text(record(), "utf-8")
    sections: list[Section] = [
        ("What we know of you", ("what", "value"), list(flat("", customer or {}))),
        ("What happened", ("when", "what", "told by", "facts"), [
            (e["time"], e["type"], e["authid"], {n: v for n, v in e["data"].items() if v})
            for e in events
        ]),
        ("When and why somebody looked", ("when", "why", "what"), [
            (look["at"], look["purpose"], ", ".join(look["groups"])) for look in told
        ]),
    ]  # fmt: skip
    (directory / "index.html").write_text(page("Your data", sections), "utf-8")
    return len(events)
