"""Keeps customers: fits models, groups customers, raises churn alerts and finds their outcomes.

Each function is one sweep over a tenant as of two instants that are given: what had happened by
`effective_at`, as it was known at `recorded_at`. Its command ids are derived from both, so that a
sweep that is repeated changes nothing.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from math import fsum
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

from commands.churn_alerts import RaiseChurnAlert, SettleChurnAlert
from commands.command import Command
from commands.customers import AssignTier
from commands.execute import execute
from commands.ports import Request, Verdict, Who
from commands.retention import AssignSegment, FitValueModel, Purchases, Renewals, Silences, Spending
from domain.contract_retention import counted
from domain.customer_features import Features
from domain.gamma_gamma import usable
from domain.grouping import Move, moves
from domain.purchase_history import History, grouped
from domain.purchase_models import PurchaseModel, named, purchase_model
from domain.rejected import Rejected
from domain.retention import Candidate, Models, candidates, contracts_with, known, models
from domain.retention_policy import RetentionPolicy
from domain.values import Money
from infra.read_models.customer_features import row_as_of, rows_as_of
from infra.read_models.retention import Held, fits_of, open_alerts, policy_of
from infra.runtime import Runtime
from projections.features import by_day, features, standing

REQUESTS = 500
"""How many commands are decided in one transaction."""


class Sweep(NamedTuple):
    """One look at all customers of a tenant."""

    runtime: Runtime
    who: Who
    effective_at: datetime
    recorded_at: datetime

    def customers(self) -> list[Features]:
        """Give the features of all customers as of then."""
        rows = dict(
            rows_as_of(self.runtime.pool, self.who.tenant, self.effective_at, self.recorded_at)
        )
        return [features(id_, row, self.effective_at) for id_, row in standing(rows).items()]

    def policy(self) -> Held:
        """Give the policy as it was known then. Raises `Rejected` when there was none."""
        held = policy_of(self.runtime.pool, self.who.tenant, self.recorded_at)
        if held is None:
            raise Rejected("retention_policy.unknown", "There is no retention policy yet.")
        return held

    def models(self) -> Models:
        """Give the models of then; none of them knows anything of what came later."""
        fits = fits_of(self.runtime.pool, self.who.tenant, self.recorded_at)
        of_then = {fit.model: fit for fit in fits if fit.data_until <= self.effective_at}
        return models(self.policy().policy, of_then)

    def ask(self, commands: Iterable[tuple[str, Command]]) -> list[Verdict]:
        """Have commands decided, each under an id that its name and the instants make."""
        verdicts: list[Verdict] = []
        rest = iter(commands)
        while batch := list(islice(rest, REQUESTS)):
            requests = [Request(command, self.id_of(command.name, n)) for n, command in batch]
            verdicts += execute(requests, self.who, self.runtime.ports)
        return verdicts

    def id_of(self, kind: str, name: str) -> str:
        """Derive an id."""
        at = f"{self.effective_at.isoformat()}/{self.recorded_at.isoformat()}"
        return str(uuid5(NAMESPACE_URL, f"crm:{self.who.tenant}/{kind}/{name}/{at}"))


def fit(sweep: Sweep, data_from: datetime) -> list[Verdict]:
    """Fit the models that the policy asks for to what customers did since an instant."""
    policy, customers = sweep.policy().policy, sweep.customers()
    groups = grouped(each.history for each in customers if each.history is not None)
    alike = [(x, a.recency, a.age, a.customers) for x, rows in groups.items() for a in rows]
    spends = [each.spend[policy.currency] for each in customers if policy.currency in each.spend]
    purchases = Purchases(model=policy.model, histories=tuple(alike))
    data: list[Purchases | Spending | Silences | Renewals] = [
        purchases,
        Spending(model="gamma_gamma", currency=policy.currency, spends=tuple(usable(spends))),
        *silences(sweep, data_from, customers, purchases),
        *renewals(policy, customers),
    ]
    until = sweep.effective_at
    return sweep.ask(
        (each.model, FitValueModel(data_from=data_from, data_until=until, data=each))
        for each in data
    )


def silences(
    sweep: Sweep, data_from: datetime, customers: Sequence[Features], purchases: Purchases
) -> list[Silences]:
    """Look back: what was known after two thirds of the time, and who bought in the last third."""
    try:
        fitted = purchases.fit()
    except Rejected:
        return []  # the same fit, asked for as a command, is refused with its reason
    model = purchase_model(fitted.model, named(fitted))
    watched = (sweep.effective_at - data_from) / 3
    earlier = sweep._replace(effective_at=sweep.effective_at - watched).customers()
    now = {each.customer: each.purchases for each in customers}
    policy = sweep.policy().policy
    seen = [
        (
            then.history.age - then.history.recency,
            then.purchases,
            float(then.spent.get(policy.currency, 0)),
            now[then.customer] == then.purchases,
        )
        for then in earlier
        if then.history is not None and then.customer in now
    ]
    histories = [each.history for each in customers if each.history is not None]
    return [
        Silences(
            model="silence",
            seen=tuple(seen),
            seen_share=silent_share(model, histories, watched / timedelta(weeks=1)),
            asked_share=silent_share(model, histories, float(policy.horizon_weeks)),
        )
    ]


def renewals(policy: RetentionPolicy, customers: Iterable[Features]) -> list[Renewals]:
    """Count who renewed contracts how often, where there are contracts."""
    if policy.contract is None:
        return []
    found = counted(contract for each in customers for contract in contracts_with(policy, each))
    return [Renewals(model="sbg", ended=tuple(found.ended), going_on=tuple(found.going_on))]


def silent_share(model: PurchaseModel, histories: Sequence[History], weeks: float) -> float:
    """Give the share of customers who buy nothing for some weeks, by a purchase model."""
    return fsum(model.p_silent(history, weeks) for history in histories) / len(histories)


def assess(sweep: Sweep) -> list[Candidate]:
    """Tell who may be leaving, most at stake first: changes nothing."""
    held, by = sweep.policy(), sweep.models()
    everybody = known(held.policy, by, sweep.customers())
    return candidates(held.policy, held.version, by, everybody)


def raise_alerts(sweep: Sweep) -> list[Verdict]:
    """Raise an alert for everybody who may be leaving; the rules of alerts have the last word."""
    held, found = sweep.policy(), assess(sweep)
    return sweep.ask(
        (
            each.customer,
            RaiseChurnAlert(
                customer=each.customer,
                alert=sweep.id_of("alert", each.customer),
                rule=each.rule,
                policy_version=held.version,
                assessment=each.assessment,
                value_at_risk=Money(amount=each.value_at_risk, currency=held.policy.currency),
                segment=each.segment,
                assessed_at=sweep.effective_at,
            ),
        )
        for each in found
    )


def settle_alerts(sweep: Sweep) -> list[Verdict]:
    """Find the outcome of every open alert whose customer bought, or was silent to the end."""
    tenant, pool = sweep.who.tenant, sweep.runtime.pool
    settling: list[tuple[str, Command]] = []
    for each in open_alerts(pool, tenant):
        _, row = row_as_of(pool, tenant, each.customer, sweep.effective_at, sweep.recorded_at)
        bought = first_purchase(by_day(row["paid"]) if row else (), each.assessed_at)
        if bought is not None and bought <= each.watch_until:
            proof = {"proof": "purchase", "proven_at": bought}
        elif sweep.effective_at >= each.watch_until:
            proof = {"proof": "silence", "proven_at": each.watch_until}
        else:
            continue
        asked = {"customer": each.customer, "alert": each.alert, **proof}
        settling.append((each.alert, SettleChurnAlert.model_validate(asked)))
    return sweep.ask(settling)


def first_purchase(days: Iterable[date], after: datetime) -> datetime | None:
    """Give the first day with a purchase after the day of an instant."""
    first = min((day for day in days if day > after.date()), default=None)
    return None if first is None else datetime.combine(first, time.min, UTC)


def regroup(sweep: Sweep, *, dry_run: bool) -> dict[str, list[Move]]:
    """Move customers to the tiers and segments that the rules say; a dry run only tells who."""
    held, customers = sweep.policy(), sweep.customers()
    members = [each.member for each in known(held.policy, sweep.models(), customers)]
    moved: dict[str, list[Move]] = {}
    if held.policy.tiers is not None:
        tiers = {each.customer: each.tier for each in customers}
        moved["tiers"] = moves(held.policy.tiers, members, tiers)
    if held.policy.segments is not None:
        segments = {each.customer: each.segment for each in customers}
        moved["segments"] = moves(held.policy.segments, members, segments)
    if not dry_run:
        refused = [v for v in sweep.ask(asked_by(moved, held.version)) if v.status == "rejected"]
        if refused:
            raise Rejected(refused[0].code, refused[0].sentence)
    return moved


def asked_by(moved: dict[str, list[Move]], version: int) -> Iterable[tuple[str, Command]]:
    """Turn moves into commands: what a customer notices is a command of its own."""
    for move in moved.get("tiers", ()):
        yield move.customer, AssignTier(customer=move.customer, tier=move.after)
    for move in moved.get("segments", ()):
        yield (
            move.customer,
            AssignSegment(customer=move.customer, segment=move.after, policy_version=version),
        )
