"""The review of an agreement: what was promised, what was kept, what it cost, and what if.

The sixth step of every agreement is to look at it again. The figures come from queries; this only
puts them together, and lets the clocks run once more over the same history by other terms.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, get_args

from domain.agreement import Promise
from domain.clocks import Clock, Service, pause_limit
from domain.money import money
from domain.terms import Terms
from domain.values import Priority
from projections.projection import Row
from projections.sla_clocks import service

Verdicts = ("met", "breached", "forgotten", "open", "cancelled", "no target")


def verdict(served: Service, clock: Clock, at: datetime) -> str:
    """Judge a clock as of an instant, like the queries do."""
    if clock.breached_at is not None:
        return "breached"
    if clock.state == "cancelled":
        return "cancelled"
    if clock.target is None:
        return "no target"
    if clock.state == "fulfilled":
        return "forgotten" if clock.is_forgotten else "met"
    if clock.state == "paused":
        limit = pause_limit(served, clock)
        return "forgotten" if limit and at > limit else "open"
    return "breached" if clock.deadline and at > clock.deadline else "open"


def what_if(
    histories: Iterable[list[list[str]]], terms: Terms, at: datetime
) -> dict[str, dict[str, int]]:
    """Count, per clock, what past cases would have come to under other terms."""
    counts: dict[str, dict[str, int]] = {}
    for facts in histories:
        served = service(facts, terms)
        for clock in served.clocks:
            of = counts.setdefault(clock.name, dict.fromkeys(Verdicts, 0))
            of[verdict(served, clock, at)] += 1
    return dict(sorted(counts.items()))


def review(
    agreement: Row,
    compliance: Sequence[Row],
    credits_: Sequence[Row],
    alternatives: dict[str, dict[str, dict[str, int]]],
    at: datetime,
    *,
    since: datetime | None = None,
) -> dict[str, Any]:
    """Put a review together, as plain JSON."""
    version = agreement["versions"][-1]
    promise = Promise.model_validate(version["promise"])
    return {
        "agreement": agreement["key"],
        "title": promise.title,
        "version": version["number"],
        "since": iso(since),
        "as_of": at.isoformat(),
        "objective": promise.objective,
        "services": list(promise.services),
        "parties": [party.model_dump() for party in promise.parties],
        "promised": {
            rule.clock: {
                priority: span(rule.targets[priority].total_seconds())
                for priority in get_args(Priority)
                if priority in rule.targets
            }
            for rule in promise.terms.clocks
        },
        "kept": [dict(row) for row in compliance],
        "cost": [dict(row) for row in credits_],
        "what_if": alternatives,
        "next_review": iso(agreement["review_due"]),
    }


def iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def as_markdown(report: dict[str, Any]) -> str:
    """Write a review down for people."""
    lines = [
        f"# {cell(report['title'])}, version {report['version']}",
        "",
        cell(report["objective"]) or "No objective was written down.",
        "",
        f"{span_of(report)}. Services: {listed(report['services'])}. Parties: "
        + listed(f"{party['name']} ({party['role']})" for party in report["parties"])
        + ".",
        "",
        "## What was promised",
        "",
        *table(
            ["clock", "priority", "target"],
            [
                [clock, priority, target]
                for clock, targets in report["promised"].items()
                for priority, target in targets.items()
            ],
        ),
        "",
        "## What was kept",
        "",
        *table(
            ["clock", "met", "breached", "forgotten", "open", "kept", "median", "90 %"],
            [
                [
                    row["clock"],
                    row["met"],
                    row["breached"],
                    row["forgotten"],
                    row["open"],
                    "–" if row["kept_percent"] is None else f"{row['kept_percent']} %",
                    span(row["median_seconds"]),
                    span(row["p90_seconds"]),
                ]
                for row in report["kept"]
            ],
        ),
        "",
        "## What it cost",
        "",
        *table(
            ["period", "owed", "taken back"],
            [
                [
                    row["period"],
                    money(row["owed"], row["currency"]),
                    money(row["reversed"], row["currency"]),
                ]
                for row in report["cost"]
            ],
        ),
        "",
        "## What would have been",
        "",
        *table(
            ["with", "clock", *Verdicts],
            [
                [name, clock, *counts.values()]
                for name, clocks in report["what_if"].items()
                for clock, counts in clocks.items()
            ],
        ),
        "",
        f"Next review: {when(report['next_review'])}.",
    ]
    return "\n".join(lines) + "\n"


def span_of(report: dict[str, Any]) -> str:
    """Tell which promises a review is about, and as of when they are judged."""
    since = f"Promises given from {when(report['since'])} on" if report["since"] else "All promises"
    return f"{since}, as of {when(report['as_of'])}"


def when(at: str | None) -> str:
    """Tell an instant to the minute, in UTC as everything is."""
    return datetime.fromisoformat(at).strftime("%Y-%m-%d %H:%M UTC") if at else "none"


def table(head: list[str], rows: list[list[Any]]) -> list[str]:
    """Lay out a Markdown table, or say that there is nothing."""
    if not rows:
        return ["Nothing."]
    written = [head, ["---"] * len(head), *([cell(each) for each in row] for row in rows)]
    return ["| " + " | ".join(row) + " |" for row in written]


def cell(value: object) -> str:
    """Write a value so that it cannot break out of its place."""
    return str(value).replace("|", "\\|").replace("\n", " ")


def listed(values: Iterable[str]) -> str:
    return ", ".join(map(cell, values)) or "none"


def span(seconds: float | None) -> str:
    """Tell working time as a file says it: `24h`, `1h 30m`; a day of it would be ambiguous."""
    if seconds is None:
        return "–"
    minutes, second = divmod(round(seconds), 60)
    parts = ((minutes // 60, "h"), (minutes % 60, "m"), (second, "s"))
    return " ".join(f"{count}{unit}" for count, unit in parts if count) or "0s"
