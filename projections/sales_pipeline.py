"""What is in the sales pipeline, what is it worth, and how long does it take?

One row per lead. Totals are SQL over the rows, never counters.
"""

from typing import Any

from domain.catalogue import AGREED, RETENTION, names
from domain.events import Recorded
from domain.lead import (
    ActivityDone,
    ActivityPlanned,
    LeadAssigned,
    LeadCaptured,
    LeadDisqualified,
    LeadLost,
    LeadQualified,
    LeadReopened,
    LeadScored,
    LeadStageMoved,
    LeadValueEstimated,
    LeadWon,
)
from projections.projection import Column, Projection, Row, by_stream

sales_pipeline = Projection(
    name="sales_pipeline",
    version=1,
    question="What is in the sales pipeline, what is it worth, and how long does it take?",
    key=by_stream,
    columns={
        "customer": Column("uuid"),
        "pipeline": Column("text"),
        "status": Column("text", "open"),
        "qualified": Column("boolean", False),
        "stage": Column("text"),
        "probability": Column("int"),
        "stage_since": Column("timestamptz"),
        "stages": Column("jsonb", []),
        "source": Column("text"),
        "campaign": Column("text"),
        "product": Column("text"),
        "owner": Column("text"),
        "territory": Column("text"),
        "score": Column("int"),
        "amount": Column("bigint"),
        "currency": Column("text"),
        "reason": Column("text"),
        "activities": Column("jsonb", {}),
        "captured_at": Column("timestamptz"),
        "decided_at": Column("timestamptz"),
    },
    indexes=("tenant, status, stage", "tenant, customer", "tenant, owner"),
    ignores=names(
        "customer.",
        "case.",
        "interaction.",
        *RETENTION,
        *AGREED,
    ),
)


@sales_pipeline.on(LeadCaptured)
def captured(row: Row, event: LeadCaptured, recorded: Recorded[Any]) -> Row:
    return at_stage(row, event.stage, event.probability, recorded) | {
        "customer": event.customer,
        "pipeline": event.pipeline,
        "source": event.source,
        "campaign": event.campaign,
        "product": event.product,
        "captured_at": recorded.time,
    }


@sales_pipeline.on(LeadStageMoved)
def stage_moved(row: Row, event: LeadStageMoved, recorded: Recorded[Any]) -> Row:
    return at_stage(row, event.stage, event.probability, recorded)


@sales_pipeline.on(LeadScored)
def scored(row: Row, event: LeadScored, _: Recorded[Any]) -> Row:
    return row | {"score": event.score}


@sales_pipeline.on(LeadAssigned)
def assigned(row: Row, event: LeadAssigned, _: Recorded[Any]) -> Row:
    return row | {"owner": event.owner, "territory": event.territory}


@sales_pipeline.on(ActivityPlanned)
def activity_planned(row: Row, event: ActivityPlanned, _: Recorded[Any]) -> Row:
    planned = {"kind": event.kind, "due": event.due.isoformat(), "outcome": None}
    return row | {"activities": {**row["activities"], event.activity: planned}}


@sales_pipeline.on(ActivityDone)
def activity_done(row: Row, event: ActivityDone, _: Recorded[Any]) -> Row:
    done = row["activities"][event.activity] | {"outcome": event.outcome}
    return row | {"activities": {**row["activities"], event.activity: done}}


@sales_pipeline.on(LeadQualified)
def qualified(row: Row, _event: LeadQualified, _: Recorded[Any]) -> Row:
    return row | {"qualified": True}


@sales_pipeline.on(LeadValueEstimated)
def value_estimated(row: Row, event: LeadValueEstimated, _: Recorded[Any]) -> Row:
    return row | {"amount": event.value.amount, "currency": event.value.currency}


@sales_pipeline.on(LeadWon)
def won(row: Row, event: LeadWon, recorded: Recorded[Any]) -> Row:
    value = {"amount": event.value.amount, "currency": event.value.currency}
    return row | value | {"status": "won", "decided_at": recorded.time}


@sales_pipeline.on(LeadLost)
def lost(row: Row, event: LeadLost, recorded: Recorded[Any]) -> Row:
    return row | {"status": "lost", "reason": event.reason, "decided_at": recorded.time}


