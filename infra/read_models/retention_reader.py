"""Answers questions about keeping customers: what they are like, how well they are, what is done.

One method per question, all of one tenant, plain values in and out. HTTP and CLI ask the same.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from domain.cohorts import cohorts
from domain.customer_features import Features
from domain.health import Health, health, scorecard_of
from domain.rejected import Rejected
from domain.retention import Models, member_of, models
from infra.database import Pool
from infra.keys.keyring import NOBODY
from infra.read_models.customer_features import current_days, one_as_of
from infra.read_models.retention import Held, fits_of, policy_of, rows
from projections import save_queue
from projections.projection import Row

TREND = timedelta(weeks=4)
"""What the health of today is compared with."""


class Then(NamedTuple):
    """Two instants: what had happened by the one, as it was known at the other."""

    effective_at: datetime
    recorded_at: datetime


class RetentionReader:
    """Asks the log, the feature read model and the save queue."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    def features(self, tenant: str, id_: str, then: Then) -> Row | None:
        """Give the numbers of the customer who stands for this id, and what models make of them."""
        found = one_as_of(self._pool, tenant, id_, *then)
        if found is None:
            return None
        held, by = self._policy_and_models(tenant, then)
        values = {} if held is None else dict(member_of(held.policy, by, found).extra)
        return told(found) | {"values": values}

    def health(self, tenant: str, id_: str, then: Then) -> Row | None:
        """Give how well a customer is, each component's share, and how it was four weeks before."""
        now = one_as_of(self._pool, tenant, id_, *then)
        if now is None:
            return None
        held, by = self._policy_and_models(tenant, then)
        if held is None:
            raise Rejected("retention_policy.unknown", "There is no retention policy yet.")
        found = health_by(held, by, now)
        earlier = then._replace(effective_at=then.effective_at - TREND)
        before = one_as_of(self._pool, tenant, id_, *earlier)
        past = None if before is None else health_by(held, by, before)
        return {
            "customer": now.customer,
            "at": now.at,
            "basis": f"health {held.version}",
            "segment": now.segment,
            "score": found.score if found else None,
            "trend": found.score - past.score if found and past else None,
            "shares": [share._asdict() for share in found.shares] if found else [],
        }

    def queue(self, tenant: str, at: datetime, agent: str | None, limit: int) -> list[Row]:
        """Give the open alerts, most at stake first."""
        asked = {"at": at, "agent": agent, "limit": limit}
        return [shown(row) for row in rows(self._pool, save_queue.QUEUE, tenant, **asked)]

    def alerts(self, tenant: str, after: str, limit: int, **filters: str | None) -> list[Row]:
        """Give customers with their newest alert, and those before it."""
        asked = {"after": after or NOBODY, "limit": limit, **filters}
        return [shown(row) for row in rows(self._pool, save_queue.PAGE, tenant, **asked)]

    def policy(self, tenant: str, recorded_at: datetime) -> Row | None:
        """Give the policy that counts, and its version."""
        held = policy_of(self._pool, tenant, recorded_at)
        return held and {"version": held.version, "policy": held.policy.model_dump(mode="json")}

    def models(self, tenant: str, recorded_at: datetime) -> list[Row]:
        """Give all fits, the first one first: data range, parameters, likelihood, diagnostics."""
        return [fit.model_dump() for fit in fits_of(self._pool, tenant, recorded_at)]

    def report(self, tenant: str, at: datetime) -> dict[str, list[Row]]:
        """Tell who left and why, what was saved, how right alerts were, what is at risk, who stays.

        All of it is reckoned from rows when it is asked.
        """
        found = {
            name: rows(self._pool, query, tenant, at=at)
            for name, query in save_queue.REPORT.items()
        }
        kept = cohorts(current_days(self._pool, tenant), at.date())
        return found | {"cohorts": [each._asdict() for each in kept]}

    def _policy_and_models(self, tenant: str, then: Then) -> tuple[Held | None, Models]:
        held = policy_of(self._pool, tenant, then.recorded_at)
        if held is None:
            return None, Models()
        fits = fits_of(self._pool, tenant, then.recorded_at)
        of_then = {fit.model: fit for fit in fits if fit.data_until <= then.effective_at}
        return held, models(held.policy, of_then)


def health_by(held: Held, by: Models, features: Features) -> Health | None:
    """Reckon the health of a customer by the scorecard of its segment."""
    scorecard = scorecard_of(held.policy, features.segment)
    return None if scorecard is None else health(scorecard, member_of(held.policy, by, features))


def told(features: Features) -> Row:
    """Give features as plain values."""
    return features._asdict() | {
        "history": features.history and features.history._asdict(),
        "spend": {name: spend._asdict() for name, spend in features.spend.items()},
        "products": {
            name: {day.isoformat(): dict(paid) for day, paid in days.items()}
            for name, days in features.products.items()
        },
        "withdrawn": sorted(features.withdrawn),
    }


def shown(row: Mapping[str, Any]) -> Row:
    """Show a row to the outside: its key is called `id`."""
    named = {"id": row["key"], **row}
    return {name: value for name, value in named.items() if name not in ("key", "tenant")}
