"""Which credits has an agreement earned a customer, and which were taken back?"""

from typing import Any

from domain.catalogue import RETENTION, names
from domain.credit import CreditEarned, CreditReversed
from domain.events import Recorded
from projections.projection import Column, Projection, Row, by_stream

sla_credits = Projection(
    name="sla_credits",
    version=1,
    question="Which credits has an agreement earned a customer, and which were taken back?",
    key=by_stream,
    columns={
        "customer": Column("uuid"),
        "agreement": Column("uuid"),
        "period": Column("text"),
        "currency": Column("text"),
        "owed": Column("bigint", 0),
        "reversed": Column("bigint", 0),
        "entries": Column("jsonb", []),
    },
    indexes=("tenant, agreement, period", "tenant, customer"),
    ignores=names("customer.", "lead.", "case.", "interaction.", "agreement.", *RETENTION),
)


@sla_credits.on(CreditEarned)
def earned(row: Row, event: CreditEarned, recorded: Recorded[Any]) -> Row:
    return entered(row, event, recorded) | {
        "customer": event.customer,
        "agreement": event.agreement,
        "period": event.period,
        "currency": event.amount.currency,
        "owed": row["owed"] + event.amount.amount,
    }


@sla_credits.on(CreditReversed)
def reversed_(row: Row, event: CreditReversed, recorded: Recorded[Any]) -> Row:
    amount = event.amount.amount
    return entered(row, event, recorded) | {
        "owed": row["owed"] - amount,
        "reversed": row["reversed"] + amount,
    }


def entered(row: Row, event: CreditEarned | CreditReversed, recorded: Recorded[Any]) -> Row:
    """Keep what happened to the ledger, in order."""
    entry = {
        "kind": event.name.split(".")[1],
        "at": recorded.time.isoformat(),
        "case": event.case,
        "clock": event.clock,
        "instance": event.instance,
        "amount": event.amount.amount,
        "reason": getattr(event, "reason", ""),
    }
    return row | {"entries": [*row["entries"], entry]}


# ---- Reading -------------------------------------------------------------------------------------

LEDGERS = """
SELECT key, customer, agreement, period, currency, owed, reversed, entries FROM read.sla_credits
WHERE tenant = %(tenant)s AND (%(agreement)s::uuid IS NULL OR agreement = %(agreement)s)
  AND (%(customer)s::uuid IS NULL OR customer = %(customer)s)
  AND (%(period)s::text IS NULL OR period = %(period)s)
ORDER BY period DESC, key LIMIT %(limit)s
"""

OF_BREACH = """
SELECT agreement, customer, period FROM read.sla_credits
WHERE tenant = %(tenant)s AND entries @> %(breach)s::jsonb
"""

TOTALS = """
SELECT period, currency, count(DISTINCT customer) AS customers,
       sum(owed)::bigint AS owed, sum(reversed)::bigint AS reversed
FROM read.sla_credits
WHERE tenant = %(tenant)s AND (%(agreement)s::uuid IS NULL OR agreement = %(agreement)s)
GROUP BY period, currency ORDER BY period, currency
"""