@sales_pipeline.on(LeadDisqualified)
def disqualified(row: Row, event: LeadDisqualified, recorded: Recorded[Any]) -> Row:
    decided = {"status": "disqualified", "qualified": False, "decided_at": recorded.time}
    return row | decided | {"reason": event.reason}


@sales_pipeline.on(LeadReopened)
def reopened(row: Row, _event: LeadReopened, _: Recorded[Any]) -> Row:
    return row | {"status": "open", "reason": None, "decided_at": None}


def at_stage(row: Row, stage: str, probability: int, recorded: Recorded[Any]) -> Row:
    """Note when a stage was entered: the time in each stage follows from the list."""
    entered = {"stage": stage, "entered_at": recorded.time.isoformat()}
    return row | {
        "stage": stage,
        "probability": probability,
        "stage_since": recorded.time,
        "stages": [*row["stages"], entered],
    }


# ---- Reading -------------------------------------------------------------------------------------

GROUPS = ("stage", "owner", "territory", "status", "source", "campaign", "product", "currency")
PERIODS = ("quarter", "month", "year")

SUMMARY = """
SELECT {group} AS "group", currency,
       count(*) AS leads,
       count(*) FILTER (WHERE status = 'open') AS open,
       count(*) FILTER (WHERE status = 'won') AS won,
       count(*) FILTER (WHERE status = 'lost') AS lost,
       coalesce(sum(amount) FILTER (WHERE status = 'open'), 0)::bigint AS open_amount,
       coalesce(sum(amount) FILTER (WHERE status = 'won'), 0)::bigint AS won_amount,
       coalesce(sum(amount * probability) FILTER (WHERE status = 'open') / 100, 0)::bigint
           AS weighted_amount,
       round(100.0 * sum(count(*) FILTER (WHERE status = 'won')) OVER whole_group
           / nullif(sum(count(*) FILTER (WHERE status IN ('won', 'lost'))) OVER whole_group, 0),
           2)::float8 AS win_rate_percent,
       round(avg(extract(epoch FROM %(at)s::timestamptz - stage_since) / 86400)
           FILTER (WHERE status = 'open'), 2)::float8 AS mean_days_in_stage,
       round(avg(extract(epoch FROM decided_at - captured_at) / 86400)
           FILTER (WHERE status = 'won'), 2)::float8 AS won_mean_cycle_days,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM decided_at - captured_at)
           / 86400) FILTER (WHERE status = 'won') AS won_median_cycle_days,
       round(avg(extract(epoch FROM decided_at - captured_at) / 86400)
           FILTER (WHERE status = 'lost'), 2)::float8 AS lost_mean_cycle_days,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM decided_at - captured_at)
           / 86400) FILTER (WHERE status = 'lost') AS lost_median_cycle_days
FROM read.sales_pipeline
WHERE tenant = %(tenant)s
  AND (%(pipeline)s::text IS NULL OR pipeline = %(pipeline)s)
  AND (%(decided_from)s::timestamptz IS NULL OR decided_at >= %(decided_from)s)
  AND (%(decided_to)s::timestamptz IS NULL OR decided_at < %(decided_to)s)
GROUP BY 1, 2 WINDOW whole_group AS (PARTITION BY {group}) ORDER BY 1, 2
"""
"""Amounts are per currency; the win rate is of the whole group: a lost lead may have no amount."""

PAGE = """
SELECT * FROM read.sales_pipeline
WHERE tenant = %(tenant)s AND key > %(after)s
  AND (%(status)s::text IS NULL OR status = %(status)s)
  AND (%(stage)s::text IS NULL OR stage = %(stage)s)
  AND (%(owner)s::text IS NULL OR owner = %(owner)s)
  AND (%(customers)s::uuid[] IS NULL OR customer = ANY(%(customers)s::uuid[]))
ORDER BY key LIMIT %(limit)s
"""


def summary(group: str) -> str:
    """Give the query of the totals by one of `GROUPS`, or by a period of the decision."""
    if group in GROUPS:
        return SUMMARY.format(group=f"coalesce({group}, '')")
    if group in PERIODS:
        return SUMMARY.format(group=f"coalesce(date_trunc('{group}', decided_at)::date::text, '')")
    raise ValueError(f"Totals can be grouped by {', '.join((*GROUPS, *PERIODS))}, not by {group}.")
