"""How well are promises kept: what is about to break, who comes next, and what was kept.

Questions to the read model `sla_clocks`. Each is asked with an instant: a clock that is running is
judged as of then, one that has ended by the times of its events alone.
"""

from projections.sla_clocks import EACH, VERDICT

EVERY_CLOCK = f"""
SELECT s.tenant, s.key AS case_id, s.customer, s.status, s.priority, s.category, s.channel,
       s.agent, s.team, s.tier, s.waiting_for, s.agreement, s.agreement_version, s.opened_at,
       c.clock, c.instance, c.state, c.target, c.used, c.deadline, c.breached_at, c.activated_at,
       c.ended_at, {VERDICT} AS verdict
FROM read.sla_clocks s CROSS JOIN LATERAL {EACH}
WHERE s.tenant = %(tenant)s
"""

WALL = f"""
SELECT *, extract(epoch FROM deadline - %(at)s::timestamptz)::float8 AS seconds_left
FROM ({EVERY_CLOCK} AND s.status NOT IN ('resolved', 'closed')) AS clocks
WHERE state IN ('running', 'paused') AND verdict <> 'no target'
  AND (%(verdict)s::text IS NULL OR verdict = %(verdict)s)
  AND (%(team)s::text IS NULL OR team = %(team)s)
ORDER BY (verdict = 'paused'), deadline, case_id, clock, instance LIMIT %(limit)s
"""
"""Running clocks by time to breach (those that are over it first), then the paused ones."""

# A customer that was merged is served as the one that stands for it.
QUEUE = """
WITH RECURSIVE stands (id, root, tier) AS (
    SELECT v.key, v.key, v.tier FROM read.customer_view v
    WHERE v.tenant = %(tenant)s AND v.merged_into IS NULL
    UNION ALL
    SELECT v.key, stands.root, stands.tier FROM read.customer_view v
    JOIN stands ON v.merged_into = stands.id WHERE v.tenant = %(tenant)s
), waiting AS (
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
SELECT place, case_id, customer, tier, priority, category, team, breach_due, opened_at,
       concat_ws('; ',
           CASE WHEN tier_rank <= cardinality(%(tiers)s::text[])
                THEN 'tier ' || tier || ' is served ' || tier_rank || '.'
                ELSE 'no tier that goes first' END,
           CASE WHEN breach_due IS NULL THEN 'no target is running'
                WHEN breach_due < %(at)s::timestamptz THEN 'late since ' || breach_due
                ELSE 'due by ' || breach_due END,
           'open since ' || opened_at) AS reason
FROM placed
WHERE (%(case_id)s::uuid IS NULL OR case_id = %(case_id)s)
ORDER BY place LIMIT %(limit)s
"""
"""Cases that wait for us: by tier, then time to breach, then age; each with its place and why."""

GROUPS = {
    "agreement": "coalesce(agreement::text, '')",
    "team": "coalesce(team, '')",
    "category": "category",
    "priority": "priority",
    "channel": "channel",
    "clock": "clock",
    "month": "to_char(activated_at AT TIME ZONE 'UTC', 'YYYY-MM')",
}

COMPLIANCE = f"""
SELECT {{group}} AS "group", clock, count(*) AS promises,
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
FROM ({EVERY_CLOCK}) AS clocks
WHERE (%(agreement)s::uuid IS NULL OR agreement = %(agreement)s)
  AND (%(since)s::timestamptz IS NULL OR activated_at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR activated_at < %(until)s)
GROUP BY 1, 2 ORDER BY 1, 2
"""
"""Promises by when they were given. Of those that are decided, what part was kept?"""

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
