"""Answers questions about service levels: the wall, the queue, compliance, reviews."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
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

    def agreements(self, tenant: str) -> list[Row]:
        """Give all agreements, in the order in which they are tried on a case."""
        return [named(row) for row in self._rows(agreements.ALL, tenant=tenant)]

    def agreement(self, tenant: str, id_: str) -> Row | None:
        """Give one agreement with all its versions."""
        found = self._rows(agreements.ONE, tenant=tenant, key=id_)
        return named(found[0]) if found else None

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
        now, filters = at or datetime.now(UTC), {"verdict": verdict, "team": team, "limit": limit}
        rows = self._rows(sla_service.WALL, tenant=tenant, at=now, **filters)
        return [sla_service.with_time_used(row, now) for row in rows]

    def queue(
        self,
        tenant: str,
        *,
        at: datetime | None = None,
        tiers: Sequence[str] = TIERS,
        team: str | None = None,
        case: str | None = None,
        customers: Sequence[str] | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Give the cases that wait for us in the order in which to take them, with the reasons."""
        return self._rows(
            sla_service.QUEUE, tenant=tenant, at=at or datetime.now(UTC), tiers=list(tiers),
            team=team, case_id=case, customers=customers and list(customers), limit=limit,
        )  # fmt: skip

    def place(self, tenant: str, case: str, **asked: Any) -> Row | None:  # noqa: ANN401 - as above
        """Give the place of one case in the queue; None when it does not wait."""
        return next(iter(self.queue(tenant, case=case, limit=1, **asked)), None)

    def caller(
        self,
        tenant: str,
        customer: Row | None,
        *,
        at: datetime | None = None,
        tiers: Sequence[str] = TIERS,
    ) -> dict[str, Any]:
        """Say at once where somebody who calls stands: with a case of theirs, or as a newcomer."""
        tier = customer["tier"] if customer else None
        ids = [customer["id"], *customer["merged"]] if customer else []
        cases = self.queue(tenant, at=at, tiers=tiers, customers=ids) if ids else []
        [counted] = self._rows(
            sla_service.AHEAD, tenant=tenant, tiers=list(tiers), tier=tier, team=None
        )
        return {
            "customer": customer["id"] if customer else None,
            "tier": tier,
            "place": cases[0]["place"] if cases else counted["ahead"] + 1,
            "waiting": counted["waiting"],
            "reason": cases[0]["reason"] if cases else "a new case: behind those of the same tier",
            "cases": cases,
        }

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
        with (
            self._pool.connection() as conn,
            conn.transaction(),
            conn.cursor("histories") as cursor,
        ):
            cursor.execute(sla_service.FACTS, {"tenant": tenant, **period})
            return what_if((facts for (facts,) in cursor), terms, at or datetime.now(UTC))

    def review(
        self,
        tenant: str,
        agreement: str,
        at: datetime | None = None,
        since: datetime | None = None,
    ) -> dict[str, Any] | None:
        """Put together what was promised, what was kept, what it cost, and what if.

        It is about the promises given from `since` on: from the last review on, if there was one.
        """
        now = at or datetime.now(UTC)
        found = self._rows(agreements.ONE, tenant=tenant, key=agreement)
        if not found:
            return None
        promise = Promise.model_validate(found[0]["versions"][-1]["promise"])
        last = found[0]["reviewed_at"]
        about: dict[str, Any] = {
            "at": now,
            "agreement": agreement,
            "since": since or (last if last and last < now else None),
        }
        alternatives = {
            f"targets times {factor}": self.what_if(tenant, scaled(promise.terms, factor), **about)
            for factor in (0.5, 1.0, 2.0)
        }
        kept = self.compliance(tenant, **about)
        cost = self._rows(sla_credits.TOTALS, tenant=tenant, agreement=agreement)
        return review(found[0], kept, cost, alternatives, now, since=about["since"])

    def credits_(
        self,
        tenant: str,
        *,
        agreement: str | None = None,
        customer: str | None = None,
        period: str | None = None,
        limit: int = 100,
    ) -> list[Row]:
        """Give what agreements owe customers, period by period, with every entry."""
        asked = {"agreement": agreement, "customer": customer, "period": period, "limit": limit}
        return [named(row) for row in self._rows(sla_credits.LEDGERS, tenant=tenant, **asked)]

    def ledger_of(self, tenant: str, case: str, clock: str, instance: int) -> Row | None:
        """Find where a breach has earned its credit, if it has."""
        breach = orjson.dumps([{"case": case, "clock": clock, "instance": instance}]).decode()
        return next(iter(self._rows(sla_credits.OF_BREACH, tenant=tenant, breach=breach)), None)

    def _rows(self, query: str, **arguments: object) -> list[Row]:
        with self._pool.connection() as conn, conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, arguments).fetchall()


def named(row: Row) -> Row:
    """Show a row to the outside: its key is called `id`."""
    return {"id": row.pop("key")} | {name: v for name, v in row.items() if name != "tenant"}


def scaled(terms: Terms, factor: float) -> Terms:
    """Give the same terms with longer or shorter targets."""

    def rule(clock: ClockRule) -> ClockRule:
        targets: dict[Any, timedelta] = {p: t * factor for p, t in clock.targets.items()}
        return clock.model_copy(update={"targets": targets})

    clocks = tuple(map(rule, terms.clocks))
    return Terms(calendar=terms.calendar, clocks=clocks, forgotten_after=terms.forgotten_after)
