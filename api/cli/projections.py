"""Commands about read models: look at them, build them anew, compare, switch, and go back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import FAILED, NOT_FOUND, Fault, Json, opened, warn_of_unnumbered

if TYPE_CHECKING:
    from consumers.building import Means
    from infra.read_models.versions import Version
    from infra.runtime import Runtime

projections = typer.Typer(
    help="Look at the read models; rebuild, compare and switch them.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="As `crm projections list` shows it.")]
Number = Annotated[
    int | None, typer.Option("--version", min=0, help="Which version; the one being built if any.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, max=64, help="Processes; one a core by default.")
]
Memory = Annotated[
    int, typer.Option("--memory", min=1, metavar="MB", help="For the rows of all workers together.")
]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait until it is level.")]


@projections.command("list")
def list_(as_json: Json = False) -> None:
    """List the read models and the question that each answers."""
    from api.output import print_json, print_table
    from projections.catalogue import ALL

    if as_json:
        print_json([{"name": p.name, "version": p.version, "question": p.question} for p in ALL])
    else:
        rows = [(p.name, p.version, p.question) for p in ALL]
        print_table(("projection", "definition", "question"), rows, "There are none.")


@projections.command()
def status(as_json: Json = False) -> None:
    """Tell how far each read model has come, every version of it."""
    from api.output import print_json, print_table
    from infra.read_models.standing import standing
    from infra.read_models.versions import versions

    with opened() as runtime:
        warn_of_unnumbered(runtime)
        rows = [
            standing(runtime.pool, runtime.tables.version(name, each.version), each)
            for name in runtime.tables
            for each in versions(runtime.pool, name)
        ]
    if as_json:
        print_json([row._asdict() for row in rows])
        return
    columns = ("projection", "version", "state", "position", "head", "lag_events", "lag_seconds",
               "percent", "parked", "holder")  # fmt: skip
    told = [[getattr(row, column) for column in columns] for row in rows]
    print_table([column.replace("_", " ") for column in columns], told, "There are none.")


# ---- Building ------------------------------------------------------------------------------------


@projections.command()
def rebuild(
    name: Name,
    *,
    workers: Workers = None,
    memory: Memory = 512,
    promote_: Annotated[
        bool, typer.Option("--promote", help="Let it serve when it is level.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Build the next version beside the one that serves; goes on where one was interrupted."""
    from api.rebuild_progress import watching
    from consumers.building import rebuild as build
    from consumers.switching import promote as let_serve

    with opened("INFO") as runtime, explained(name):
        known(runtime, name)
        warn_of_unnumbered(runtime)
        if dry_run:
            tell(would_build(runtime, name), as_json=as_json)
            return
        with watching(name) as watch:
            table = build(runtime.tables, name, means(runtime, workers, memory), watch)
            if promote_:
                let_serve(runtime.tables, name)
        last = watch.last
    result = {
        "projection": name,
        "version": table.version,
        "state": "serving" if promote_ else "built",
        "events": last.events if last else 0,
        "events_per_second": round(last.per_second) if last else 0,
        "parked": watch.poisons,
    }
    following = "It serves now." if promote_ else f"crm projections promote {name}"
    tell(result, as_json=as_json, **({} if as_json else {"next": following}))


