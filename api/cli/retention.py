"""Commands that keep customers: policy, models, segments, churn alerts, reports."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import (
    FAILED,
    NOT_FOUND,
    USAGE,
    Fault,
    Json,
    Limit,
    Tenant,
    customer_id,
    instant,
    opened,
    operator,
)

if TYPE_CHECKING:
    from commands.ports import Verdict
    from consumers.retention import Sweep
    from infra.read_models.retention_reader import RetentionReader

retention = typer.Typer(help="Keep customers: models, tiers, churn alerts.", no_args_is_help=True)

At = Annotated[
    str | None,
    typer.Option("--at", metavar="INSTANT", help="Only what had happened by then; now by default."),
]


@contextmanager
def sweeping(tenant: str | None, at: str | None) -> Iterator["Sweep"]:
    """Open what a look at all customers of a tenant needs."""
    from commands.ports import Who
    from consumers.retention import Sweep

    now = datetime.now(UTC)
    with opened() as runtime:
        who = Who(tenant or runtime.settings.tenant, operator())
        yield Sweep(runtime, who, instant(at) or now, now)


@retention.command("policy")
def policy(
    file: Annotated[Path, typer.Argument(help="The policy as JSON.")], tenant: Tenant = None
) -> None:
    """Agree on how to keep customers: rules, scorecards, alerts."""
    from pydantic import ValidationError

    from commands.cloudevents import in_words
    from commands.retention import SetRetentionPolicy
    from domain.retention_policy import RetentionPolicy

    try:
        agreed = RetentionPolicy.model_validate_json(file.read_bytes())
    except OSError as error:
        raise Fault(USAGE, f"{file} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise Fault(FAILED, f"{file}: {in_words(error)}") from None
    with sweeping(tenant, None) as sweep:
        told(sweep.ask([("", SetRetentionPolicy(policy=agreed))]))


@retention.command("fit")
def fit_(
    data_from: Annotated[str, typer.Option("--from", metavar="INSTANT", help="Since when.")],
    at: At = None,
    tenant: Tenant = None,
) -> None:
    """Fit the models that the policy asks for to what customers did."""
    from consumers.retention import fit

    with sweeping(tenant, at) as sweep:
        told(fit(sweep, instant(data_from) or sweep.effective_at))


@retention.command("regroup")
def regroup_(
    at: At = None,
    apply: Annotated[bool, typer.Option("--apply", help="Move them; else only tell who.")] = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Tell who would move to another tier or segment, or move them."""
    from consumers.retention import regroup

    with sweeping(tenant, at) as sweep:
        moved = regroup(sweep, dry_run=not apply)
    show(
        [{"of": kind, **move._asdict()} for kind, moves in moved.items() for move in moves],
        as_json=as_json,
        empty="Everybody is where the rules say.",
    )


