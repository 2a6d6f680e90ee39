"""How long personal data is kept: load schedules, and see who is due by them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from api.cli.common import USAGE, Fault, Json, Tenant, opened
from api.cli.privacy import tell, who_of

if TYPE_CHECKING:
    from domain.schedule import Schedule

schedules = typer.Typer(help="How long personal data is kept.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


@schedules.command("load")
def load(file: File, tenant: Tenant = None, as_json: Json = False) -> None:
    """Ask that the schedules of a file count from now on; another person must approve it."""
    from infra.privacy.schedules import ask

    wanted = read(file)
    with opened() as runtime:
        asked = ask(runtime, who_of(runtime, tenant), wanted)
    tell(asked, as_json=as_json)


@schedules.command("list")
def list_(tenant: Tenant = None, as_json: Json = False) -> None:
    """List the schedules that count."""
    from api.output import print_json, print_table
    from infra.privacy.schedules import held

    with opened() as runtime:
        found = held(runtime, tenant or runtime.settings.tenant)
    told = [schedule.model_dump(mode="json") for schedule in found.schedules]
    if as_json:
        print_json({"version": found.version, "schedules": told})
        return
    columns = ("name", "groups", "trigger", "purpose", "period", "hold")
    rows = [[", ".join(each["groups"]) if c == "groups" else each[c] for c in columns]
            for each in told]  # fmt: skip
    print_table(columns, rows, "There are none: personal data is kept until somebody erases it.")


@schedules.command("due")
def due(tenant: Tenant = None, as_json: Json = False) -> None:
    """List whose data is due and why, and what keeps it all the same; destroys nothing."""
    from api.output import print_json, print_table
    from infra.privacy.schedules import due_data

    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        found = list(due_data(runtime, tenant, runtime.ports.now()))
    if as_json:
        print_json([each._asdict() for each in found])
        return
    rows = [
        (each.schedule, each.customer, ", ".join(each.groups), each.due_at, each.kept)
        for each in found
    ]
    print_table(("schedule", "customer", "groups", "due (UTC)", "kept by"), rows, "Nothing is due.")


@schedules.command("run")
def run(tenant: Tenant = None) -> None:
    """Destroy now what is due, as `crm timers` does by itself every hour."""
    from consumers.expiring import destroy_due

    with opened() as runtime:
        done = destroy_due(runtime, tenant or runtime.settings.tenant)
    for task in done:
        typer.echo(f"{task.id}: {len(task.subjects):,} customers, {', '.join(task.groups)}.")
    if not done:
        typer.echo("Nothing was due.")


def read(file: Path) -> "list[Schedule]":
    """Read a file of schedules; what is wrong with it is told by its place."""
    import tomllib

    from pydantic import TypeAdapter, ValidationError

    from commands.words import said
    from domain.schedule import Schedule

    try:
        told = tomllib.loads(file.read_text("utf-8"))
        return TypeAdapter(list[Schedule]).validate_python(told["schedule"])
    except KeyError:
        raise Fault(USAGE, f"{file} has no [[schedule]].") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Fault(USAGE, f"{file} is not TOML: {error}.") from None
    except ValidationError as error:
        fault = error.errors(include_input=False)[0]
        place = " ".join(map(str, fault["loc"]))
        raise Fault(USAGE, f"{file}: schedule {place}: {said(fault)}.") from None
