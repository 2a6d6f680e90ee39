"""Which cases are answered and resolved in time, and which are about to miss their target?

One row per case: what happened to it as far as clocks care, and the clocks that follow from that by
`domain.clocks`. Events may come late; what counts is when they happened. Whether a target was met
follows from event times alone; `at` only decides what is still running.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from domain.case import (
    AgentAnswered,
    AgreementMatched,
    CaseAssigned,
    CaseCategorised,
    CaseClosed,
    CaseEscalated,
    CaseHandedOver,
    CaseLinked,
    CaseOpened,
    CasePriorityChanged,
    CaseReopened,
    CaseResolved,
    CaseResumed,
    CaseWaiting,
    CustomerWrote,
    MarkReached,
    NotificationRequested,
)
from domain.catalogue import AGREED, RETENTION, names
from domain.clocks import Clock, Due, Fact, Service, dues, judged, pause_limit, serve
from domain.events import Recorded
from domain.terms import Terms, terms_of
from projections.projection import Column, Projection, Row, by_stream

# ---- From facts to clocks ------------------------------------------------------------------------


Told = Sequence[str]
"""What happened as a row keeps it: when, what, and with which value."""


def service(facts: Sequence[Told], terms: Terms | None = None) -> Service:
    """Let the clocks of a case run over what happened, in order of happening.

    What is said to have happened before the opening happened at the opening. Other `terms` than the
    agreed ones answer what would have been.
    """
    opened_at = datetime.fromisoformat(facts[0][0])
    read = [
        Fact(max(datetime.fromisoformat(at), opened_at), kind, value) for at, kind, value in facts
    ]
    ordered = sorted(
        read, key=lambda fact: (fact.at, fact.at == opened_at and fact.kind != "matched")
    )
    if terms is None:
        return serve([(f, terms_of(f.value) if f.kind == "matched" else None) for f in ordered])
    asked = [fact for fact in ordered if fact.kind != "matched"]
    return serve(
        [(asked[0], None), (Fact(opened_at, "matched"), terms), *((f, None) for f in asked[1:])]
    )


def derived(row: Row) -> Row:
    """Work the clocks out, and when something will be due."""
    if row["opened_at"] is None:
        return row
    served = service(row["facts"])
    due = next(iter(dues(served)), None)
    deadlines = [c.deadline for c in served.clocks if c.state == "running" and c.deadline]
    paused = [clock for clock in served.clocks if clock.state == "paused"]
    answer, resolution = served.current("first_response"), served.current("resolution")
    return row | {
        "clocks": [shown(served, clock) for clock in served.clocks],
        "breach_due": min(deadlines, default=None),
        "next_due": due and due.at,
        "paused_since": min((c.since for c in paused if c.since), default=None),
        "first_answer_due": answer and answer.deadline,
        "resolution_due": resolution and resolution.deadline,
    }


def as_of(row: Row, at: datetime) -> Row:
    """Give a row with its clocks as they stand at an instant, and all that happened to them."""
    served = service(row["facts"])
    clocks = [judged(served, clock, at) for clock in served.clocks]
    return row | {"clocks": [shown(served, each) | told(served, each) for each in clocks]}


def shown(served: Service, clock: Clock) -> Row:
    """Show a clock as it stood after the last event."""
    return {
        "clock": clock.name,
        "instance": clock.instance,
        "state": clock.state,
        "target": None if clock.target is None else clock.target.total_seconds(),
        "used": clock.used.total_seconds(),
        "since": clock.since,
        "deadline": clock.deadline,
        "breached_at": clock.breached_at,
        "forgotten": clock.is_forgotten,
        "forgotten_at": pause_limit(served, clock),
        "activated_at": clock.history[0].at,
        "ended_at": clock.history[-1].at if clock.state in ("fulfilled", "cancelled") else None,
    }


def told(served: Service, clock: Clock) -> Row:
    """Tell what happened to a clock, in order; a mark that was acted upon stays in the history."""
    name = f"{clock.name}/{clock.instance}/"
    marks = {
        key.removeprefix(name): at for key, at in served.reached.items() if key.startswith(name)
    }
    happened = [
        *clock.history,
        *((mark, at, "") for mark, at in (marks | dict(clock.passed)).items()),
    ]
    return {
        "intervals": clock.intervals,
        "events": [
            {"kind": kind, "at": at, "reason": reason}
            for kind, at, reason in sorted(happened, key=lambda each: each[1])
        ],
    }


sla_clocks = Projection(
    name="sla_clocks",
    version=3,
    question="Which cases are answered and resolved in time, and which are about to miss a target?",
    key=by_stream,
    columns={
        "customer": Column("uuid"),
        "channel": Column("text"),
        "category": Column("text"),
        "priority": Column("text"),
        "tier": Column("text"),
        "status": Column("text", "open"),
        "agent": Column("text"),
        "team": Column("text"),
        "level": Column("int", 0),
        "messages": Column("int", 0),
        "answers": Column("int", 0),
        "opened_at": Column("timestamptz"),
        "first_answer_at": Column("timestamptz"),
        "first_answer_due": Column("timestamptz"),
        "resolved_at": Column("timestamptz"),
        "resolution_due": Column("timestamptz"),
        "waiting_for": Column("text"),
        "paused_since": Column("timestamptz"),
        "closed_at": Column("timestamptz"),
        "reopened": Column("int", 0),
        "agreement": Column("uuid"),
        "agreement_version": Column("int"),
        "events": Column("bigint", 0),
        "facts": Column("jsonb", [], inner=True),
        "clocks": Column("jsonb", []),
        "breach_due": Column("timestamptz"),
        "next_due": Column("timestamptz"),
    },
    indexes=(
        "tenant, status, breach_due",
        "tenant, customer",
        "tenant, agreement, opened_at",
        "next_due",
    ),
    ignores=names("customer.", "lead.", "interaction.", *RETENTION, *AGREED),
    finish=derived,
)


# ---- From events to facts ------------------------------------------------------------------------


# ---- From events to facts ------------------------------------------------------------------------


def noted(row: Row, recorded: Recorded[Any], value: str = "", **changes: object) -> Row:
    """Keep what happened and when, and what it changes in the row."""
    fact = (recorded.time.isoformat(), FACTS[recorded.type], value)
    return {**row, **changes, "facts": [*row["facts"], fact], "events": recorded.version}


FACTS = {name: name.split(".")[1] for name in names("case.")} | {
    AgreementMatched.name: "matched",
    CaseHandedOver.name: "assigned",
}
"""What clocks call an event: `case.customer_wrote.v1` is `customer_wrote`."""


@sla_clocks.on(CaseOpened)
def opened(row: Row, event: CaseOpened, recorded: Recorded[Any]) -> Row:
    return noted(
        row,
        recorded,
        event.priority,
        customer=event.customer,
        channel=event.channel,
        category=event.category,
        priority=event.priority,
        opened_at=recorded.time,
    )


@sla_clocks.on(AgreementMatched)
def matched(row: Row, event: AgreementMatched, recorded: Recorded[Any]) -> Row:
    under = {"agreement": event.agreement, "agreement_version": event.version, "tier": event.tier}
    return noted(row, recorded, event.terms.written, **under)


@sla_clocks.on(MarkReached)
def mark_reached(row: Row, event: MarkReached, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, Due(event.due, event.clock, event.instance, event.mark).key)


@sla_clocks.on(NotificationRequested)
def notification_requested(row: Row, _: NotificationRequested, recorded: Recorded[Any]) -> Row:
    return row | {"events": recorded.version}


@sla_clocks.on(CaseCategorised)
def categorised(row: Row, event: CaseCategorised, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, event.category, category=event.category)


@sla_clocks.on(CasePriorityChanged)
def priority_changed(row: Row, event: CasePriorityChanged, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, event.priority, priority=event.priority)


@sla_clocks.on(CaseAssigned)
def assigned(row: Row, event: CaseAssigned, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, event.team or event.agent, agent=event.agent, team=event.team)


@sla_clocks.on(CaseHandedOver)
def handed_over(row: Row, event: CaseHandedOver, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, event.team, agent=None, team=event.team)


@sla_clocks.on(CustomerWrote)
def customer_wrote(row: Row, _event: CustomerWrote, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, messages=row["messages"] + 1)


@sla_clocks.on(AgentAnswered)
def agent_answered(row: Row, _event: AgentAnswered, recorded: Recorded[Any]) -> Row:
    first = min(row["first_answer_at"] or recorded.time, recorded.time)
    return noted(row, recorded, answers=row["answers"] + 1, first_answer_at=first)


@sla_clocks.on(CaseWaiting)
def waiting(row: Row, event: CaseWaiting, recorded: Recorded[Any]) -> Row:
    whom = event.waiting_for
    return noted(row, recorded, whom, status="waiting", waiting_for=whom)


@sla_clocks.on(CaseResumed)
def resumed(row: Row, _event: CaseResumed, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, status="open", waiting_for=None)


@sla_clocks.on(CaseEscalated)
def escalated(row: Row, event: CaseEscalated, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, str(event.level), level=event.level)


@sla_clocks.on(CaseResolved)
def resolved(row: Row, _event: CaseResolved, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, status="resolved", resolved_at=recorded.time, waiting_for=None)


@sla_clocks.on(CaseReopened)
def reopened(row: Row, _event: CaseReopened, recorded: Recorded[Any]) -> Row:
    times = row["reopened"] + 1
    return noted(row, recorded, status="open", resolved_at=None, closed_at=None, reopened=times)


@sla_clocks.on(CaseClosed)
def closed(row: Row, _event: CaseClosed, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, status="closed", closed_at=recorded.time, waiting_for=None)


@sla_clocks.on(CaseLinked)
def linked(row: Row, event: CaseLinked, recorded: Recorded[Any]) -> Row:
    return noted(row, recorded, event.relation)


# ---- Reading -------------------------------------------------------------------------------------

VERDICT = """
CASE WHEN c.breached_at IS NOT NULL THEN 'breached'
     WHEN c.state = 'cancelled' THEN 'cancelled'
     WHEN c.target IS NULL THEN 'no target'
     WHEN c.state = 'fulfilled' THEN CASE WHEN c.forgotten THEN 'forgotten' ELSE 'met' END
     WHEN c.state = 'paused'
         THEN CASE WHEN %(at)s::timestamptz > c.forgotten_at THEN 'forgotten' ELSE 'paused' END
     WHEN %(at)s::timestamptz > c.deadline THEN 'breached'
     ELSE 'running' END
