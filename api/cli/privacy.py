"""Commands for the data protection officer: erase, hold, and the life of master keys."""

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
    is_id,
    opened,
    operator,
)
from api.cli.look import Named

if TYPE_CHECKING:
    from commands.ports import Who
    from infra.approvals import Asked
    from infra.runtime import Runtime

privacy = typer.Typer(
    help="What persons may ask, how long data is kept, and keys; what destroys needs two people.",
    no_args_is_help=True,
)

RequestId = Annotated[str, typer.Argument(metavar="ID", help="As `requests` shows it.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; it is kept.")]


@privacy.command("erase")
def erase(customer: Named, reason: Reason, tenant: Tenant = None, as_json: Json = False) -> None:
    """Ask that a customer be erased for good; another person must approve it."""
    from infra.privacy.erasure import ask

    with opened() as runtime:
        who = who_of(runtime, tenant)
        asked = ask(runtime, who, customer_id(runtime, who.tenant, customer), reason)
    tell(asked, as_json=as_json)


@privacy.command("requests")
def requests(limit: Limit = 50, tenant: Tenant = None, as_json: Json = False) -> None:
    """List what was asked, word for word, and what became of it; the newest first."""
    from api.output import print_json, print_table
    from infra.approvals import Approvals

    with opened(erased=False) as runtime:
        found = Approvals(runtime.pool).page(tenant or runtime.settings.tenant, limit)
    if as_json:
        print_json([each._asdict() | {"approved": None} for each in found])
        return
    rows = [
        (each.id, each.kind, each.asked_by, each.approved_by, each.done_at, each.what, each.digest)
        for each in found
    ]
    columns = ("id", "kind", "asked by", "approved by", "done (UTC)", "what", "digest")
    print_table(columns, rows, "Nothing was asked.", limit)


@privacy.command("approve")
def approve(
    id_: RequestId,
    digest: Annotated[
        str, typer.Option("--digest", help="Of the words that you have read, from `requests`.")
    ],
    tenant: Tenant = None,
) -> None:
    """Approve what another person has asked, and carry it out."""
    from infra.approvals import Approvals
    from infra.privacy.four_eyes import carry_out, may_go_on

    with opened(erased=False) as runtime:
        who, approvals = who_of(runtime, tenant), Approvals(runtime.pool)
        may_go_on(runtime, approvals.get(who.tenant, valid(id_)))
        approved = approvals.approve(who, valid(id_), digest)
        typer.echo(carry_out(runtime, approved))


@privacy.command("resume")
def resume(id_: RequestId, tenant: Tenant = None) -> None:
    """Carry out again what was approved and then interrupted."""
    from infra.approvals import Approvals
    from infra.privacy.four_eyes import carry_out, may_go_on

    with opened(erased=False) as runtime:
        asked = Approvals(runtime.pool).get(tenant or runtime.settings.tenant, valid(id_))
        if asked is None:
            raise Fault(NOT_FOUND, f"There is no request {id_}.")
        may_go_on(runtime, asked)
        typer.echo(carry_out(runtime, asked))


@privacy.command("certificate")
def certificate(id_: RequestId, tenant: Tenant = None) -> None:
    """Print the signed certificate of an erasure."""
    from infra.privacy.erasure import find

    with opened() as runtime:
        found = find(runtime, tenant or runtime.settings.tenant, valid(id_))
    if found is None or found.certificate is None:
        raise Fault(NOT_FOUND, f"There is no certificate of an erasure {id_}.")
    typer.echo(found.certificate, nl=False)


@privacy.command("hold")
def hold(customer: Named, reason: Reason, tenant: Tenant = None) -> None:
    """Put a customer under a legal hold: nothing of it is destroyed meanwhile."""
    from infra.privacy.holds import put

    with opened() as runtime:
        who = who_of(runtime, tenant)
        held = put(runtime, who, customer_id(runtime, who.tenant, customer), reason)
    typer.echo(f"{', '.join(held)}: under a legal hold.")


@privacy.command("release")
def release(customer: Named, reason: Reason, tenant: Tenant = None, as_json: Json = False) -> None:
    """Ask that a legal hold be ended; another person must approve it."""
    from infra.privacy.holds import ask_release

    with opened() as runtime:
        who = who_of(runtime, tenant)
        asked = ask_release(runtime, who, customer_id(runtime, who.tenant, customer), reason)
    tell(asked, as_json=as_json)


@privacy.command("epochs")
def epochs(as_json: Json = False) -> None:
    """List the epochs of the master key."""
    from api.output import print_json, print_table
    from infra.privacy.four_eyes import rotation_of

    with opened() as runtime:
        found = rotation_of(runtime).epochs()
    if as_json:
        print_json(found)
        return
    columns = ("epoch", "made (UTC)", "retired (UTC)", "may die (UTC)", "destroyed (UTC)", "keys")
    print_table(columns, found, "There are none.")


