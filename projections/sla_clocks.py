"""Which cases are answered and resolved in time, and which are about to miss their target?

One row per case, holding its deadlines and what happened. Whether a target was met follows from
event times alone; `at` only decides what is still running.
"""

from datetime import datetime, timedelta
from typing import Any

from domain.case import (
    AgentAnswered,
    CaseAssigned,
    CaseCategorised,
    CaseClosed,
    CaseEscalated,
    CaseLinked,
    CaseOpened,
    CasePriorityChanged,
    CaseReopened,
    CaseResolved,
    CaseResumed,
    CaseWaiting,
    CustomerWrote,
)
from domain.catalogue import RETENTION, names
from domain.events import Recorded
from domain.sla import TARGETS
from projections.projection import Column, Projection, Row, by_stream

sla_clocks = Projection(
    name="sla_clocks",
    version=1,
    question="Which cases are answered and resolved in time, and which are about to miss a target?",
    key=by_stream,
    columns={
        "customer": Column("uuid"),
        "channel": Column("text"),
        "category": Column("text"),
        "priority": Column("text"),
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
        "paused_since": Column("timestamptz"),
        "paused_seconds": Column("double precision", 0.0),
        "closed_at": Column("timestamptz"),
        "reopened": Column("int", 0),
    },
    indexes=("tenant, status, resolution_due", "tenant, customer"),
    ignores=names("customer.", "lead.", "interaction.", *RETENTION),
)


@sla_clocks.on(CaseOpened)
def opened(row: Row, event: CaseOpened, recorded: Recorded[Any]) -> Row:
    case = row | {
        "customer": event.customer,
        "channel": event.channel,
        "category": event.category,
        "priority": event.priority,
        "opened_at": recorded.time,
    }
    return due(first_due(case))


@sla_clocks.on(CaseCategorised)
def categorised(row: Row, event: CaseCategorised, _: Recorded[Any]) -> Row:
    return row | {"category": event.category}


@sla_clocks.on(CasePriorityChanged)
def priority_changed(row: Row, event: CasePriorityChanged, recorded: Recorded[Any]) -> Row:
    """An answer that was given keeps its target: a later change cannot break a promise kept."""
    changed = due(row | {"priority": event.priority})
    answered = row["first_answer_at"]
    return first_due(changed) if answered is None or recorded.time < answered else changed


@sla_clocks.on(CaseAssigned)
def assigned(row: Row, event: CaseAssigned, _: Recorded[Any]) -> Row:
    return row | {"agent": event.agent, "team": event.team}


@sla_clocks.on(CustomerWrote)
def customer_wrote(row: Row, _event: CustomerWrote, _: Recorded[Any]) -> Row:
    return row | {"messages": row["messages"] + 1}


@sla_clocks.on(AgentAnswered)
def agent_answered(row: Row, _event: AgentAnswered, recorded: Recorded[Any]) -> Row:
    first = row["first_answer_at"] or recorded.time
    return row | {"answers": row["answers"] + 1, "first_answer_at": min(first, recorded.time)}


@sla_clocks.on(CaseWaiting)
def waiting(row: Row, _event: CaseWaiting, recorded: Recorded[Any]) -> Row:
    since = row["paused_since"] or recorded.time
    return row | {"status": "waiting", "paused_since": since}


@sla_clocks.on(CaseResumed)
def resumed(row: Row, _event: CaseResumed, recorded: Recorded[Any]) -> Row:
    return due(unpaused(row, recorded.time) | {"status": "open"})


@sla_clocks.on(CaseEscalated)
def escalated(row: Row, event: CaseEscalated, _: Recorded[Any]) -> Row:
    return row | {"level": event.level}


@sla_clocks.on(CaseResolved)
def resolved(row: Row, _event: CaseResolved, recorded: Recorded[Any]) -> Row:
    ended = due(unpaused(row, recorded.time))
    return ended | {"status": "resolved", "resolved_at": recorded.time}


@sla_clocks.on(CaseReopened)
def reopened(row: Row, _event: CaseReopened, recorded: Recorded[Any]) -> Row:
    """The time for which the case counted as done does not count against the target."""
    done_since = row["resolved_at"] or row["closed_at"] or recorded.time
    going_on = unpaused(row | {"paused_since": done_since}, recorded.time)
    again = {"status": "open", "resolved_at": None, "closed_at": None}
    return due(going_on | again | {"reopened": row["reopened"] + 1})


@sla_clocks.on(CaseClosed)
def closed(row: Row, _event: CaseClosed, recorded: Recorded[Any]) -> Row:
    ended = due(unpaused(row, recorded.time))
    return ended | {"status": "closed", "closed_at": recorded.time}


@sla_clocks.on(CaseLinked)
def linked(row: Row, _event: CaseLinked, _: Recorded[Any]) -> Row:
    return row


def first_due(row: Row) -> Row:
    """Set the deadline of the first answer from the priority and the opening."""
    promised = TARGETS[row["priority"]].first_response
    return row | {"first_answer_due": row["opened_at"] + promised}


def due(row: Row) -> Row:
    """Set the deadline of the resolution from the priority, the opening and the pauses so far."""
    promised = TARGETS[row["priority"]].resolution + timedelta(seconds=row["paused_seconds"])
    return row | {"resolution_due": row["opened_at"] + promised}


def unpaused(row: Row, at: datetime) -> Row:
    """End a pause, if there is one; a pause that ends before it began has no length."""
    if row["paused_since"] is None:
        return row
    paused = max(0.0, (at - row["paused_since"]).total_seconds())
    return row | {"paused_since": None, "paused_seconds": row["paused_seconds"] + paused}


# ---- Reading -------------------------------------------------------------------------------------

# A deadline that has passed is missed, even if the case was closed or paused afterwards.
VERDICT = """
CASE WHEN {done} <= {due} THEN 'met'
     WHEN coalesce({done}, closed_at, {paused}, %(at)s::timestamptz) > {due} THEN 'breached'
     WHEN closed_at IS NOT NULL THEN 'cancelled'
     WHEN {paused} IS NOT NULL THEN 'paused'
     ELSE 'running' END
"""

VERDICTS = f"""
    {VERDICT.format(done="first_answer_at", due="first_answer_due", paused="NULL::timestamptz")}
        AS first_answer,
    {VERDICT.format(done="resolved_at", due="resolution_due", paused="paused_since")} AS resolution
"""

CLOCKS = f"SELECT *, {VERDICTS} FROM read.sla_clocks WHERE tenant = %(tenant)s"

CLOCKS_OF = f"SELECT *, {VERDICTS} FROM json_populate_record(NULL::read.sla_clocks, %(row)s::json)"
"""The same of one row that is not in the table, because it is of another instant."""

PAGE = f"""
SELECT * FROM ({CLOCKS}) AS clocks
WHERE (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(verdict)s::text IS NULL OR %(verdict)s IN (first_answer, resolution))
  AND (%(customer)s::uuid IS NULL OR customer = %(customer)s)
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
