"""Commands that keep customers: policy, models, segments, churn alerts, reports."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli_common import FAILED, USAGE, Fault, Json, Limit, Tenant, instant, opened, operator

if TYPE_CHECKING:
    from commands.ports import Verdict
    from consumers.retention import Sweep

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
        found = assess(sweep)
    show(
        [
            {
                "customer": each.customer,
                "at risk": each.value_at_risk,
                "score": each.assessment.score,
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
    from infra.retention import rows
    from projections.save_queue import QUEUE

    with sweeping(tenant, None) as sweep:
        asked = {"at": sweep.recorded_at, "agent": agent, "limit": limit}
        found = rows(sweep.runtime.pool, QUEUE, sweep.who.tenant, **asked)
    shown = [
        {
            "alert": row["alert"],
            "customer": row["customer"],
            "at risk": row["value_at_risk"],
            "score": row["score"],
            "due": row["due_at"],
            "agent": row["agent"],
            "play": row["play"],
            "reasons": because(row["reasons"]),
        }
        for row in found
    ]
    show(found if as_json else shown, as_json=as_json, empty="No alert is open.")


@retention.command("report")
def report(tenant: Tenant = None, as_json: Json = False) -> None:
    """Tell who left and why, what was saved, how right the alerts were, what is at risk."""
    from api.output import print_json, print_line
    from infra.retention import rows
    from projections import save_queue

    queries = {
        "Defections": save_queue.DEFECTIONS,
        "Save rate by play": save_queue.BY_PLAY,
        "Precision and lead time": save_queue.PRECISION,
        "Value at risk": save_queue.AT_RISK,
    }
    with sweeping(tenant, None) as sweep:
        found = {
            title: rows(sweep.runtime.pool, query, sweep.who.tenant, at=sweep.recorded_at)
            for title, query in queries.items()
        }
    if as_json:
        print_json(found)
        return
    for title, lines in found.items():
        print_line(title)
        show(lines, as_json=False, empty="Nothing yet.")


def because(reasons: Sequence[dict[str, Any]]) -> str:
    """Tell reasons with their points, in one line."""
    return ", ".join(f"{reason['code']} {reason['points']:+}" for reason in reasons)


def told(verdicts: "Sequence[Verdict]") -> None:
    """Count the verdicts; fail with the first refusal that is not how alerts are meant to work."""
    from collections import Counter

    from api.output import print_line

    counted = Counter(f"{v.status} {v.code}".strip() for v in verdicts)
    for name, count in sorted(counted.items()):
        print_line(f"{count} {name}")
    refused = [v for v in verdicts if v.status in ("rejected", "conflict")]
    normal = ("churn_alert.open", "churn_alert.suppressed", "churn_alert.cooling_down")
    for verdict in refused:
        if verdict.code not in normal:
            raise Fault(FAILED, f"{verdict.sentence} ({verdict.code})")


def show(rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    """Print rows as JSON or as a table."""
    from api.output import print_json, print_table

    if as_json:
        print_json(rows)
    else:
        columns = tuple(rows[0]) if rows else ()
        print_table(columns, [tuple(row.values()) for row in rows], empty)
