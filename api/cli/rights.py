"""What persons may ask for: requests with the law's clock, restriction, objection."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from api.cli.common import USAGE, Fault, Json, Limit, Tenant, customer_id, instant, opened
from api.cli.look import Named
from api.cli.privacy import Reason, RequestId, valid, who_of

if TYPE_CHECKING:
    from domain.privacy_request import Kind, Law
    from domain.rights import Ground

OnGround = Annotated[
    str, typer.Option("--ground", help="GDPR 18(1): accuracy, unlawful, claims or objection.")
]
ForPurpose = Annotated[str, typer.Option("--purpose", help="What the customer objects to.")]


def receive(
    customer: Named,
    kind: Annotated[str, typer.Option("--kind", help="What for: access, erasure, …")],
    *,
    law: Annotated[str, typer.Option("--law", help="Whose clock runs: gdpr or ccpa.")] = "gdpr",
    received: Annotated[
        str | None, typer.Option("--received", metavar="INSTANT", help="When, if not just now.")
    ] = None,
    channel: Annotated[str, typer.Option("--channel", help="How it came.")] = "itself",
    tenant: Tenant = None,
) -> None:
    """Note that a person asked for something: a case under the law's clock; prints its id."""
    from domain.privacy_request import KINDS, SAYS
    from infra.privacy.requests import open_request

    wanted, by = cast("Kind", one_of(kind, KINDS)), cast("Law", one_of(law, SAYS))
    then = instant(received)
    with opened() as runtime:
        who = who_of(runtime, tenant)
        subject = customer_id(runtime, who.tenant, customer)
        id_ = open_request(runtime, who, subject, wanted, by, received=then, channel=channel)
    typer.echo(id_)


def due(
    *,
    done: Annotated[
        bool, typer.Option("--all", help="Those that are carried out, as well.")
    ] = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """List what persons asked for and by when it is due, the most urgent first."""
    from api.output import print_json, print_table
    from infra.privacy.requests import requests

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        found = list(requests(runtime, tenant, runtime.ports.now(), done=done))
    if as_json:
        print_json([each._asdict() for each in found])
        return
    rows = [
        (each.id, each.kind, each.customer, each.law, each.due_at, each.status,
         "overdue" if each.overdue else "")
        for each in found
    ]  # fmt: skip
    columns = ("id", "asked for", "customer", "law", "due (UTC)", "status", "")
    print_table(columns, rows, "Nothing was asked.")


def extend(id_: RequestId, reason: Reason, tenant: Tenant = None) -> None:
    """Take the longer time that the law allows for a request; tell the person why in time."""
    from infra.privacy.requests import extend as longer

    with opened() as runtime:
        longer(runtime, who_of(runtime, tenant), valid(id_), reason)
    typer.echo("Extended: `crm privacy due` shows until when.")


def restrict(customer: Named, ground: OnGround, tenant: Tenant = None) -> None:
    """Only store a customer's data from now on: it is shown to the hold role alone."""
    from infra.privacy.rights import restrict as carry_out

    with opened() as runtime:
        who = who_of(runtime, tenant)
        subject = customer_id(runtime, who.tenant, customer)
        done = carry_out(runtime, who, subject, a_ground(ground))
    typer.echo(f"{', '.join(done)}: restricted.")


def lift(customer: Named, ground: OnGround, tenant: Tenant = None) -> None:
    """End one ground of a restriction; tell the person before (GDPR 18(3))."""
    from infra.privacy.rights import lift as carry_out

    with opened() as runtime:
        who = who_of(runtime, tenant)
        subject = customer_id(runtime, who.tenant, customer)
        done = carry_out(runtime, who, subject, a_ground(ground))
    typer.echo(f"{', '.join(done)}: not restricted on this ground any more.")


def object_(customer: Named, purpose: ForPurpose = "profiling", tenant: Tenant = None) -> None:
    """Stop processing a customer's data for a purpose (GDPR 21)."""
    from infra.privacy.rights import object_to

    with opened() as runtime:
        who = who_of(runtime, tenant)
        done = object_to(runtime, who, customer_id(runtime, who.tenant, customer), purpose)
    typer.echo(f"{', '.join(done)}: no {purpose} any more.")


def withdraw(customer: Named, purpose: ForPurpose = "profiling", tenant: Tenant = None) -> None:
    """Note that a customer does not object to a purpose any more."""
    from infra.privacy.rights import withdraw_objection

    with opened() as runtime:
        who = who_of(runtime, tenant)
        done = withdraw_objection(runtime, who, customer_id(runtime, who.tenant, customer), purpose)
    typer.echo(f"{', '.join(done)}: {purpose} is not objected to any more.")


def rectify(
    customer: Named,
    reason: Reason,
    *,
    field: Annotated[str, typer.Option("--field", help="What was wrong: full_name, message, …")],
    value: Annotated[
        str | None, typer.Option("--value", help="What is right; for fields of the profile.")
    ] = None,
    event: Annotated[
        str | None, typer.Option("--event", metavar="ID", help="The event that says it, else.")
    ] = None,
    tenant: Tenant = None,
) -> None:
    """Say what is right of a customer; what was wrong is shown to auditors alone (GDPR 16)."""
    from infra.privacy import rectification

    if (value is None) == (event is None):
        raise Fault(USAGE, "Give either the right --value, or the --event that was wrong.")
    with opened() as runtime:
        who = who_of(runtime, tenant)
        subject = customer_id(runtime, who.tenant, customer)
        about = (runtime, who, subject, reason)
        if value is not None:
            count = rectification.rectify(*about, field=field, value=value)
            typer.echo(f"Rectified; events in which it was wrong and is hidden now: {count:,}.")
        else:
            rectification.rectify_event(*about, event=valid(event or ""), field=field)
            typer.echo("What the event says there is hidden as wrong.")


def limits(limit: Limit = 100, tenant: Tenant = None, as_json: Json = False) -> None:
    """List whose data is restricted, on which grounds, and who objects to what."""
    from api.output import print_json, print_table
    from infra.privacy.rights import limited

    with opened() as runtime:
        found = limited(runtime.pool, tenant or runtime.settings.tenant, limit)
    if as_json:
        print_json([each._asdict() for each in found])
        return
    rows = [(each.customer, ", ".join(each.grounds), ", ".join(each.objections)) for each in found]
    print_table(("customer", "restricted", "objects to"), rows, "There are none.")


def a_ground(told: str) -> "Ground":
    """Read a ground; that of a legal hold comes and goes with the hold."""
    from domain.rights import Ground

    return cast("Ground", one_of(told, [g for g in get_args(Ground) if g != "legal_hold"]))


def one_of(told: str, known: Iterable[str]) -> str:
    """Refuse a word that is none of those that there are."""
    words = list(known)
    if told not in words:
        raise Fault(USAGE, f"There is no {told!r}; there are: {', '.join(words)}.")
    return told


COMMANDS: dict[str, Callable[..., None]] = {
    "receive": receive,
    "due": due,
    "extend": extend,
    "restrict": restrict,
    "lift": lift,
    "object": object_,
    "withdraw-objection": withdraw,
    "rectify": rectify,
    "limits": limits,
}
"""By their names within `crm privacy`."""
