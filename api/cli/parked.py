"""Commands about rows of read models that wait, because an event could not be applied to them."""

from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import (
    FAILED,
    NOT_FOUND,
    USAGE,
    Fault,
    Json,
    Limit,
    Tenant,
    is_id,
    opened,
    operator,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from consumers.parked import WentOn
    from infra.read_models.change import Key
    from infra.read_models.tables import Table
    from infra.runtime import Runtime

parked = typer.Typer(
    help="List, show, retry, discard rows that an event could not be applied to.",
    no_args_is_help=True,
)

Of = Annotated[str, typer.Argument(metavar="READ_MODEL", help="As `list` shows it.")]
RowKey = Annotated[str, typer.Argument(metavar="KEY", help="As `list` shows it.")]


@parked.command("list")
def list_(limit: Limit = 100, as_json: Json = False) -> None:
    """List the rows whose events wait, and why."""
    from api.output import print_json, print_table
    from infra.read_models.parked import parked_rows

    with opened() as runtime:
        rows = parked_rows(runtime.pool, limit)
    if as_json:
        print_json(rows)
    else:
        columns = ("projection", "tenant", "key", "position", "event", "reason", "since (UTC)")
        print_table(columns, rows, "Nothing is parked.", limit)


@parked.command("show")
def show(of: Of, key: RowKey, tenant: Tenant = None, as_json: Json = False) -> None:
    """Show one of them: what it waits for, why, and how many events wait behind that."""
    from api.output import print_fields, print_json
    from consumers.parked import waiting_for
    from infra.read_models.parked import NotParked, waiting

    with opened() as runtime:
        table = read_model(runtime, of)
        try:
            with waiting(table, row_key(runtime, tenant, key)) as row:
                history = waiting_for(table, row)
        except NotParked as missing:
            raise Fault(NOT_FOUND, str(missing)) from None
    told = {
        "read_model": table.name, "tenant": row.parking.key.tenant, "key": row.parking.key.key,
        "position": row.parking.position, "event": row.parking.type, "reason": row.parking.reason,
        "waiting": len(history), "events": [f"{r.position} {r.type}" for r in history],
    }  # fmt: skip
    if as_json:
        print_json(told)
    else:
        print_fields((name.replace("_", " "), value) for name, value in told.items())


@parked.command("retry")
def retry(
    of: Annotated[str | None, typer.Argument(metavar="[READ_MODEL]")] = None,
    key: Annotated[str | None, typer.Argument(metavar="[KEY]")] = None,
    tenant: Tenant = None,
    all_: Annotated[bool, typer.Option("--all", help="Of every read model and tenant.")] = False,
) -> None:
    """Apply what waits, in order; without KEY to every row of the read model."""
    from consumers import parked as rows

    if (of is None) != all_:
        raise Fault(USAGE, "Name the read model, or say --all.")
    with opened() as runtime:
        chosen = wanted(runtime, of, key, tenant)
        told = [tell(table, each, attempted(rows.retry, table, each)) for table, each in chosen]
    left = told.count(False)
    if left:
        raise Fault(FAILED, f"{left} of {len(told)} rows still wait.")


@parked.command("discard")
def discard(
    of: Of,
    key: RowKey,
    because: Annotated[str, typer.Option("--reason", help="Why; it is kept.", metavar="TEXT")],
    tenant: Tenant = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Leave the event out of the row, for good, and apply what came after it."""
    from consumers import parked as rows

    if not yes and not typer.confirm("Leave that event out of the row for good?", err=True):
        raise Fault(FAILED, "Nothing was left out.")
    with opened() as runtime:
        table, named = read_model(runtime, of), row_key(runtime, tenant, key)
        went_on = attempted(rows.discard, table, named, operator(), because)
    if not tell(table, named, went_on):
        raise Fault(FAILED, "The row waits again, for a later event.")


def attempted(attempt: "Callable[..., WentOn]", *arguments: object) -> "WentOn":
    """Let a row go on; a row that does not wait is told in a sentence."""
    from infra.read_models.parked import NotParked

    try:
        return attempt(*arguments)
    except NotParked as missing:
        raise Fault(NOT_FOUND, str(missing)) from None


def tell(table: "Table", key: "Key", went_on: "WentOn") -> bool:
    """Tell in a line what became of a row; True when it waits no more."""
    waits = went_on.parking
    told = "level" if waits is None else f"waits at {waits.position}: {waits.reason}"
    typer.echo(f"{table.name}  {key.tenant}/{key.key}  {went_on.applied} applied, {told}")
    return waits is None


def wanted(
    runtime: "Runtime", of: str | None, key: str | None, tenant: str | None
) -> "list[tuple[Table, Key]]":
    """Find the rows that are meant."""
    from infra.read_models.change import Key
    from infra.read_models.parked import parked_rows

    if of is not None and key is not None:
        return [(read_model(runtime, of), row_key(runtime, tenant, key))]
    tables = [read_model(runtime, of)] if of is not None else list(runtime.tables.values())
    named = {f"{t.projection.name} v{t.projection.version}": t for t in tables}
    return [
        (named[row.projection], Key(row.tenant, row.key))
        for row in parked_rows(runtime.pool, 1_000_000)
        if row.projection in named and tenant in (None, row.tenant)
    ]


def read_model(runtime: "Runtime", named: str) -> "Table":
    """Find a read model by its name, with or without its version."""
    for name, table in runtime.tables.items():
        if named in (name, table.name, f"{name} v{table.projection.version}"):
            return table
    raise Fault(
        NOT_FOUND, f"There is no read model {named}; there are: {', '.join(runtime.tables)}."
    )


def row_key(runtime: "Runtime", tenant: str | None, key: str) -> "Key":
    """Name a row; refuse what cannot be a key at all."""
    from infra.read_models.change import Key

    if not is_id(key):
        raise Fault(USAGE, f"{key!r} is not the key of a row; `crm parked list` shows them.")
    return Key(tenant or runtime.settings.tenant, key.lower())
