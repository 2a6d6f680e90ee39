"""Which customers have been silent for longer than is usual for them?

One row per customer, holding the rhythm of its contacts. Whether that is an alert is asked with an
instant: it never depends on when a job ran.
"""

from typing import Any

from domain.catalogue import AGREED, RETENTION, names
from domain.customer import PurchaseRecorded, SatisfactionRated
from domain.events import Recorded
from domain.interaction import InteractionRecorded
from projections.projection import Column, Projection, Row, by_customer

HANDLED = {PurchaseRecorded.name, SatisfactionRated.name}

churn_alerts = Projection(
    name="churn_alerts",
    version=1,
    question="Which customers have been silent for longer than is usual for them?",
    key=by_customer,
    columns={
        "contacts": Column("bigint", 0),
        "first_contact_at": Column("timestamptz"),
        "last_contact_at": Column("timestamptz"),
        "purchases": Column("bigint", 0),
        "last_score": Column("jsonb"),
    },
    profiles=True,
    ignores=names("customer.", "lead.", "case.", *RETENTION, *AGREED) - HANDLED,
)


@churn_alerts.on(InteractionRecorded)
def interaction_recorded(row: Row, event: InteractionRecorded, recorded: Recorded[Any]) -> Row:
    """Only what comes from the customer breaks the silence."""
    return row if event.direction != "inbound" else contact(row, recorded)


@churn_alerts.on(PurchaseRecorded)
def purchase_recorded(row: Row, _event: PurchaseRecorded, recorded: Recorded[Any]) -> Row:
    return contact(row, recorded) | {"purchases": row["purchases"] + 1}


@churn_alerts.on(SatisfactionRated)
def satisfaction_rated(row: Row, event: SatisfactionRated, recorded: Recorded[Any]) -> Row:
    score = {"scale": event.scale, "score": event.score, "at": recorded.time.isoformat()}
    known = row["last_score"]
    is_newest = known is None or score["at"] >= known["at"]
    return contact(row, recorded) | {"last_score": score if is_newest else known}


def contact(row: Row, recorded: Recorded[Any]) -> Row:
    """Count a sign of life; it may come late."""
    at, first, last = recorded.time, row["first_contact_at"], row["last_contact_at"]
    return row | {
        "contacts": row["contacts"] + 1,
        "first_contact_at": at if first is None else min(first, at),
        "last_contact_at": at if last is None else max(last, at),
    }


# ---- Reading -------------------------------------------------------------------------------------

CONTACTS_MIN = 3
"""Fewer contacts make no rhythm."""

SILENCE_FACTOR = 3.0
"""How many of its own mean gaps a customer may be silent."""

PAGE = """
SELECT *, extract(epoch FROM %(at)s::timestamptz - last_contact_at) / 86400 AS silent_days,
       extract(epoch FROM last_contact_at - first_contact_at) / 86400 / (contacts - 1)
           AS usual_gap_days,
       'silent for ' || round(extract(epoch FROM %(at)s::timestamptz - last_contact_at) / 86400)
           || ' days; usually ' ||
           round(extract(epoch FROM last_contact_at - first_contact_at) / 86400
                 / (contacts - 1), 1) || ' days between contacts' AS reason
FROM read.churn_alerts
WHERE tenant = %(tenant)s AND contacts >= %(contacts_min)s AND key > %(after)s
  AND last_contact_at > first_contact_at
  AND %(at)s::timestamptz - last_contact_at
      > %(factor)s * (last_contact_at - first_contact_at) / (contacts - 1)
ORDER BY key LIMIT %(limit)s
"""
