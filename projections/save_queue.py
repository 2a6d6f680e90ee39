"""Whom does the save team have to look after, by what is at stake, and what came of it?

One row per customer about whom there was an alert: the newest one, and those before in `past`. A
customer has at most one open alert, so the row is the place in the queue.
"""

from datetime import datetime
from typing import Any

from domain.catalogue import AGREED, RETENTION, names
from domain.churn_alert import (
    ChurnAlertAssigned,
    ChurnAlertPlayChosen,
    ChurnAlertRaised,
    ChurnAlertReviewed,
    ChurnAlertsAllowed,
    ChurnAlertSettled,
    ChurnAlertsSuppressed,
    ExitInterviewHeld,
)
from domain.events import Recorded
from projections.projection import Column, Projection, Row, by_stream

ALERT = {
    "alert": Column("uuid"),
    "customer": Column("uuid"),
    "rule": Column("text"),
    "policy_version": Column("int"),
    "segment": Column("text"),
    "score": Column("int"),
    "basis": Column("text"),
    "reasons": Column("jsonb", []),
    "value_at_risk": Column("bigint", 0),
    "currency": Column("text"),
    "assessed_at": Column("timestamptz"),
    "raised_at": Column("timestamptz"),
    "due_at": Column("timestamptz"),
    "watch_until": Column("timestamptz"),
    "agent": Column("text"),
    "team": Column("text"),
    "play": Column("text"),
    "play_at": Column("timestamptz"),
    "reviewed_by": Column("text"),
    "upheld": Column("boolean"),
    "outcome": Column("text"),
    "proof": Column("text"),
    "proven_at": Column("timestamptz"),
    "answers": Column("jsonb"),
}

save_queue = Projection(
    name="save_queue",
    version=1,
    question="Whom does the save team have to look after, by what is at stake; what came of it?",
    key=by_stream,
    columns={**ALERT, "past": Column("jsonb", [])},
    indexes=("tenant, outcome, value_at_risk DESC", "tenant, customer"),
    profiles=True,
    ignores=names("customer.", "lead.", "case.", "interaction.", *AGREED)
    | names(*(prefix for prefix in RETENTION if prefix != "churn_alert."))
    | {ChurnAlertsSuppressed.name, ChurnAlertsAllowed.name},
)


@save_queue.on(ChurnAlertRaised)
def raised(row: Row, event: ChurnAlertRaised, recorded: Recorded[Any]) -> Row:
    at_risk, new = event.value_at_risk, {name: column.new for name, column in ALERT.items()}
    before = [] if row["alert"] is None else [{name: plain(row[name]) for name in ALERT}]
    return new | {
        "past": [*row["past"], *before],
        "alert": event.alert,
        "customer": event.customer,
        "rule": event.rule,
        "policy_version": event.policy_version,
        "segment": event.segment,
        "score": event.assessment.score,
        "basis": event.assessment.basis,
        "reasons": [reason.model_dump() for reason in event.assessment.reasons],
        "value_at_risk": 0 if at_risk is None else at_risk.amount,
        "currency": None if at_risk is None else at_risk.currency,
        "assessed_at": event.assessed_at,
        "raised_at": recorded.time,
        "due_at": event.due_at,
        "watch_until": event.watch_until,
    }


@save_queue.on(ChurnAlertAssigned)
def assigned(row: Row, event: ChurnAlertAssigned, _: Recorded[Any]) -> Row:
    return row | {"agent": event.agent, "team": event.team}


@save_queue.on(ChurnAlertPlayChosen)
def play_chosen(row: Row, event: ChurnAlertPlayChosen, _: Recorded[Any]) -> Row:
    return row | {"play": event.play, "play_at": event.at}


@save_queue.on(ChurnAlertReviewed)
def reviewed(row: Row, event: ChurnAlertReviewed, _: Recorded[Any]) -> Row:
    return row | {"reviewed_by": event.reviewer, "upheld": event.upheld}


@save_queue.on(ChurnAlertSettled)
def settled(row: Row, event: ChurnAlertSettled, _: Recorded[Any]) -> Row:
    return row | {"outcome": event.outcome, "proof": event.proof, "proven_at": event.proven_at}


@save_queue.on(ExitInterviewHeld)
def exit_interview_held(row: Row, event: ExitInterviewHeld, _: Recorded[Any]) -> Row:
    """A customer may tell why long after, when another alert is raised already."""
    if event.alert == row["alert"]:
        return row | {"answers": event.answers}
    told = {"answers": event.answers}
    past = [one | told if one["alert"] == event.alert else one for one in row["past"]]
    return row | {"past": past}


def plain(value: Any) -> Any:  # noqa: ANN401 - a value of any column
    """Write an instant as JSON does."""
    return value.isoformat() if isinstance(value, datetime) else value


