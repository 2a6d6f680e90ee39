"""Commands of the group `privacy` for what two people must agree on, beside erasing."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.common import NOT_FOUND, USAGE, Fault, Json, Tenant, customer_id, instant, opened
from api.cli.look import Named
from api.cli.privacy import Reason, RequestId, tell, valid, who_of


def correct(
    position: Annotated[int, typer.Argument(help="Of the event, as the history shows it.")],
    *,
    command: Annotated[str, typer.Option("--command", help="What corrects it, e.g. case.reopen.")],
    fields: Annotated[
        typer.FileBinaryRead, typer.Option("--fields", help="Its fields as JSON; - reads stdin.")
    ],
    reason: Reason,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="INSTANT", help="Since when it is true; as the event was."),
    ] = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Ask that an event be corrected by another one; another person must approve it."""
    from infra.privacy.corrections import Correction, ask_to_correct

    told, moment = json_object(fields.read()), instant(at)
    with opened() as runtime:
        who = who_of(runtime, tenant)
        wanted = Correction(position, command, told, reason, moment)
        asked = ask_to_correct(runtime, who, wanted)
    tell(asked, as_json=as_json)


def json_object(raw: bytes) -> dict[str, Any]:
    """Read the fields of a command."""
    from domain.rejected import Rejected
    from infra import strict_json

    try:
        told = strict_json.loads(raw)
    except Rejected as no:
        raise Fault(USAGE, no.sentence) from None
    if not isinstance(told, dict):
        raise Fault(USAGE, "The fields are not a JSON object.")
    return told


def request(id_: RequestId, tenant: Tenant = None) -> None:
    """Show what was asked, what is personal in it opened: to be read before it is approved."""
    from api.output import print_json
    from infra.approvals import Approvals
    from infra.privacy.corrections import fields_of

    with opened(erased=False) as runtime:
        asked = Approvals(runtime.pool).get(tenant or runtime.settings.tenant, valid(id_))
        if asked is None:
            raise Fault(NOT_FOUND, f"There is no request {id_}.")
        told = asked._asdict() | {"approved": None}
        if asked.kind == "event.correct":
            told["fields"] = fields_of(runtime, asked)
    print_json(told)


def break_glass(
    customer: Named, reason: Reason, tenant: Tenant = None, as_json: Json = False
) -> None:
    """Ask to open what a legal hold keeps closed; another person must approve it."""
    from infra.privacy.break_glass import ask_to_break

    with opened() as runtime:
        who = who_of(runtime, tenant)
        asked = ask_to_break(runtime, who, customer_id(runtime, who.tenant, customer), reason)
    tell(asked, as_json=as_json)


def open_(
    id_: RequestId,
    to: Annotated[Path, typer.Option("--to", help="A file that does not exist yet.")],
    tenant: Tenant = None,
) -> None:
    """Write what `break-glass` asked for, once, within an hour, for who has asked."""
    from infra.privacy.break_glass import open_held

    if to.exists():
        raise Fault(USAGE, f"{to} exists already.")
    with opened() as runtime:
        count = open_held(runtime, who_of(runtime, tenant), valid(id_), to)
    typer.echo(f"{count:,} events in {to}.")


def restore(reason: Reason, tenant: Tenant = None, as_json: Json = False) -> None:
    """Ask that a restored database be served; another person must approve it."""
    from infra.privacy.restore import ask_to_restore

    with opened(erased=False) as runtime:
        asked = ask_to_restore(runtime, who_of(runtime, tenant), reason)
    tell(asked, as_json=as_json)


COMMANDS: dict[str, Callable[..., None]] = {
    "correct": correct,
    "request": request,
    "break-glass": break_glass,
    "open": open_,
    "restore": restore,
}
