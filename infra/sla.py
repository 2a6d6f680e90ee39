"""Answers questions about service levels: the wall, the queue, compliance, reviews."""

from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg.rows import dict_row

from domain.agreement import Promise
from domain.terms import ClockRule, Terms
from infra.database import Pool
from projections import agreements, sla_credits, sla_service
from projections.projection import Row
from projections.sla_review import review, what_if

TIERS = ("platinum", "gold", "silver", "bronze")
"""Who goes first, unless the asker says otherwise."""


class SlaReader:
    """Asks the read models; every method is about one tenant and judges as of `at`, or now."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def wall(
        self,
        tenant: str,
        *,
        at: datetime | None = None,
        verdict: str | None = None,
        team: str | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Give the clocks of open cases: running ones by time to breach, then the paused."""
        filters = {"verdict": verdict, "team": team, "limit": limit}
        return self._rows(sla_service.WALL, tenant=tenant, at=at or datetime.now(UTC), **filters)

    def queue(
        self,
        tenant: str,
        *,
        at: datetime | None = None,
        tiers: tuple[str, ...] = TIERS,
        team: str | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Give the cases that wait for us in the order in which to take them, with the reasons."""
        return self._rows(
            sla_service.QUEUE, tenant=tenant, at=at or datetime.now(UTC), tiers=list(tiers),
            team=team, case_id=None, limit=limit,
        )  # fmt: skip

    def place(
        self,
        tenant: str,
        case: str,
        *,
        at: datetime | None = None,
        tiers: tuple[str, ...] = TIERS,
    ) -> Row | None:
        """Give the place of one case in the queue; None when it does not wait."""
        found = self._rows(
            sla_service.QUEUE, tenant=tenant, at=at or datetime.now(UTC), tiers=list(tiers),
            team=None, case_id=case, limit=1,
        )  # fmt: skip
        return found[0] if found else None

    def compliance(
        self,
        tenant: str,
        *,
        group_by: str = "clock",
        at: datetime | None = None,
        agreement: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Row]:
        """Count what was promised and what was kept."""
        period = {"agreement": agreement, "since": since, "until": until}
        query = sla_service.compliance(group_by)
        return self._rows(query, tenant=tenant, at=at or datetime.now(UTC), **period)

    def what_if(
        self,
        tenant: str,
        terms: Terms,
        *,
        at: datetime | None = None,
        agreement: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> dict[str, dict[str, int]]:
        """Count what past cases would have come to under other terms; nothing is changed."""
        period = {"agreement": agreement, "since": since, "until": until}
        rows = self._rows(sla_service.FACTS, tenant=tenant, **period)
        return what_if((row["facts"] for row in rows), terms, at or datetime.now(UTC))

    def review(
        self, tenant: str, agreement: str, at: datetime | None = None
    ) -> dict[str, Any] | None:
        """Put together what was promised, what was kept, what it cost, and what if."""
        now = at or datetime.now(UTC)
        found = self._rows(agreements.ONE, tenant=tenant, key=agreement)
        if not found:
            return None
        promise = Promise.model_validate(found[0]["versions"][-1]["promise"])
        alternatives = {
            f"targets times {factor}": self.what_if(
                tenant, scaled(promise.terms, factor), at=now, agreement=agreement
            )
            for factor in (0.5, 1.0, 2.0)
        }
        kept = self.compliance(tenant, at=now, agreement=agreement)
        cost = self._rows(sla_credits.TOTALS, tenant=tenant, agreement=agreement)
        return review(found[0], kept, cost, alternatives, now)

    def _rows(self, query: str, **arguments: object) -> list[Row]:
        with self._pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, arguments).fetchall()


def scaled(terms: Terms, factor: float) -> Terms:
    """Give the same terms with longer or shorter targets."""

    def rule(clock: ClockRule) -> ClockRule:
        targets: dict[Any, timedelta] = {p: t * factor for p, t in clock.targets.items()}
        return clock.model_copy(update={"targets": targets})

    return terms.model_copy(update={"clocks": tuple(map(rule, terms.clocks))})