# ---- Reading -------------------------------------------------------------------------------------

QUEUE = """
SELECT *, due_at < %(at)s::timestamptz AS overdue FROM read.save_queue
WHERE tenant = %(tenant)s AND outcome IS NULL
  AND (%(agent)s::text IS NULL OR agent = %(agent)s)
ORDER BY value_at_risk DESC, score DESC, customer LIMIT %(limit)s
"""
"""What is open, most at stake first."""

PAGE = """
SELECT * FROM read.save_queue
WHERE tenant = %(tenant)s AND key > %(after)s
  AND (%(customer)s::uuid IS NULL OR customer = %(customer)s)
  AND (%(outcome)s::text IS NULL OR outcome = %(outcome)s)
  AND (%(status)s::text IS NULL OR (%(status)s = 'open') = (outcome IS NULL))
ORDER BY key LIMIT %(limit)s
"""

OPEN = """
SELECT alert, customer, assessed_at, watch_until FROM read.save_queue
WHERE tenant = %(tenant)s AND outcome IS NULL ORDER BY alert
"""

ALERTS = f"""
WITH alerts AS (
    SELECT {", ".join(ALERT)} FROM read.save_queue WHERE tenant = %(tenant)s
    UNION ALL
    SELECT p.* FROM read.save_queue, jsonb_to_recordset(past)
        AS p ({", ".join(f"{name} {column.type}" for name, column in ALERT.items())})
    WHERE tenant = %(tenant)s
)
"""
"""All alerts there ever were."""

BY_PLAY = f"""
{ALERTS}
SELECT coalesce(play, 'none') AS play, count(*) AS settled,
       count(*) FILTER (WHERE outcome = 'saved') AS saved,
       count(*) FILTER (WHERE outcome = 'lost') AS lost,
       count(*) FILTER (WHERE outcome = 'false_alarm') AS false_alarms,
       count(*) FILTER (WHERE outcome = 'overturned') AS overturned,
       round(100.0 * count(*) FILTER (WHERE outcome = 'saved')
           / nullif(count(*) FILTER (WHERE outcome IN ('saved', 'lost') AND play <> 'none'), 0),
           1)::float8 AS save_rate_percent
FROM alerts WHERE outcome IS NOT NULL
GROUP BY 1 ORDER BY 1
"""
"""What is done saves, or does not; where nothing is done there is no rate."""

PRECISION = f"""
{ALERTS}
SELECT rule, basis, count(*) AS settled,
       round(100.0 * count(*) FILTER (WHERE outcome = 'lost')
           / nullif(count(*) FILTER (WHERE play IS NULL OR play = 'none'), 0), 1)::float8
           AS lost_of_untreated_percent,
       round(avg(extract(epoch FROM watch_until - assessed_at) / 86400)
           FILTER (WHERE outcome = 'lost'), 1)::float8 AS mean_lead_days
FROM alerts WHERE outcome IN ('saved', 'lost', 'false_alarm')
GROUP BY rule, basis ORDER BY rule, basis
"""
"""Precision can only be told of alerts that nobody acted on: a save hides what would have been."""

DEFECTIONS = f"""
{ALERTS}
SELECT date_trunc('month', proven_at)::date::text AS month, coalesce(segment, '') AS segment,
       count(*) AS lost, sum(value_at_risk)::bigint AS value_lost, currency,
       coalesce(jsonb_object_agg(driver, times) FILTER (WHERE driver IS NOT NULL), '{{}}')
           AS drivers
FROM (
    SELECT q.*, d.driver, count(*) OVER (
        PARTITION BY date_trunc('month', proven_at), segment, currency, d.driver) AS times
    FROM alerts q
    LEFT JOIN LATERAL (SELECT q.answers ->> 'main_reason' AS driver) d ON true
    WHERE outcome = 'lost'
) AS left_us
GROUP BY 1, 2, currency ORDER BY 1, 2, currency
"""
"""Who left, when, why, by segment."""

AT_RISK = """
SELECT coalesce(segment, '') AS segment, currency, count(*) AS open,
       sum(value_at_risk)::bigint AS value_at_risk,
       count(*) FILTER (WHERE agent IS NULL) AS unassigned,
       count(*) FILTER (WHERE due_at < %(at)s::timestamptz) AS overdue
FROM read.save_queue WHERE tenant = %(tenant)s AND outcome IS NULL
GROUP BY 1, 2 ORDER BY 1, 2
"""

REPORT = {
    "defections": DEFECTIONS,
    "save_rate_by_play": BY_PLAY,
    "precision_and_lead_time": PRECISION,
    "value_at_risk": AT_RISK,
}
"""What the report tells, by its name."""
