"""Commands about agreements: publish, try on past cases, review, retire; and their credits."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

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
    is_id,
    opened,
    operator,
    stream_of,
)

if TYPE_CHECKING:
    from api.agreement_file import AgreementFile
    from commands.command import Command
    from commands.ports import Verdict
    from domain.agreement import Promise
    from infra.runtime import Runtime

SYSTEM = "agreement"
"""The ids that files give agreements are ids of this system."""

agreements = typer.Typer(help="Publish agreements and look at them.", no_args_is_help=True)
credits_ = typer.Typer(help="Look at service credits, and take them back.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]
Referred = Annotated[str, typer.Argument(metavar="AGREEMENT", help="Its id, as in its file.")]
Since = Annotated[str | None, typer.Option("--since", metavar="INSTANT", help="From then on.")]
Until = Annotated[str | None, typer.Option("--until", metavar="INSTANT", help="Before then.")]
At = Annotated[str | None, typer.Option("--at", metavar="INSTANT", help="Judged as of then.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]


@agreements.command("publish")
def publish(file: File, *, tenant: Tenant = None) -> None:
    """Make an agreement, or its next version; safe to run again."""
    from commands.agreements import DefineAgreement, ReviseAgreement
    from commands.command import ByExternalId

    told = read(file)
    named = ByExternalId(system=SYSTEM, id=told.id)
    what: dict[str, Any] = {
        "agreement": named,
        "promise": told.promise,
        "applies_from": told.applies_from,
    }
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        verdict = ask(runtime, tenant, DefineAgreement(**what), but=("agreement.known",))
        if verdict.status == "rejected":
            verdict = ask(runtime, tenant, ReviseAgreement(**what, reason=told.reason))
    kept = [event for event in verdict.events if event.type.startswith("agreement.")]
    since = f"{told.applies_from:%Y-%m-%d %H:%M:%S} UTC"
    for event in kept:
        typer.echo(f"{told.id}: version {event.version} applies to cases opened from {since} on.")
    if not kept:
        typer.echo(f"{told.id}: unchanged.")


@agreements.command("dry-run")
def dry_run(
    file: File,
    *,
    agreement: Annotated[
        str | None, typer.Option("--agreement", help="Only cases that are under this one.")
    ] = None,
    since: Since = None,
    until: Until = None,
    at: At = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Let past cases run by the terms of a file, and count what would have been."""
    from api.output import print_json
    from infra.read_models.sla import SlaReader

    told = read(file)
    period: dict[str, Any] = {"since": instant(since), "until": instant(until), "at": instant(at)}
    with opened() as runtime:
        tenant, sla = tenant or runtime.settings.tenant, SlaReader(runtime.pool)
        of = agreement and stream_of_agreement(tenant, agreement)
        found = sla.what_if(tenant, told.promise.terms, agreement=of, **period)
        now = sla.compliance(tenant, agreement=of, **period)
    if as_json:
        print_json({"now": now, "would_be": found})
    else:
        print_dry_run(now, found)


def print_dry_run(now: Sequence[dict[str, Any]], found: dict[str, dict[str, int]]) -> None:
    """Print what is and what would be below one another, clock by clock."""
    from api.output import print_table

    names = ("met", "breached", "forgotten", "open", "cancelled")
    rows: list[tuple[str, list[object]]] = [
        (each["clock"], ["is", *(each[name] for name in names), each["without_target"]])
        for each in now
    ]
    rows += [
        (clock, ["would be", *(counts[name] for name in names), counts["no target"]])
        for clock, counts in found.items()
    ]
    rows.sort(key=lambda row: row[0])
    head = ("clock", "", *names, "no target")
    print_table(head, [(clock, *cells) for clock, cells in rows], "There are no cases.")


@agreements.command("list")
def list_(tenant: Tenant = None, as_json: Json = False) -> None:
    """List the agreements, in the order in which they are tried on a case."""
    from api.output import print_json, print_table
    from infra.read_models.sla import SlaReader

    with opened() as runtime:
        found = SlaReader(runtime.pool).agreements(tenant or runtime.settings.tenant)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            each["rank"],
            each["title"],
            len(each["versions"]),
            each["versions"][-1]["applies_from"],
            each["retired_from"],
            each["review_due"],
            each["id"],
        )
        for each in found
    ]
    head = ("rank", "title", "versions", "newest from (UTC)", "retired", "review due", "id")
    print_table(head, rows, "There are none; `crm agreements publish FILE` makes one.")