"""

EACH = """
jsonb_to_recordset(s.clocks) AS c (
    clock text, instance int, state text, target float8, used float8, since timestamptz,
    deadline timestamptz, breached_at timestamptz, forgotten boolean, forgotten_at timestamptz,
    activated_at timestamptz, ended_at timestamptz)
"""

NEWEST = f"""
coalesce((SELECT {VERDICT} FROM {EACH} WHERE c.clock = '{{clock}}'
          ORDER BY c.instance DESC LIMIT 1), 'no target')
"""

VERDICTS = f"""
    {NEWEST.format(clock="first_response")} AS first_answer,
    {NEWEST.format(clock="resolution")} AS resolution
"""

CLOCKS = f"SELECT s.*, {VERDICTS} FROM read.sla_clocks s WHERE s.tenant = %(tenant)s"

CLOCKS_OF = (
    f"SELECT s.*, {VERDICTS} FROM json_populate_record(NULL::read.sla_clocks, %(row)s::json) s"
)
"""The same of one row that is not in the table, because it is of another instant."""

PAGE = f"""
SELECT * FROM ({CLOCKS}) AS clocks
WHERE (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(verdict)s::text IS NULL OR %(verdict)s IN (first_answer, resolution))
  AND (%(customers)s::uuid[] IS NULL OR customer = ANY(%(customers)s::uuid[]))
  AND key > %(after)s
ORDER BY key LIMIT %(limit)s
"""

SUMMARY = f"""
SELECT priority, count(*) AS cases,
       count(*) FILTER (WHERE status NOT IN ('resolved', 'closed')) AS open,
       count(*) FILTER (WHERE first_answer = 'met') AS first_answer_met,
       count(*) FILTER (WHERE first_answer = 'breached') AS first_answer_breached,
       count(*) FILTER (WHERE resolution = 'met') AS resolution_met,
       count(*) FILTER (WHERE resolution = 'breached') AS resolution_breached
FROM ({CLOCKS}) AS clocks GROUP BY priority ORDER BY priority
"""
