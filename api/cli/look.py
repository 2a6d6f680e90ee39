"""Commands that show: a customer and its history, leads, cases, read models."""

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import (
    NOT_FOUND,
    USAGE,
    AsOf,
    Effective,
    Fault,
    Json,
    Limit,
    Tenant,
    as_of,
    customer_id,
    instant,
    opened,
    stream_of,
)

if TYPE_CHECKING:
    from infra.read_models.reader import Reader

Named = Annotated[
    str, typer.Argument(metavar="CUSTOMER", help="An id, ada@example.org, +49…, or system:id.")
]
Referred = Annotated[str, typer.Argument(metavar="ID", help="An id, or system:id.")]

show = typer.Typer(help="Show one customer, lead or case.", no_args_is_help=True)


def history(
    customer: Named,
    *,
    type_: Annotated[
        list[str] | None, typer.Option("--type", help="Only events of this name; may be repeated.")
    ] = None,
    at: AsOf = None,
    effective: Effective = False,
    limit: Limit = 1000,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Tell what happened to a customer, event by event."""
    from api.output import print_json
    from infra.read_models.reader import Reader

    types = [known_event(name) for name in type_ or ()]
    instants = as_of(instant(at), effective=effective, what="before")
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_ = customer_id(runtime, tenant, customer)
        events = told(Reader(runtime), tenant, id_, limit, {"types": types, **instants})
    if as_json:
        print_json(events)
    else:
        print_history(events, limit)


def known_event(name: str) -> str:
    """Refuse the name of an event that does not exist."""
    from domain.catalogue import EVENTS

    if name not in EVENTS:
        raise Fault(USAGE, f"There is no event {name!r}; there are: {', '.join(sorted(EVENTS))}.")
    return name


def told(
    reader: "Reader", tenant: str, id_: str, limit: int, asked: dict[str, Any]
) -> list[dict[str, Any]]:
    """Read page after page, up to the limit."""
    events: list[dict[str, Any]] = []
    after: str | None = ""
    while after is not None and len(events) < limit:
        size = min(500, limit - len(events))
        page = reader.history(tenant, id_, after=after, limit=size, **asked)
        if page is None:
            raise Fault(NOT_FOUND, f"There is no customer {id_} of tenant {tenant}.")
        events += page.items
        after = page.next
    return events


def print_history(events: list[dict[str, Any]], limit: int) -> None:
    """Print events, one a line; the time of learning only where it is not that of happening."""
    from api.output import print_table, when

    rows = [
        (
            event["position"],
            when(datetime.fromisoformat(event["time"])),
            late(event),
            event["type"],
            event["authid"],
            facts(event["data"]),
        )
        for event in events
    ]
    columns = ("position", "happened (UTC)", "learned", "event", "by", "facts")
    print_table(columns, rows, "Nothing of that happened.", limit)


def late(event: dict[str, Any]) -> str:
    """Tell how much later than it happened we learned of an event."""
    moments = (datetime.fromisoformat(event[name]) for name in ("recordedtime", "time"))
    learned, happened = moments
    minutes = (learned - happened).total_seconds() / 60
    if minutes < 1:
        return "at once"
    if minutes < 120:
        return f"+{minutes:.0f} min"
    return f"+{minutes / 60:.0f} h" if minutes < 48 * 60 else f"+{minutes / 1440:.0f} d"


def facts(data: dict[str, Any]) -> str:
    """Tell the facts of an event in one line; amounts of money as they are read."""
    from api.output import text
    from domain.money import money

    return "  ".join(
        f"{name}={money(**value) if is_money(value) else text(value)}"
        for name, value in data.items()
        if value not in (None, "", {}, [])
    )


def is_money(value: object) -> bool:
    """Tell whether a value is an amount of money."""
    return isinstance(value, dict) and set(value) == {"amount", "currency"}


@show.command("customer")
def show_customer(
    customer: Named,
    at: AsOf = None,
    effective: Effective = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show a customer, all channels taken together."""
    from infra.read_models.reader import Reader

    instants = as_of(instant(at), effective=effective, what="at")
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        id_ = customer_id(runtime, tenant, customer)
        row = Reader(runtime).customer(tenant, id_, **instants)
    shown(row, unknown(f"customer {customer}", tenant, at), as_json=as_json)


@show.command("lead")
def show_lead(
    lead: Referred,
    at: AsOf = None,
    effective: Effective = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show a lead, and when it entered each stage."""
    from infra.read_models.reader import Reader

    instants = as_of(instant(at), effective=effective, what="at")
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        reader, id_ = Reader(runtime), stream_of(tenant, "lead", lead)
        row = reader.lead_as_of(tenant, id_, **instants) if at else reader.lead(tenant, id_)
    shown(row, unknown(f"lead {lead}", tenant, at), as_json=as_json)


@show.command("case")
def show_case(
    case: Referred,
    at: AsOf = None,
    effective: Effective = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show a case, with its clocks."""
    from api.cli.sla import print_clocks
    from infra.read_models.reader import Reader

    instants = as_of(instant(at), effective=effective, what="at")
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        reader, id_ = Reader(runtime), stream_of(tenant, "case", case)
        row = reader.case_as_of(tenant, id_, **instants) if at else reader.case(tenant, id_)
    clocks = row.pop("clocks") if row and not as_json else []
    shown(row, unknown(f"case {case}", tenant, at), as_json=as_json)
    if not as_json:
        print_clocks(clocks)


def unknown(what: str, tenant: str, at: str | None) -> str:
    """Say that there is nothing to show."""
    why = "was known then" if at else "is known, unless it is restricted"
    return f"No {what} of tenant {tenant} {why}."


def shown(row: dict[str, Any] | None, missing: str, *, as_json: bool) -> None:
    """Print a row, field by field."""
    from api.output import print_fields, print_json

    if row is None:
        raise Fault(NOT_FOUND, missing)
    if as_json:
        print_json(row)
    else:
        print_fields((name.replace("_", " "), value) for name, value in amounts(row))


def amounts(row: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Show amounts of money as they are read."""
    from domain.money import money

    for name, value in row.items():
        if name == "revenue":
            yield name, [money(amount, currency) for currency, amount in value.items()]
        elif name == "amount" and value is not None:
            yield name, money(value, row["currency"])
        elif name != "currency":
            yield name, value