@agreements.command("show")
def show(agreement: Referred, *, tenant: Tenant = None, as_json: Json = False) -> None:
    """Show what an agreement says, version by version."""
    from api.output import print_fields, print_json, print_line, print_table
    from domain.agreement import Promise
    from infra.read_models.sla import SlaReader

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_ = stream_of_agreement(tenant, agreement)
        found = SlaReader(runtime.pool).agreement(tenant, id_)
    if found is None:
        raise Fault(NOT_FOUND, f"There is no agreement {agreement} of tenant {tenant}.")
    if as_json:
        print_json(found)
        return
    names = ("title", "id", "rank", "retired_from", "reviewed_at", "review_outcome", "review_due")
    print_fields((name.replace("_", " "), found[name]) for name in names)
    for version in found["versions"]:
        promise = Promise.model_validate(version["promise"])
        print_line("")
        print_line(
            f"Version {version['number']}, from {version['applies_from'][:19].replace('T', ' ')}"
            f" UTC: {version['reason']}"
        )
        print_fields(wording(promise))
        print_line("")
        print_table(("clock", "priority", "target", "warned at"), targets(promise), "")


def wording(promise: "Promise") -> list[tuple[str, object]]:
    """Tell in fields what a version says besides its targets."""
    from domain.calendar import WEEKDAYS
    from projections.sla_review import span

    terms, limit = promise.terms, promise.terms.forgotten_after
    conditions = promise.scope.conditions().items()
    scope = [f"{trait} {', '.join(values)}" for trait, values in conditions]
    hours: dict[tuple[str, ...], list[str]] = {}
    for day in WEEKDAYS:
        if terms.calendar.week.get(day):
            hours.setdefault(terms.calendar.week[day], []).append(day)
    week = [f"{', '.join(windows)} on {', '.join(days)}" for windows, days in hours.items()]
    return [
        ("objective", promise.objective),
        ("services", list(promise.services)),
        ("parties", [f"{party.name} ({party.role})" for party in promise.parties]),
        ("for", scope or ["everything"]),
        ("hours", [*week, f"{terms.calendar.zone}, {len(terms.calendar.holidays)} holidays"]),
        ("forgotten", f"after {span(limit.total_seconds())} of a pause" if limit else None),
    ]


def targets(promise: "Promise") -> list[tuple[str, ...]]:
    """Tell the targets of a version, one a line; warnings only where they are new."""
    from domain.values import Priority
    from projections.sla_review import span

    told: list[tuple[str, ...]] = []
    for rule in promise.terms.clocks:
        warnings = ", ".join(
            f"{w.percent} %" if w.after is None else span(w.after.total_seconds())
            for w in rule.warnings
        )
        told += [
            (rule.clock, priority, span(rule.targets[priority].total_seconds()), warnings)
            for priority in get_args(Priority)
            if priority in rule.targets
        ]
    return told