@privacy.command("rotate")
def rotate() -> None:
    """Begin a new epoch: a new master key, which wraps all living keys anew."""
    from infra.privacy.four_eyes import rotation_of

    with opened() as runtime:
        count = rotation_of(runtime).rotate()
    typer.echo(f"{count:,} keys are wrapped anew. Back the new master key up.")


@privacy.command("destroy")
def destroy(
    epoch: Annotated[int, typer.Argument(help="As `epochs` shows it.")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Ask that an old master key be destroyed; another person must approve it."""
    from infra.privacy.four_eyes import rotation_of

    with opened() as runtime:
        asked = rotation_of(runtime).ask_destroy(who_of(runtime, tenant), epoch)
    tell(asked, as_json=as_json)


@privacy.command("reapply")
def reapply() -> None:
    """Erase again whom a restored backup has brought back."""
    from infra.privacy.erasure import reapply as again

    with opened(erased=False) as runtime:
        count = again(runtime)
    typer.echo(f"{count:,} customers were erased again.")


@privacy.command("access")
def access(
    customer: Named,
    to: NewDirectory,
    tenant: Tenant = None,
) -> None:
    """Write all that is known of a customer, for the customer: readable and portable."""
    from infra.privacy.access_bundle import write_bundle
    from infra.privacy.requests import everybody

    with opened() as runtime:
        who = who_of(runtime, tenant)
        subjects = everybody(runtime, who.tenant, customer_id(runtime, who.tenant, customer))
        count = write_bundle(runtime, who.tenant, subjects, to, who.authid)
    typer.echo(f"{count:,} events in {to}; {to}/index.html is for reading.")


@privacy.command("consent")
def consent(
    customer: Named,
    purpose: Annotated[str, typer.Option("--purpose", help="What for.")],
    channel: Annotated[str, typer.Option("--channel", help="Over which channel.")],
    *,
    at: Annotated[
        str | None, typer.Option("--at", metavar="INSTANT", help="Then, instead of now.")
    ] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Tell whether a customer consents; ends with 1 if not, so that nothing is sent."""
    from api.output import print_fields, print_json
    from infra.privacy.consents import consent as asked
    from infra.privacy.consents import must_consent

    moment = instant(at)
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_ = customer_id(runtime, tenant, customer)
        said = asked(runtime, tenant, id_, purpose, channel, at=moment)
        if as_json:
            print_json(said)
        else:
            print_fields(said._asdict().items())
        if moment is None:
            must_consent(runtime, tenant, id_, purpose, channel)
    if not said.granted:
        raise Fault(FAILED, f"{customer} does not agree to {purpose} over {channel}.")


@privacy.command("exposed")
def exposed(
    since: Annotated[str, typer.Option("--from", metavar="INSTANT", help="From then on.")],
    until: Annotated[str, typer.Option("--to", metavar="INSTANT", help="Before this.")],
    who: Annotated[
        str | None,
        typer.Option("--who", help="To key:ID or cli:NAME alone, as `looks --staff` shows it."),
    ] = None,
    host: Annotated[
        str | None, typer.Option("--host", metavar="NAME", help="From this host alone.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Tell whose data was shown to a key or account, or from a host, that leaked, in between."""
    from api.output import print_json, print_table
    from infra.privacy.breach import exposed as shown

    first, last = instant(since), instant(until)
    if first is None or last is None:
        raise Fault(USAGE, "Name both instants.")
    with opened() as runtime:
        found = shown(runtime.pool, who, first, last, host)
    if as_json:
        print_json(found)
    else:
        print_table(("tenant", "customer", "groups"), found, "Nothing was shown.")


@privacy.command("record")
def record() -> None:
    """Print the record of processing, made from what this version does."""
    from infra.privacy.record_of_processing import record as made

    typer.echo(made(), nl=False)


def who_of(runtime: "Runtime", tenant: str | None) -> "Who":
    """Name who works on the command line, and whose data is meant."""
    from commands.ports import Who

    return Who(tenant or runtime.settings.tenant, operator())


def tell(asked: "Asked", *, as_json: bool) -> None:
    """Tell what was asked, and how it is approved."""
    from api.output import print_fields, print_json

    if as_json:
        print_json(asked._asdict() | {"approved": None})
        return
    print_fields([("id", asked.id), ("kind", asked.kind), ("what", asked.what)])
    typer.echo(
        f"Another person approves it: crm privacy approve {asked.id} --digest {asked.digest}",
        err=True,
    )


def valid(id_: str) -> str:
    """Refuse what cannot be an id at all."""
    if not is_id(id_):
        raise Fault(
            USAGE, f"{id_!r} is not the id of a request; `crm privacy requests` shows them."
        )
    return id_.lower()
