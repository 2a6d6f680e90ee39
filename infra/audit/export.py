"""One customer's history for an auditor: all events, proofs, checkpoints, and what checks them.

Everything that proves is ciphertext where it is personal, so a bundle stays provable after an
erasure. The readable timeline beside it is opened for whoever exports, and proves nothing.
"""

from base64 import b64encode
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence, Set
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import orjson

from domain.rejected import Rejected
from infra.access import LOOKER, looking
from infra.audit.completeness import complete, positions_of, wait_for_log
from infra.audit.same_customer import same_customer
from infra.audit.stamping import Stamped, stamped
from infra.audit.tree import EVENTS, Head
from infra.read_models.opening import open_events
from infra.read_models.reader import customer_events
from infra.runtime import Runtime
from projections.projection import Row

PROOFS_AT_ONCE = 2_000

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>History of {customer}</title>
<style>body {{ font: 14px/1.5 sans-serif; margin: 2em }} td, th {{ text-align: left;
vertical-align: top; padding: 0 1em .3em 0 }} td:nth-child(-n+3) {{ white-space: nowrap }}</style>
<h1>History of customer {customer}</h1>
<p>{count} events, as opened on {at}. This page is for reading and proves nothing by itself:
<code>python verify.py</code> checks the events that lie beside it.</p>
<table><tr><th>position<th>happened<th>learned<th>event<th>by<th>facts
"""
LINE = "<tr><td>{position}<td>{time}<td>{recordedtime}<td>{type}<td>{authid}<td>{facts}\n"

ABOUT_STAMPS = """# Time stamps (RFC 3161)

`N.txt` is our checkpoint of the first N events, `N.tsr` what a time-stamp authority answered. The
first N that is not below the position of an event tells by when it was recorded. `verify.py` checks
that the checkpoints belong to the bundle; who vouches for the times is checked with the authority's
root certificate, which must come from the authority and is not in here:

    openssl ts -verify -in N.tsr -data N.txt -CAfile root.pem
