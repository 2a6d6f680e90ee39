"""How well are promises kept: what is about to break, who comes next, and what was kept.

Questions to the read model `sla_clocks`. Each is asked with an instant: a clock that is running is
judged as of then, one that has ended by the times of its events alone.
"""

from datetime import datetime

from domain.clocks import judged
from projections.projection import Row
from projections.sla_clocks import EACH, VERDICT, service

EVERY_CLOCK = f"""
SELECT s.key AS case_id, s.customer, s.status, s.priority, s.category, s.channel,
       s.agent, s.team, s.waiting_for, s.agreement, s.agreement_version, s.opened_at,
       c.clock, c.instance, c.state, c.target, c.used, c.deadline, c.breached_at, c.activated_at,
       c.ended_at, {VERDICT} AS verdict{{more}}
FROM read.sla_clocks s CROSS JOIN LATERAL {EACH}
WHERE s.tenant = %(tenant)s
"""

# A customer that was merged is served as the one that stands for it.
STANDS = """
up (id, tier, merged_into) AS (
    SELECT v.key, v.tier, v.merged_into FROM read.customer_view v
    WHERE v.tenant = %(tenant)s AND v.key IN (
        SELECT customer FROM read.sla_clocks
        WHERE tenant = %(tenant)s AND status IN ('open', 'waiting'))
    UNION ALL
    SELECT up.id, v.tier, v.merged_into FROM up
    JOIN read.customer_view v ON v.tenant = %(tenant)s AND v.key = up.merged_into
), stands AS (
    SELECT id, tier FROM up WHERE merged_into IS NULL
)
"""

WALL = f"""
WITH RECURSIVE {STANDS}
SELECT clocks.*, coalesce(stands.tier, case_tier) AS tier,
       extract(epoch FROM deadline - %(at)s::timestamptz)::float8 AS seconds_left
FROM ({EVERY_CLOCK.format(more=", s.tier AS case_tier, s.facts")}
      AND s.status NOT IN ('resolved', 'closed')) AS clocks
LEFT JOIN stands ON stands.id = clocks.customer
WHERE state IN ('running', 'paused') AND verdict <> 'no target'
  AND (%(verdict)s::text IS NULL OR verdict = %(verdict)s)
  AND (%(team)s::text IS NULL OR team = %(team)s)
ORDER BY (verdict = 'paused'), deadline, case_id, clock, instance LIMIT %(limit)s
"""
"""Running clocks by time to breach (those that are over it first), then the paused ones."""


def with_time_used(row: Row, at: datetime) -> Row:
    """Give a row of the wall with the working time used by then, as the case's calendar says."""
    shown = {name: value for name, value in row.items() if name not in ("facts", "case_tier")}
    served, name = service(row["facts"]), (row["clock"], row["instance"])
    clock = next(clock for clock in served.clocks if (clock.name, clock.instance) == name)
    return shown | {"used": judged(served, clock, at).used.total_seconds()}


PLACED = f"""
WITH RECURSIVE {STANDS}, waiting AS (
    SELECT s.key AS case_id, s.customer, s.priority, s.category, s.team, s.breach_due, s.opened_at,
           coalesce(stands.tier, s.tier) AS tier
    FROM read.sla_clocks s LEFT JOIN stands ON stands.id = s.customer
    WHERE s.tenant = %(tenant)s AND s.status = 'open'
      AND (%(team)s::text IS NULL OR s.team = %(team)s)
), ranked AS (
    SELECT *, coalesce(array_position(%(tiers)s::text[], tier), cardinality(%(tiers)s::text[]) + 1)
               AS tier_rank
    FROM waiting
), placed AS (
    SELECT *, row_number() OVER (
        ORDER BY tier_rank, breach_due NULLS LAST, opened_at, case_id) AS place
    FROM ranked
)
"""

INSTANT = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"

QUEUE = f"""{PLACED}
SELECT place, case_id, customer, tier, priority, category, team, breach_due, opened_at,
       concat_ws('; ',
           CASE WHEN tier_rank <= cardinality(%(tiers)s::text[])
                THEN 'tier ' || tier || ' has rank ' || tier_rank
                ELSE 'no tier that goes first' END,
           CASE WHEN breach_due IS NULL THEN 'no target is running'
                WHEN breach_due < %(at)s::timestamptz
                THEN 'late since ' || {INSTANT.format("breach_due")}
                ELSE 'due by ' || {INSTANT.format("breach_due")} END,
           'open since ' || {INSTANT.format("opened_at")}) AS reason
FROM placed
WHERE (%(case_id)s::uuid IS NULL OR case_id = %(case_id)s)
  AND (%(customers)s::uuid[] IS NULL OR customer = ANY(%(customers)s::uuid[]))
ORDER BY place LIMIT %(limit)s
"""
"""Cases that wait for us: by tier, then time to breach, then age; each with its place and why."""

