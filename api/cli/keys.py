"""Commands about API keys."""

from enum import StrEnum
from typing import Annotated

import typer

from api.cli.common import NOT_FOUND, USAGE, Fault, Json, Tenant, opened

keys = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)


class Role(StrEnum):
    """What a key may be used for."""

    PUBLISH = "publish"
    READ = "read"
    OPERATE = "operate"
    HOLD = "hold"


@keys.command("create")
def create(
    role: Annotated[Role, typer.Option("--role", help="What the key may be used for.")],
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Make a key and show it, this once."""
    from api.output import print_json, print_line
    from infra.api_keys import ApiKeys

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        try:
            key = ApiKeys(runtime.pool).create(tenant, role.value)
        except ValueError as error:
            raise Fault(USAGE, str(error)) from None
    if as_json:
        print_json({"key": key, "tenant": tenant, "role": role.value})
    else:
        print_line(key)
        typer.echo("Keep it safe: it cannot be shown again.", err=True)


@keys.command("list")
def list_(tenant: Tenant = None, as_json: Json = False) -> None:
    """List the keys, of all tenants unless one is named."""
    from api.output import print_json, print_table
    from infra.api_keys import ApiKeys

    with opened() as runtime:
        known = ApiKeys(runtime.pool).list(tenant)
    if as_json:
        print_json(known)
    else:
        columns = ("id", "tenant", "role", "created (UTC)", "revoked (UTC)")
        print_table(columns, known, "There are no keys; `crm keys create --role …` makes one.")


@keys.command("revoke")
def revoke(id_: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]) -> None:
    """End a key; it stops working within seconds."""
    from infra.api_keys import ApiKeys

    with opened() as runtime:
        if not ApiKeys(runtime.pool).revoke(id_):
            raise Fault(NOT_FOUND, f"There is no key {id_}, or it is revoked already.")