@agreements.command("review")
def review(
    agreement: Referred,
    *,
    outcome: Annotated[
        str | None, typer.Option("--outcome", help="Note that it was reviewed, and with what.")
    ] = None,
    since: Since = None,
    at: At = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Say, in Markdown, what was promised, kept and paid, and what would have been.

    It is about the promises given since the last review, or since --since.
    """
    from api.output import print_json
    from commands.agreements import ReviewAgreement
    from infra.read_models.sla import SlaReader
    from projections.sla_review import as_markdown

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_ = stream_of_agreement(tenant, agreement)
        report = SlaReader(runtime.pool).review(tenant, id_, instant(at), instant(since))
        if report is None:
            raise Fault(NOT_FOUND, f"There is no agreement {agreement} of tenant {tenant}.")
        if outcome is not None:
            ask(runtime, tenant, checked(ReviewAgreement, agreement=id_, outcome=outcome))
    if as_json:
        print_json(report)
    else:
        typer.echo(as_markdown(report), nl=False)


@agreements.command("retire")
def retire(
    agreement: Referred,
    *,
    reason: Reason,
    since: Annotated[str, typer.Option("--from", metavar="INSTANT", help="From when on.")],
    tenant: Tenant = None,
) -> None:
    """Put no new cases under an agreement; those that have it keep it."""
    from commands.agreements import RetireAgreement

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_, begins = stream_of_agreement(tenant, agreement), instant(since)
        wanted = checked(RetireAgreement, agreement=id_, applies_from=begins, reason=reason)
        ask(runtime, tenant, wanted)
    typer.echo(f"{agreement}: not for cases opened from {begins:%Y-%m-%d %H:%M:%S} UTC on.")


# ---- Credits -------------------------------------------------------------------------------------


@credits_.command("list")
def credits_list(
    *,
    agreement: Annotated[str | None, typer.Option("--agreement")] = None,
    customer: Annotated[str | None, typer.Option("--customer")] = None,
    period: Annotated[str | None, typer.Option("--period", metavar="2026-01")] = None,
    limit: Limit = 100,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """List what breaches have earned, entry by entry."""
    from api.output import print_json, print_table
    from domain.money import money
    from infra.read_models.sla import SlaReader

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        of = agreement and stream_of_agreement(tenant, agreement)
        whose = customer and customer_id(runtime, tenant, customer)
        sla = SlaReader(runtime.pool)
        found = sla.credits_(tenant, agreement=of, customer=whose, period=period, limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        (
            ledger["period"],
            entry["at"],
            entry["kind"],
            money(entry["amount"], ledger["currency"]),
            entry["clock"],
            entry["instance"],
            entry["case"],
            ledger["customer"],
            entry["reason"],
        )
        for ledger in found
        for entry in ledger["entries"]
    ]
    head = ("period", "at (UTC)", "", "amount", "clock", "no.", "case", "customer", "reason")
    print_table(head, rows, "No credits were earned.")


@credits_.command("reverse")
def credits_reverse(
    case: Annotated[str, typer.Argument(metavar="CASE", help="An id, or system:id.")],
    clock: Annotated[str, typer.Argument(metavar="CLOCK")],
    *,
    reason: Reason,
    instance: Annotated[int, typer.Option("--instance", min=1, help="Which one of it.")] = 1,
    tenant: Tenant = None,
) -> None:
    """Take a credit back that a breach of this clock has earned."""
    from commands.agreements import ReverseCredit
    from infra.read_models.sla import SlaReader

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_ = stream_of(tenant, "case", case)
        ledger = SlaReader(runtime.pool).ledger_of(tenant, id_, clock, instance)
        if ledger is None:
            raise Fault(NOT_FOUND, f"No credit was earned by {clock} {instance} of case {case}.")
        place = {name: ledger[name] for name in ("agreement", "customer", "period")}
        breach = {"case": id_, "clock": clock, "instance": instance}
        verdict = ask(runtime, tenant, checked(ReverseCredit, **place, **breach, reason=reason))
    typer.echo("Taken back." if verdict.events else "It was taken back before.")


# ---- What they share -----------------------------------------------------------------------------


def read(file: Path) -> "AgreementFile":
    """Read an agreement, or say what is wrong with it."""
    from pydantic import ValidationError

    from api.agreement_file import read_agreement
    from commands.cloudevents import in_words

    try:
        return read_agreement(file)
    except ValidationError as error:
        raise Fault(FAILED, f"{file}: {in_words(error)}") from None


def checked(kind: "type[Command]", **fields: Any) -> "Command":  # noqa: ANN401 - the command's
    """Make a command of what was typed, or say what is wrong with it."""
    from pydantic import ValidationError

    from commands.cloudevents import in_words

    try:
        return kind(**fields)
    except ValidationError as error:
        raise Fault(USAGE, in_words(error)) from None


def ask(
    runtime: "Runtime", tenant: str, command: "Command", but: tuple[str, ...] = ()
) -> "Verdict":
    """Ask for a command as the operator; what is refused is a fault, but for some codes."""
    from commands.execute import execute
    from commands.ports import Request, Who

    request = Request(command, runtime.ports.new_id())
    [verdict] = execute([request], Who(tenant, operator(), operates=True), runtime.ports)
    if verdict.status != "accepted" and verdict.code not in but:
        raise Fault(FAILED, f"{verdict.sentence} ({verdict.code})")
    return verdict


def stream_of_agreement(tenant: str, named: str) -> str:
    """Find the id of an agreement by the one in its file, by its own, or by `system:id`."""
    known = named if is_id(named) or ":" in named else f"{SYSTEM}:{named}"
    return stream_of(tenant, "agreement", known)