@retention.command("alerts")
def alerts(
    at: At = None,
    apply: Annotated[bool, typer.Option("--raise", help="Raise them; else only tell.")] = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Tell who may be leaving and why, or raise an alert for each."""
    from consumers.retention import assess, raise_alerts

    with sweeping(tenant, at) as sweep:
        if apply:
            told(raise_alerts(sweep))
            return
        found, currency = assess(sweep), sweep.policy().policy.currency
    show(
        [
            {
                "at risk": each.value_at_risk
                if as_json
                else at_stake(each.value_at_risk, currency),
                "score": each.assessment.score,
                "customer": each.customer,
                "reasons": because(each.assessment.model_dump()["reasons"]),
            }
            for each in found
        ],
        as_json=as_json,
        empty="Nobody seems to be leaving.",
    )


@retention.command("settle")
def settle(at: At = None, tenant: Tenant = None) -> None:
    """Find the outcome of every open alert whose customer bought, or was silent to the end."""
    from consumers.retention import settle_alerts

    with sweeping(tenant, at) as sweep:
        told(settle_alerts(sweep))


@retention.command("queue")
def queue(
    agent: Annotated[str | None, typer.Option("--agent", help="Only those of somebody.")] = None,
    limit: Limit = 50,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """List the open alerts, most at stake first."""
    with asking(tenant) as (reader, its_tenant, now):
        found = reader.queue(its_tenant, now, agent, limit)
    shown = [
        {
            "at risk": at_stake(row["value_at_risk"], row["currency"]),
            "score": row["score"],
            "due": row["due_at"],
            "agent": row["agent"],
            "play": row["play"],
            "customer": row["customer"],
            "alert": row["alert"],
            "reasons": because(row["reasons"]),
        }
        for row in found
    ]
    show(found if as_json else shown, as_json=as_json, empty="No alert is open.")


@retention.command("show")
def show_(
    customer: Annotated[str, typer.Argument(help="Id, e-mail, telephone number or system:id.")],
    at: At = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show the numbers of a customer that rules and models go by, and its health."""
    from api.output import print_fields, print_json
    from infra.read_models.retention_reader import RetentionReader, Then

    with sweeping(tenant, at) as sweep:
        whose, reader = sweep.who.tenant, RetentionReader(sweep.runtime.pool)
        then = Then(sweep.effective_at, sweep.recorded_at)
        id_ = customer_id(sweep.runtime, whose, customer)
        found = reader.features(whose, id_, then)
        agreed = reader.policy(whose, sweep.recorded_at) is not None
        well = reader.health(whose, id_, then) if agreed else None
    if found is None:
        raise Fault(NOT_FOUND, f"No customer {customer} of tenant {whose} was known then.")
    if as_json:
        print_json(found | {"health": well})
    else:
        print_fields(in_lines(found, well or {}))


def in_lines(found: dict[str, Any], well: dict[str, Any]) -> Iterator[tuple[str, object]]:
    """Tell features, values and health one below the other."""
    nested = ("history", "values", "spend")
    plain = {name: value for name, value in found.items() if name not in nested}
    for name, value in {**plain, **(found["history"] or {}), **found["values"]}.items():
        yield name.replace("_", " "), value
    for name in ("score", "trend", "basis", "shares"):
        yield f"health {name}", well.get(name)


@retention.command("models")
def models(tenant: Tenant = None, as_json: Json = False) -> None:
    """List every fit of every model: from which data, how likely, how good."""
    with asking(tenant) as (reader, its_tenant, now):
        found = reader.models(its_tenant, now)
    shown = [
        {
            "model": f"{fit['model']} {fit['version']}",
            "from": fit["data_from"],
            "until": fit["data_until"],
            "customers": fit["customers"],
            "log-likelihood": fit["log_likelihood"],
            "parameters": numbers(fit["parameters"]),
            "diagnostics": numbers(fit["diagnostics"]),
        }
        for fit in found
    ]
    show(found if as_json else shown, as_json=as_json, empty="No model is fitted yet.")


@retention.command("report")
def report(
    at: At = None,
    charts: Annotated[
        Path | None, typer.Option("--charts", help="Also draw SVG charts into this directory.")
    ] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Tell who left and why, what was saved, how right alerts were, what is at risk, who stays."""
    from api.output import print_json
    from api.retention_report import draw_report, print_report

    with asking(tenant) as (reader, its_tenant, now):
        found = reader.report(its_tenant, instant(at) or now)
    if as_json:
        print_json(found)
    else:
        print_report(found)
    if charts is not None:
        for file in draw_report(found, charts):
            typer.echo(f"Drawn: {file}", err=True)


@contextmanager
def asking(tenant: str | None) -> Iterator[tuple["RetentionReader", str, datetime]]:
    """Open what a question needs: whom to ask, whose data, and what time it is."""
    from infra.read_models.retention_reader import RetentionReader

    with opened() as runtime:
        whose = tenant or runtime.settings.tenant
        yield RetentionReader(runtime.pool), whose, datetime.now(UTC)


def at_stake(amount: int, currency: str | None) -> str | None:
    """Tell an amount, if there is one."""
    from domain.money import money

    return None if currency is None else money(amount, currency)


def numbers(named: dict[str, float]) -> str:
    """Tell numbers by their names, to four digits."""
    return ", ".join(f"{name} {value:.4g}" for name, value in named.items())


def because(reasons: Sequence[dict[str, Any]]) -> str:
    """Tell reasons with their points, in one line."""
    return ", ".join(f"{reason['code']} {reason['points']:+}" for reason in reasons)


def told(verdicts: "Sequence[Verdict]") -> None:
    """Count the verdicts; fail with every refusal that is not how alerts are meant to work."""
    from collections import Counter

    from api.output import print_line

    counted = Counter(f"{v.status} {v.code}".strip() for v in verdicts)
    for name, count in sorted(counted.items()):
        print_line(f"{count} {name}")
    normal = ("churn_alert.open", "churn_alert.suppressed", "churn_alert.cooling_down")
    refused = [v for v in verdicts if v.status in ("rejected", "conflict")]
    faults = {f"{v.sentence} ({v.code})": None for v in refused if v.code not in normal}
    if faults:
        raise Fault(FAILED, " ".join(faults))


def show(rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as JSON or as a table."""
    from api.output import print_json, print_table

    if as_json:
        print_json(rows)
    else:
        columns = tuple(rows[0]) if rows else ()
        print_table(columns, [tuple(row.values()) for row in rows], empty)
