"""What was known of a customer at an instant, by whom, and what changed between two."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import NamedTuple

from domain.rejected import Rejected
from infra.audit.export import readable
from infra.read_models.opening import open_events
from infra.read_models.reader import Reader
from infra.runtime import Runtime
from projections import customer_history
from projections.projection import Row

AFTER = timedelta(microseconds=1)
HIDDEN = ("position", "merged")

TOLD_IN = {
    "customer.registered.v1": "channel",
    "interaction.recorded.v1": "channel",
    "case.opened.v1": "channel",
    "lead.captured.v1": "source",
}
"""The events that say themselves over which channel we learned of something, and in which field."""
ENTRANCES = {"key": "http", "cli": "command line", "kafka": "kafka"}
"""How else it came in: what an actor's name begins with tells."""


class Instants(NamedTuple):
    """As of when: what was known by the one instant of the time up to the other."""

    known: datetime | None = None
    effective: datetime | None = None

    def later(self, until: datetime | None) -> "Instants":
        """Give the same question as of a later instant. Raises `Rejected`."""
        first = self.known or self.effective
        if first is None:
            raise Rejected("replay.no_instant", "Name an instant: as known, as effective, or both.")
        if until is None:
            return self
        if until < first:
            raise Rejected("replay.backwards", "What changed is told from an instant to a later.")
        return self._replace(known=until) if self.known else self._replace(effective=until)

    def holds(self, event: Row) -> bool:
        """Tell whether an event counts."""
        learned, happened = (
            datetime.fromisoformat(event[name]) for name in ("recordedtime", "time")
        )
        known = self.known is None or learned <= self.known
        return known and (self.effective is None or happened <= self.effective)


class Difference(NamedTuple):
    """Something that is not the same at two instants."""

    what: str
    before: object
    after: object


class Replay(NamedTuple):
    """A customer as of an instant, what has changed until another, and the events of both."""

    customer: Row | None
    differences: list[Difference]
    events: list[Row]
    """Each with its `channel`; `since` are those that changed it after the first instant."""
    next: int | None
    """After which position the events go on."""


def replay(
    runtime: Runtime,
    tenant: str,
    id_: str,
    then: Instants,
    until: datetime | None = None,
    *,
    after: int = 0,
    limit: int | None = None,
) -> Replay:
    """Tell what was known of a customer, by whom, and what changed until another instant.

    Raises `Rejected` for an instant that is not asked about, or is before the other.
    """
    reader, end = Reader(runtime), then.later(until)
    customer = later = reader.customer(
        tenant, id_, recorded_at=then.known, effective_at=then.effective
    )
    if end != then:
        later = reader.customer(tenant, id_, recorded_at=end.known, effective_at=end.effective)
    subjects = {id_}
    for state in (customer, later):
        subjects |= {state["id"], *state["merged"]} if state else set()
    events = told(runtime, tenant, sorted(subjects), end, after=after, limit=limit)
    more = limit is not None and len(events) > limit
    events = events[:limit]
    for event in events:
        event |= {"channel": channel_of(event), "since": not then.holds(event)}
    following = events[-1]["position"] if more else None
    return Replay(customer, differences(customer, later), events, following)


def told(
    runtime: Runtime,
    tenant: str,
    subjects: Sequence[str],
    upto: Instants,
    *,
    after: int,
    limit: int | None,
) -> list[Row]:
    """Give the events about those who were one customer then; one more than the limit."""
    arguments = {
        "tenant": tenant, "subjects": subjects, "types": [], "stream": None,
        "recorded_before": upto.known and upto.known + AFTER,
        "effective_before": upto.effective and upto.effective + AFTER,
        "after": after, "limit": limit and limit + 1,
    }  # fmt: skip
    with runtime.pool.connection() as conn:
        found = conn.execute(customer_history.PAGE, arguments, binary=True).fetchall()
    events = open_events(runtime.keyring, tenant, (envelope for _, envelope in found))
    return [{"position": at} | each for (at, _), each in zip(found, events, strict=True)]


def channel_of(event: Row) -> str:
    """Tell through which channel we learned of something."""
    named = event["data"].get(TOLD_IN.get(event["type"], ""))
    actor = event["authid"].partition(":")[0]
    return named if isinstance(named, str) and named else ENTRANCES.get(actor, actor)


def differences(before: Row | None, after: Row | None) -> list[Difference]:
    """Tell what is not the same in two states of a customer."""
    one, other = dict(flat("", before or {})), dict(flat("", after or {}))
    return [
        Difference(name, one.get(name), other.get(name))
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def flat(name: str, value: object) -> Iterator[tuple[str, object]]:
    """Give the parts of a row by their paths."""
    if isinstance(value, dict) and value and "redacted" not in value:
        for inner, held in value.items():
            if inner not in HIDDEN:
                yield from flat(f"{name}.{inner}" if name else inner, held)
    elif isinstance(value, list) and value:
        for number, held in enumerate(value, 1):
            yield from flat(f"{name}.{number}", held)
    elif value not in (None, {}, []):
        yield name, value


STYLE = "body{font:14px/1.5 sans-serif;margin:2em}td,th{text-align:left;padding:0 1em .3em 0}"


def sections(found: Replay) -> "list[Section]":
    """Lay an answer out as tables, for a terminal or a page."""
    events = [([event[name] for name in NAMES], event["since"]) for event in found.events]
    return [
        ("State", ("what", "value"), list(flat("", found.customer or {}))),
        ("Known from", COLUMNS, [row for row, since in events if not since]),
        ("Changed since", ("what", "then", "later"), found.differences),
        ("Changed by", COLUMNS, [row for row, since in events if since]),
    ]


NAMES = ("position", "time", "recordedtime", "type", "channel", "authid", "commandid")
COLUMNS = ("position", "happened (UTC)", "learned (UTC)", "event", "channel", "by", "command")

Section = tuple[str, Sequence[str], Sequence[Sequence[object]]]
"""A heading, the columns, and the rows."""


def page(title: str, sections: Sequence[Section]) -> str:
    """Lay tables out as a page for people."""
    parts = [
        f"<!doctype html>\n<html lang=en><meta charset=utf-8><title>{escape(title)}</title>",
        f"<style>{STYLE}</style><h1>{escape(title)}</h1>",
    ]
    for heading, columns, rows in sections:
        parts.append(f"<h2>{escape(heading)}</h2><table><tr>")
        parts += [f"<th>{escape(column)}" for column in columns]
        for row in rows:
            parts.append("\n<tr>")
            parts += [f"<td>{escape(cell(value))}" for value in row]
        parts.append("</table>")
    return "".join(parts) + "\n</html>\n"


def cell(value: object) -> str:
    """Tell a value in a cell."""
    return "–" if value is None else readable(value) if isinstance(value, dict) else str(value)