"""


class Exported(NamedTuple):
    """What a bundle holds."""

    events: int
    size: int
    directory: Path
    waiting: int
    """So many more events about the customer are not in the log yet, and so not in the bundle."""


def export(runtime: Runtime, tenant: str, customer: str, directory: Path) -> Exported:
    """Write the bundle of a customer, with all who are merged.

    Raises `Rejected` if there is nothing to be shown, or not all of it may be.
    """
    subjects = same_customer(runtime, tenant, customer)
    waiting = wait_for_log(runtime, tenant, subjects)
    runtime.audit.checkpoint()
    head = runtime.audit.trees[EVENTS].head() or Head(0, "")
    events = provable(runtime, tenant, subjects, head.size)
    directory.mkdir(parents=True, mode=0o700)
    write_lines(directory / "events.jsonl", proven(runtime, events, head.size))
    stamps = first_after(runtime, [at for at, _ in events], head.size)
    write_lines(directory / "checkpoints.jsonl", continued(runtime, head.size, {*stamps}))
    write_stamps(directory / "time-stamps", stamps.values())
    key = runtime.audit.signer.key(EVENTS)
    script = files("infra.audit").joinpath("proofs.py").read_text("utf-8")
    positions = [at for at, _ in events]
    texts = {
        "checkpoint.txt": head.note, "key.txt": f"{key}\n", "verify.py": script,
        "complete.txt": complete(runtime.audit.signer, tenant, subjects, head, positions),
    }  # fmt: skip
    for name, text in texts.items():
        (directory / name).write_text(text, "utf-8")
    looker = LOOKER.get()
    with looking(looker.who, looker.purpose, exported=True):
        told = open_events(runtime.keyring, tenant, (envelope for _, envelope in events))
    page = timeline(subjects[0], positions, told, str(runtime.ports.now()))
    (directory / "timeline.html").write_text(page, "utf-8")
    return Exported(len(events), head.size, directory, waiting)


def provable(
    runtime: Runtime, tenant: str, subjects: Sequence[str], size: int
) -> list[tuple[int, bytes]]:
    """Give all events about a customer up to a size of the tree. Raises `Rejected`."""
    shown = customer_events(runtime.pool, tenant, subjects)
    events = [(at, envelope) for at, envelope in shown if at <= size]
    if not events:
        raise Rejected(
            "export.empty",
            "Nothing of this customer can be shown: no event of it is signed yet,"
            " or it is restricted and only the hold role sees it.",
        )
    if [at for at, _ in events] != positions_of(runtime, tenant, subjects, size):
        raise Rejected(
            "export.restricted",
            "Some events of this customer are restricted, and a bundle holds all or none:"
            " only the hold role can export it.",
        )
    return events


def proven(runtime: Runtime, events: Sequence[tuple[int, bytes]], size: int) -> Iterator[Row]:
    """Give every event with its proof."""
    for start in range(0, len(events), PROOFS_AT_ONCE):
        part = events[start : start + PROOFS_AT_ONCE]
        proofs = runtime.audit.trees[EVENTS].inclusions([at for at, _ in part], size)
        for (at, envelope), proof in zip(part, proofs, strict=True):
            yield {"position": at, "envelope": envelope.decode(), "proof": in_base64(proof)}


def first_after(runtime: Runtime, positions: Iterable[int], size: int) -> dict[int, Stamped]:
    """Give the time stamps by which each event was first there, by the sizes of the tree."""
    with runtime.pool.connection() as conn:
        known = [each for each in stamped(conn, EVENTS) if each.size <= size]
    sizes = [each.size for each in known]
    wanted = {bisect_left(sizes, position) for position in positions} - {len(sizes)}
    return {known[number].size: known[number] for number in sorted(wanted)}


def write_stamps(directory: Path, stamps: Iterable[Stamped]) -> None:
    """Write what was stamped, and what the authority answered, as `openssl ts` reads them."""
    for size, text, reply in stamps:
        directory.mkdir(exist_ok=True)
        (directory / f"{size}.txt").write_text(text, "utf-8")
        (directory / f"{size}.tsr").write_bytes(reply)
        (directory / "README.md").write_text(ABOUT_STAMPS, "utf-8")


def continued(runtime: Runtime, size: int, stamps: Set[int]) -> Iterator[Row]:
    """Give earlier checkpoints, each with the proof that the newest continues it.

    Of many only some: those that are time-stamped here, and sizes that double from one to the next.
    """
    tree, wanted = runtime.audit.trees[EVENTS], 1
    for head in tree.heads():
        if (wanted <= head.size or head.size in stamps) and head.size < size:
            proof = tree.consistency(head.size, size)
            yield {"checkpoint": head.note, "proof": in_base64(proof)}
            wanted = 2 * head.size


def in_base64(proof: Iterable[bytes]) -> list[str]:
    """Write hashes down."""
    return [b64encode(each).decode() for each in proof]


def write_lines(file: Path, rows: Iterable[Row]) -> None:
    """Write one JSON object a line."""
    with file.open("wb") as lines:
        lines.writelines(orjson.dumps(row) + b"\n" for row in rows)


def timeline(customer: str, positions: Sequence[int], told: Sequence[Row], at: str) -> str:
    """Lay a history out as a page for people."""
    lines = []
    for position, event in zip(positions, told, strict=True):
        facts = [f"{n} = {readable(v)}" for n, v in event["data"].items() if v not in (None, "")]
        shown = {n: escape(str(event[n])) for n in ("time", "recordedtime", "type", "authid")}
        lines.append(LINE.format(position=position, facts=escape("; ".join(facts)), **shown))
    page = PAGE.format(customer=escape(customer), count=len(lines), at=escape(at))
    return page + "".join(lines) + "</table>\n</html>\n"


def readable(value: object) -> str:
    """Tell a value in words."""
    if isinstance(value, dict) and "redacted" in value:
        return f"[{value['redacted']}]"
    return value if isinstance(value, str) else orjson.dumps(value).decode()
