"""Commands for auditors: sign, verify, export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import (
    FAILED,
    NOT_FOUND,
    USAGE,
    Fault,
    Json,
    Limit,
    NewDirectory,
    Tenant,
    customer_id,
    instant,
    opened,
)
from api.cli.look import Named

if TYPE_CHECKING:
    from infra.audit.replay import Replay
    from infra.audit.stamping import Times
    from infra.audit.verify import Report
    from infra.audit.witness import WoundBack

audit = typer.Typer(help="Prove what happened, and that nothing was altered.", no_args_is_help=True)


@audit.command("checkpoint")
def checkpoint(
    time_stamp: Annotated[
        bool, typer.Option("--time-stamp", help="Have it time-stamped at once: CRM_TSA_URL.")
    ] = False,
) -> None:
    """Sign the log as it is now, show it to the witnesses, and print the newest checkpoint."""
    from infra.audit.tree import EVENTS

    with opened() as runtime:
        runtime.audit.checkpoint()
        if time_stamp and runtime.audit.stamping is None:
            raise Fault(USAGE, "CRM_TSA_URL and CRM_TSA_CERTIFICATES name no authority.")
        if time_stamp:
            runtime.audit.stamp(now=True)
        head = runtime.audit.trees[EVENTS].head()
        key = runtime.audit.signer.key(EVENTS)
    if head is None:
        raise Fault(NOT_FOUND, "The log is empty: there is nothing to sign.")
    typer.echo(head.note, nl=False)
    typer.echo(f"Its signature is checked by {key}", err=True)


@audit.command("verify")
def verify(
    leaves: Annotated[
        bool, typer.Option("--leaves", help="Only the leaf hashes, not the events: faster.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check the whole log against what was signed and witnessed."""
    from api.output import print_json

    with opened(erased=False) as runtime:
        audit = runtime.audit
        reports = {tree: audit.verify(tree, deep=not leaves) for tree in audit.trees}
        back = {tree: audit.file.wound_back(audit.signer.key(tree)) for tree in audit.trees}
    if as_json:
        print_json({
            tree: report._asdict() | {"first_bad": report.first_bad, "wound_back": back[tree]}
            for tree, report in reports.items()
        })  # fmt: skip
    for tree, report in reports.items():
        if not as_json:
            print_report(tree, report)
            print_wound_back(tree, back[tree])
    bad = {tree: report.first_bad for tree, report in reports.items() if report.findings}
    if bad:
        places = [f" The first bad position of {t} is {n}." for t, n in bad.items() if n]
        raise Fault(FAILED, f"The log is not as it was signed.{''.join(places)}")


def print_report(tree: str, report: "Report") -> None:
    """Tell what was checked, and what was found."""
    from api.output import print_line, print_table

    if report.findings:
        rows = [
            (found.position or "–", found.upto or "–", found.sentence) for found in report.findings
        ]
        print_table(("position", "up to", "finding"), rows, "")
    print_line(
        f"{tree}: {report.leaves:,} positions, {report.checkpoints:,} signed checkpoints,"
        f" {report.witnessed:,} of them witnessed: "
        + (f"{len(report.findings)} findings." if report.findings else "as they were signed.")
    )
    if report.stamps:
        print_line(f"{tree}: {told_times(report.stamps, report.times)}")


def told_times(stamps: int, times: "Times") -> str:
    """Tell what time stamps say."""
    if times.at is not None:
        newest = f"{times.size:,} positions were signed by {times.at:%Y-%m-%d %H:%M:%S} UTC"
        return f"{times.checked:,} of {stamps:,} time stamps hold; {newest}."
    return f"{stamps:,} time stamps, not checked: CRM_TSA_CERTIFICATES says whom to believe."


def print_wound_back(tree: str, times: "list[WoundBack]") -> None:
    """Tell when a restored backup has made what was witnessed void."""
    from api.output import print_line

    for back in times:
        print_line(
            f"{tree}: wound back to {back.size:,} by a restored backup; asked by {back.asked_by},"
            f" approved by {back.approved_by}, request {back.request}."
        )


@audit.command("export")
def export(
    customer: Named,
    to: NewDirectory,
    tenant: Tenant = None,
) -> None:
    """Write a customer's history with its proofs, and the script that checks them."""
    from infra.audit.export import export as write
    from infra.audit.same_customer import same_customer

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_ = customer_id(runtime, tenant, customer)
        if not same_customer(runtime, tenant, id_):
            raise Fault(NOT_FOUND, f"There is no customer {id_} of tenant {tenant}.")
        written = write(runtime, tenant, id_, to)
    typer.echo(f"{written.events:,} events in {to}; `python {to}/verify.py {to}` checks them.")
    if written.waiting:
        raise Fault(
            FAILED,
            f"Not in the log yet, and so not in the bundle: {written.waiting:,} of this customer's"
            " events. Let `crm up` or `crm sequencer` run, and export again.",
        )


@audit.command("looks")
def looks(
    customer: Named,
    staff: Annotated[
        bool, typer.Option("--staff", help="Say who looked; the customer need not know.")
    ] = False,
    limit: Limit = 100,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Tell when and why somebody looked at a customer's personal data; the newest first."""
    from api.output import print_json, print_table
    from infra.read_models.reader import Reader

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_ = customer_id(runtime, tenant, customer)
        subjects = Reader(runtime).same_customer(tenant, id_) or [id_]
        found = runtime.keyring.access.looks(tenant, subjects, limit)
    shown = [look if staff else look._replace(who="–") for look in found]
    if as_json:
        print_json(shown)
    else:
        columns = ("position", "at (UTC)", "who", "purpose", "groups", "rows", "fields")
        print_table(columns, shown, "Nobody has looked.", limit)


@audit.command("replay")
def replay(
    customer: Named,
    *,
    known: Annotated[
        str | None, typer.Option("--as-known-at", metavar="INSTANT", help="What was known then.")
    ] = None,
    effective: Annotated[
        str | None,
        typer.Option("--as-effective-at", metavar="INSTANT", help="What had happened by then."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="INSTANT", help="Tell what changed from then to this."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write a page instead.")
    ] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show a customer as it was, by whom and how we knew, and what has changed since."""
    from api.output import print_json
    from infra.audit.replay import Instants
    from infra.audit.replay import replay as as_of

    if known is None and effective is None:
        raise Fault(USAGE, "Name an instant: --as-known-at, --as-effective-at, or both.")
    then, end = Instants(instant(known), instant(effective)), instant(until)
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        found = as_of(runtime, tenant, customer_id(runtime, tenant, customer), then, end)
    if found.customer is None and not found.differences:
        raise Fault(NOT_FOUND, f"Nothing was known of customer {customer} then.")
    if as_json:
        print_json(found)
    else:
        show_replay(f"{customer} as of {known or effective}", found, html)


def show_replay(title: str, found: "Replay", html: Path | None) -> None:
    """Print the state, its events and what changed; or write them as a page."""
    from api.output import print_line, print_table
    from infra.audit.replay import page, sections

    if html is not None:
        html.write_text(page(title, sections(found)), "utf-8")
        return
    for heading, heads, rows in sections(found):
        print_line(heading, style="bold")
        print_table(heads, rows, "Nothing.")
        print_line("")
