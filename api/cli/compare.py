"""Commands that compare versions of read models, and walk through one row event by event."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import (
    FAILED,
    NOT_FOUND,
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
    warn_of_unnumbered,
)
from api.cli.projections import Memory, Name, Workers, choose, explained, known, means

if TYPE_CHECKING:
    from infra.read_models.compare import Comparison
    from infra.runtime import Runtime
    from projections.projection import Step

Sampled = Annotated[
    int | None,
    typer.Option("--sample", min=1, help="Only the customers of so many events, by chance."),
]
Left = Annotated[int | None, typer.Argument(help="A version; the one that serves by default.")]
Right = Annotated[int | None, typer.Argument(help="A version; the one that is built by default.")]


def verify(
    name: Name,
    *,
    sample: Sampled = None,
    workers: Workers = None,
    memory: Memory = 512,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """Compare the rows that serve with a fresh fold; exit code 1 if they differ."""
    from api.rebuild_progress import watching
    from consumers.building import checked
    from consumers.sampling import verify_sample
    from infra.read_models.compare import compare

    with opened("WARNING") as runtime, explained(name):
        known(runtime, name)
        warn_of_unnumbered(runtime)
        serving = runtime.tables[name]
        if sample is not None:
            found = verify_sample(serving, sample)
        else:
            with (
                watching(name) as watch,
                checked(runtime.tables, name, means(runtime, workers, memory), watch) as fresh,
            ):
                found = compare(runtime.pool, serving, fresh, limit)
    report(found._replace(right="a fresh fold"), as_json=as_json)


def diff(
    name: Name,
    left: Left = None,
    right: Right = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> None:
    """Compare two versions row by row; exit code 1 if they differ."""
    from infra.read_models.compare import compare

    with opened() as runtime:
        warn_of_unnumbered(runtime)
        one = choose(runtime, name, left, "serving").version
        other = choose(runtime, name, right, "built", "kept").version
        tables = [runtime.tables.version(name, number) for number in (one, other)]
        found = compare(runtime.pool, tables[0], tables[1], limit)
    report(found, as_json=as_json)


def report(found: "Comparison", *, as_json: bool) -> None:
    """Print what differs, by key and column, and how much there is of it."""
    from api.output import print_json, print_line, print_table

    if as_json:
        told = [each._asdict() for each in found.differences]
        print_json(
            {**found._asdict(), "counts": found.counts._asdict(), "differences": told,
             "same": found.is_same}
        )  # fmt: skip
    else:
        columns = ("tenant", "key", "column", found.left, found.right)
        if found.differences:
            print_table(columns, lines(found), "")
        for side, missing in ((found.left, found.columns_only_left),
                              (found.right, found.columns_only_right)):  # fmt: skip
            if missing:
                print_line(f"Only {side} has: {', '.join(missing)}.")
        print_line(summary(found))
    if not found.is_same:
        raise Fault(FAILED, f"{found.left} and {found.right} are not the same.")


def lines(found: "Comparison") -> Iterator[tuple[object, ...]]:
    """Tell differences, one column a line."""
    for each in found.differences:
        if each.kind == "only left":
            yield each.tenant, each.key, "(row)", "there", "missing"
        elif each.kind == "only right":
            yield each.tenant, each.key, "(row)", "missing", "there"
        for column, (one, other) in each.columns.items():
            yield each.tenant, each.key, column, shortened(one), shortened(other)


def shortened(value: Any) -> Any:  # noqa: ANN401 - a value of any column
    """Show a sealed block as what it is: its bytes tell nothing."""
    if isinstance(value, dict):
        if isinstance(value.get("sealed"), str):
            return f"[sealed {value['sealed'][-6:]}]"
        return {name: shortened(held) for name, held in value.items()}
    return [shortened(held) for held in value] if isinstance(value, list) else value


def summary(found: "Comparison") -> str:
    """Tell in a sentence what comparing showed."""
    counts = found.counts
    moving = f" {counts.moving:,} changed meanwhile and were not judged." * bool(counts.moving)
    if not counts.faults:
        return f"{counts.rows:,} rows are the same.{moving}"
    return (
        f"Of {counts.rows:,} rows {counts.different:,} differ, {counts.only_left:,} are only in"
        f" {found.left}, {counts.only_right:,} only in {found.right}.{moving}"
    )


def step(
    name: Name,
    named: Annotated[
        str,
        typer.Argument(metavar="ID", help="A customer, lead or case: an id or what leads to it."),
    ],
    *,
    at: AsOf = None,
    effective: Effective = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Walk the events of one row through its projection: before, event, after."""
    from api.output import print_json, print_table

    instants = as_of(instant(at), effective=effective, what="at")
    with opened() as runtime:
        known(runtime, name)
        steps = list(walked(runtime, name, tenant or runtime.settings.tenant, named, instants))
    if as_json:
        print_json(steps)
        return
    rows = [
        (each["position"], each["time"], each["type"], *change)
        for each in steps
        for change in each["changed"] or [("", "", each.get("parked", ""))]
    ]
    columns = ("position", "happened (UTC)", "event", "column", "before", "after")
    print_table(columns, rows, "No event of it was known then.")


def walked(
    runtime: "Runtime", name: str, tenant: str, named: str, instants: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """Give the steps of a row, opened to nobody: what is sealed stays so."""
    from infra.read_models.as_of import AsOf
    from projections.projection import NotApplicable

    projection = runtime.tables[name].projection
    id_ = id_of(runtime, tenant, named)
    subject = runtime.store.subjects(tenant, [id_]).get(id_)
    if subject is None:
        raise Fault(NOT_FOUND, f"Nothing of tenant {tenant} is known as {named}.")
    then = AsOf(runtime.pool, tenant, instants.get("recorded_at"), instants.get("effective_at"))
    try:
        for each in then.steps(projection, subject, id_):
            yield told(
                each._replace(
                    before=projection.finished(each.before), after=projection.finished(each.after)
                )
            )
    except NotApplicable as reason:
        raise Fault(FAILED, f"The row waits from here on: {reason}") from None


def id_of(runtime: "Runtime", tenant: str, named: str) -> str:
    """Find the id of a customer, lead or case."""
    try:
        return customer_id(runtime, tenant, named)
    except Fault:
        for kind in ("case", "lead"):
            id_ = stream_of(tenant, kind, named)
            if runtime.store.subjects(tenant, [id_]):
                return id_
        raise


def told(step: "Step") -> dict[str, Any]:
    """Tell one step: the event, and each column that it changed."""
    before, after = step.before or {}, step.after or {}
    changed = [
        (column, shortened(before.get(column)), shortened(after.get(column)))
        for column in {**before, **after}
        if before.get(column) != after.get(column) and column != "position"
    ]
    return {
        "position": step.recorded.position,
        "time": step.recorded.time,
        "type": step.recorded.type,
        "event": step.recorded.id,
        "changed": changed,
        "before": step.before,
        "after": step.after,
    }