AHEAD = f"""{PLACED}
SELECT count(*) AS waiting, count(*) FILTER (
    WHERE tier_rank <= coalesce(array_position(%(tiers)s::text[], %(tier)s::text),
                                cardinality(%(tiers)s::text[]) + 1)) AS ahead
FROM placed
"""
"""How many cases wait, and how many of them would be served before a newcomer of a tier."""

GROUPS = {
    "agreement": "coalesce(agreement::text, '')",
    "team": "coalesce(team, '')",
    "category": "category",
    "priority": "priority",
    "channel": "channel",
    "clock": "clock",
    "month": "to_char(activated_at AT TIME ZONE 'UTC', 'YYYY-MM')",
    "quarter": "to_char(activated_at AT TIME ZONE 'UTC', 'YYYY-\"Q\"Q')",
}

COMPLIANCE = f"""
WITH promised AS (
    SELECT {{group}} AS "group", clocks.*
    FROM ({EVERY_CLOCK.format(more="")}) AS clocks
    WHERE (%(agreement)s::uuid IS NULL OR agreement = %(agreement)s)
      AND (%(since)s::timestamptz IS NULL OR activated_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR activated_at < %(until)s)
), credited AS (
    SELECT "group", clock, jsonb_object_agg(currency, amount) AS credits FROM (
        SELECT p."group", p.clock, l.currency,
               sum(CASE e.kind WHEN 'earned' THEN e.amount ELSE -e.amount END) AS amount
        FROM read.sla_credits l
        CROSS JOIN LATERAL jsonb_to_recordset(l.entries) AS e (
            kind text, "case" uuid, clock text, instance int, amount bigint)
        JOIN promised p ON p.case_id = e."case" AND p.clock = e.clock AND p.instance = e.instance
        WHERE l.tenant = %(tenant)s GROUP BY 1, 2, 3
    ) AS summed GROUP BY 1, 2
), counted AS (
    SELECT "group", clock, count(*) AS promises,
           count(*) FILTER (WHERE verdict = 'met') AS met,
           count(*) FILTER (WHERE verdict = 'breached') AS breached,
           count(*) FILTER (WHERE verdict = 'forgotten') AS forgotten,
           count(*) FILTER (WHERE verdict IN ('running', 'paused')) AS open,
           count(*) FILTER (WHERE verdict = 'cancelled') AS cancelled,
           count(*) FILTER (WHERE verdict = 'no target') AS without_target,
           round(100.0 * count(*) FILTER (WHERE verdict = 'met') / nullif(count(*) FILTER (
               WHERE verdict IN ('met', 'breached', 'forgotten')), 0), 2)::float8 AS kept_percent,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY used)
               FILTER (WHERE state = 'fulfilled') AS median_seconds,
           percentile_cont(0.9) WITHIN GROUP (ORDER BY used)
               FILTER (WHERE state = 'fulfilled') AS p90_seconds
    FROM promised GROUP BY 1, 2
)
SELECT counted.*, coalesce(credited.credits, '{{{{}}}}'::jsonb) AS credits
FROM counted LEFT JOIN credited USING ("group", clock) ORDER BY 1, 2
"""
"""Promises by when they were given. Of those that are decided, what part was kept, at what cost?"""

FACTS = """
SELECT facts FROM read.sla_clocks
WHERE tenant = %(tenant)s
  AND (%(agreement)s::uuid IS NULL OR agreement = %(agreement)s)
  AND (%(since)s::timestamptz IS NULL OR opened_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR opened_at < %(until)s)
ORDER BY key
"""


def compliance(group: str) -> str:
    """Give the query of the compliance by one of `GROUPS`."""
    if group not in GROUPS:
        raise ValueError(f"Compliance can be grouped by {', '.join(GROUPS)}, not by {group}.")
    return COMPLIANCE.format(group=GROUPS[group])