@projections.command()
def pause(
    name: Name, version: Number = None, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Let a version stand still: the one being built, or else the one that serves."""
    stand(name, version, paused=True, dry_run=dry_run, as_json=as_json)


@projections.command()
def resume(
    name: Name, version: Number = None, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Let a version that was paused go on."""
    stand(name, version, paused=False, dry_run=dry_run, as_json=as_json)


@projections.command()
def cancel(
    name: Name, version: Number = None, dry_run: DryRun = False, as_json: Json = False
) -> None:
    """Drop a version that does not serve: the one being built, or else the one that is built."""
    from infra.read_models.versions import drop

    with opened() as runtime:
        chosen = choose(runtime, name, version, "building", "built")
        if not dry_run:
            drop(runtime.tables, name, chosen.version)
    tell(done(chosen, "dropped", dry_run=dry_run), as_json=as_json)


# ---- Switching -----------------------------------------------------------------------------------


@projections.command()
def promote(
    name: Name,
    *,
    even_parked: Annotated[
        bool, typer.Option("--even-parked", help="Although more rows wait than in the old one.")
    ] = False,
    wait: Wait = 60.0,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Let the version that is built serve; the one that did is kept."""
    from consumers.switching import promote as let_serve

    with opened() as runtime:
        chosen = choose(runtime, name, None, "built")
        if not dry_run:
            let_serve(runtime.tables, name, even_parked=even_parked, seconds=wait)
    tell(done(chosen, "serving", dry_run=dry_run), as_json=as_json)


@projections.command()
def rollback(name: Name, wait: Wait = 60.0, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Let the version that is kept serve again; the other one is kept now."""
    from consumers.switching import roll_back

    with opened() as runtime:
        chosen = choose(runtime, name, None, "kept")
        if not dry_run:
            roll_back(runtime.tables, name, seconds=wait)
    tell(done(chosen, "serving", dry_run=dry_run), as_json=as_json)


# ---- What they share -----------------------------------------------------------------------------


def stand(name: str, version: int | None, *, paused: bool, dry_run: bool, as_json: bool) -> None:
    """Pause a version, or let it go on."""
    from infra.read_models.versions import pause as set_paused

    with opened() as runtime:
        chosen = choose(runtime, name, version, "building", "serving")
        changes = chosen.paused != paused
        if changes and not dry_run:
            set_paused(runtime.pool, name, chosen.version, paused=paused)
    told = done(chosen, "paused" if paused else "going on", dry_run=dry_run)
    tell(told | {"changed": changes and not dry_run}, as_json=as_json)


def known(runtime: "Runtime", name: str) -> None:
    """Refuse the name of a projection that does not exist."""
    if name not in runtime.tables:
        there_are = ", ".join(runtime.tables)
        raise Fault(NOT_FOUND, f"There is no projection {name}; there are: {there_are}.")


def choose(runtime: "Runtime", name: str, version: int | None, *states: str) -> "Version":
    """Find the version that is meant: by its number, or the first in one of some states."""
    from infra.read_models.versions import versions

    known(runtime, name)
    found = versions(runtime.pool, name)
    if version is not None:
        chosen = [each for each in found if each.version == version]
        sentence = f"{name} has no version {version}."
    else:
        chosen = [each for state in states for each in found if each.state == state]
        sentence = f"{name} has no version that is {' or '.join(states)}."
    if not chosen:
        raise Fault(NOT_FOUND, sentence)
    return chosen[0]


def means(runtime: "Runtime", workers: int | None, memory: int) -> "Means":
    """Lay out with what to build."""
    import os

    from consumers.building import Means
    from infra.database import url_of

    return Means(url_of(runtime.pool), workers or os.cpu_count() or 1, memory * 1_000_000)


def would_build(runtime: "Runtime", name: str) -> dict[str, Any]:
    """Say what a rebuild would do."""
    from infra.read_models.versions import versions

    found = versions(runtime.pool, name)
    begun = next((each for each in found if each.state in ("building", "built")), None)
    return {
        "projection": name,
        "version": begun.version if begun else max((v.version for v in found), default=0) + 1,
        "would": f"go on: {begun.state}" if begun else "begin",
        "serves": runtime.tables[name].version,
        "events": runtime.events.head(),
    }


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Say in sentences why building ended before its time."""
    from concurrent.futures.process import BrokenProcessPool

    from infra.read_models.builds import TakenOver

    again = f"`crm projections rebuild {name}` goes on from there."
    try:
        yield
    except TakenOver as taken:
        raise Fault(FAILED, str(taken)) from None
    except BrokenProcessPool:
        raise Fault(FAILED, f"A worker was killed; what was finished is safe. {again}") from None
    except KeyboardInterrupt:
        raise Fault(FAILED, f"Interrupted; what was finished is safe. {again}") from None


def done(version: "Version", state: str, *, dry_run: bool) -> dict[str, Any]:
    """Tell what was done to a version, or would be."""
    told = {"projection": version.projection, "version": version.version}
    return told | ({"would_be": state} if dry_run else {"state": state})


def tell(result: dict[str, Any], *, as_json: bool, **more: Any) -> None:  # noqa: ANN401 - fields
    """Print a result."""
    from api.output import print_fields, print_json

    if as_json:
        print_json(result)
    else:
        print_fields((name.replace("_", " "), value) for name, value in (result | more).items())
