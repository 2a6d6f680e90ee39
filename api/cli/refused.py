"""Commands about messages that were not kept."""

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
    from commands.ports import Verdict, Who
    from infra.runtime import Runtime
    from infra.store.refused import RefusedMessage

refused = typer.Typer(
    help="List, show, retry, discard messages that were not kept.", no_args_is_help=True
)

Code = Annotated[str | None, typer.Option("--code", help="Only those refused for this reason.")]
MessageId = Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")]


@refused.command("list")
def list_(
    code: Code = None, limit: Limit = 100, tenant: Tenant = None, as_json: Json = False
) -> None:
    """List them with their reasons, oldest first."""
    from api.output import print_json, print_table

    with opened() as runtime:
        found = page(runtime, tenant or runtime.settings.tenant, limit, code)
    if as_json:
        print_json(found)
        return
    rows = [
        (each.id, each.source, each.message_id, each.code, each.attempts, each.sentence)
        for each in found
    ]
    columns = ("id", "source", "message", "code", "attempts", "reason")
    print_table(columns, rows, "Nothing was refused.", limit)


@refused.command("show")
def show(id_: MessageId, tenant: Tenant = None) -> None:
    """Print a message as it came."""
    import sys

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        message = runtime.refused.open(tenant, valid(id_))
        if message is None:
            raise missing(id_)
        # Nobody knows yet whose data it is: the look is at the message itself.
        runtime.keyring.access.note(tenant, [(id_, "content")], 1, ["message"])
    if sys.stdout.isatty():
        from api.output import print_line, text

        print_line(text(message.raw.decode(errors="backslashreplace")))
    else:
        sys.stdout.buffer.write(message.raw + b"\n")


@refused.command("retry")
def retry(
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Retry every one.")] = False,
    code: Code = None,
    tenant: Tenant = None,
) -> None:
    """Try messages again; what is kept leaves the list."""
    from commands.ports import Who

    if bool(ids) == all_:
        raise Fault(USAGE, "Name the messages to retry, or say --all.")
    with opened() as runtime:
        who = Who(tenant or runtime.settings.tenant, operator())
        found = ids or [each.id for each in page(runtime, who.tenant, 1_000_000, code)]
        verdicts = [(id_, again(runtime, who, valid(id_))) for id_ in found]
    for id_, verdict in verdicts:
        typer.echo(f"{id_}  {verdict.status}  {verdict.sentence}".rstrip())
    left = sum(verdict.status in ("rejected", "conflict") for _, verdict in verdicts)
    if left:
        raise Fault(FAILED, f"{left} of {len(verdicts)} were refused again.")


def again(runtime: "Runtime", who: "Who", id_: str) -> "Verdict":
    """Take a message in once more."""
    from commands.ingest import ingest

    message = runtime.refused.open(who.tenant, id_)
    if message is None:
        raise missing(id_)
    [verdict] = ingest([message], who, runtime.ports, runtime.refused)
    if verdict.status in ("accepted", "duplicate"):
        runtime.refused.discard(who.tenant, id_)
    return verdict


@refused.command("discard")
def discard(
    id_: MessageId,
    tenant: Tenant = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Drop a message for good, and its key with it."""
    if not yes and not typer.confirm(f"Drop message {id_} for good?", err=True):
        raise Fault(FAILED, "Nothing was dropped.")
    with opened() as runtime:
        if not runtime.refused.discard(tenant or runtime.settings.tenant, valid(id_)):
            raise missing(id_)


def page(runtime: "Runtime", tenant: str, limit: int, code: str | None) -> "list[RefusedMessage]":
    """List what was refused, from the beginning."""
    from infra.keys.keyring import NOBODY

    return runtime.refused.page(tenant, NOBODY, limit, code)


def valid(id_: str) -> str:
    """Refuse what cannot be an id at all."""
    if not is_id(id_):
        raise Fault(USAGE, f"{id_!r} is not the id of a message; `crm refused list` shows them.")
    return id_


def missing(id_: str) -> Fault:
    """Tell that nothing is known of a message."""
    return Fault(NOT_FOUND, f"There is no refused message {id_}.")
