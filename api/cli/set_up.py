"""Commands that bring in and set up: files, sales pipelines; and the one that looks for faults."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.common import (
    FAILED,
    INTERRUPTED,
    Fault,
    Json,
    Tenant,
    log_from,
    opened,
    operator,
    settings,
    warn_of_unnumbered,
)

if TYPE_CHECKING:
    from api.files.importing import ImportReport
    from domain.lead import Pipeline
    from infra.settings import Settings

pipelines = typer.Typer(help="List and set up sales pipelines.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)]


def import_(
    file: File,
    *,
    mapping: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="How the rows of the file become events."),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, max=5000, help="Items in a transaction.")] = 1000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing.")] = False,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Take a file in; safe to run again.

    One CloudEvent a line, or rows of which a mapping makes events.
    """
    from api.files.importing import run_import

    how: dict[str, Any] = {"authid": operator(), "mapping": mapping, "batch": batch}
    if dry_run:
        log_from("INFO")
        tenant = tenant or settings().tenant
        report = run_import(None, file, tenant=tenant, dry_run=True, **how)
    else:
        with opened("INFO") as runtime:
            tenant = tenant or runtime.settings.tenant
            try:
                report = run_import(runtime, file, tenant=tenant, **how)
            except KeyboardInterrupt:
                raise Fault(
                    INTERRUPTED,
                    "Interrupted. What was taken in stays; run it again for"
                    " the rest: nothing is lost or doubled.",
                ) from None
            warn_of_unnumbered(runtime)
    tell(report, as_json=as_json)
    if not report.clean:
        told = f"Not taken in: {sum(report.codes.values()):,} of {report.items:,}"
        where = "" if dry_run else "; `crm refused list` has every one, with its reason"
        raise Fault(FAILED, f"{told}{where}.")


def tell(report: "ImportReport", *, as_json: bool) -> None:
    """Tell what became of a file."""
    from api.output import print_fields, print_json, print_line, print_table

    if as_json:
        names = ("rows", "skipped", "empty", "items", "events", "seconds", "dry_run")
        counts = {name: getattr(report, name) for name in names}
        verdicts = {"verdicts": report.verdicts, "codes": report.codes, "types": report.types}
        print_json({"file": report.path, **counts, **verdicts, "faults": report.faults})
        return
    rate = report.items / report.seconds if report.seconds else 0.0
    print_fields(
        [
            ("items", f"{report.items:,}"),
            *((f"  {status}", count) for status, count in sorted(report.verdicts.items())),
            ("events", f"{report.events:,}"),
            ("skipped", f"{report.skipped:,} rows, {report.empty:,} empty lines"),
            ("time", f"{report.seconds:.1f} s, {rate:,.0f} items a second"),
        ]
    )
    if report.faults:
        print_line("")
        print_table(("line", "code", "reason"), report.faults, "")
    for sample in report.samples:
        print_line("")
        print_json(sample.event)


@pipelines.command("list")
def pipelines_list(tenant: Tenant = None, as_json: Json = False) -> None:
    """List the sales pipelines and their stages."""
    from api.output import print_json, print_table

    with opened() as runtime:
        found = runtime.store.pipelines(tenant or runtime.settings.tenant)
    if as_json:
        print_json({n: [stage._asdict() for stage in p.stages] for n, p in found.items()})
        return
    rows = [
        (pipeline.name, number, stage.name, stage.probability)
        for pipeline in found.values()
        for number, stage in enumerate(pipeline.stages, 1)
    ]
    print_table(("pipeline", "step", "stage", "percent"), rows, "There are none.")


@pipelines.command("apply")
def pipelines_apply(file: File, *, tenant: Tenant = None) -> None:
    """Set pipelines up as a file says.

    Leads that are in one keep what their events say.
    """
    told = read_pipelines(file)
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        known = runtime.store.pipelines(tenant)
        for pipeline in told:
            state = "unchanged" if known.get(pipeline.name) == pipeline else "set up"
            if state == "set up":
                runtime.store.put_pipeline(tenant, pipeline)
            typer.echo(f"{pipeline.name}: {state}, {len(pipeline.stages)} stages")


def read_pipelines(file: Path) -> "list[Pipeline]":
    """Read pipelines as a mapping declares them: `[pipelines]`, a list of stages for each."""
    import tomllib

    from pydantic import TypeAdapter, ValidationError

    from api.files.mapping import Stages
    from commands.cloudevents import in_words
    from domain.lead import Pipeline, PipelineStage
    from domain.values import Label

    try:
        declared = tomllib.loads(file.read_text("utf-8")).get("pipelines", {})
        found = TypeAdapter(dict[Label, Stages]).validate_python(declared)
    except tomllib.TOMLDecodeError as error:
        raise Fault(FAILED, f"{file} is not TOML: {error}.") from None
    except ValidationError as error:
        raise Fault(FAILED, f"{file}: {in_words(error)}") from None
    if not found:
        raise Fault(FAILED, f"{file} declares no pipeline; it needs a table [pipelines].")
    for name, stages in found.items():
        if len({stage.name for stage in stages}) < len(stages):
            raise Fault(FAILED, f"{file}: two stages of the pipeline {name} have the same name.")
    return [
        Pipeline(name, tuple(PipelineStage(stage.name, stage.probability) for stage in stages))
        for name, stages in found.items()
    ]


def doctor(as_json: Json = False) -> None:
    """Look for anything wrong; changes nothing."""
    from api.output import print_json, print_line, print_table
    from infra.database import reach
    from infra.doctor import examine

    log_from("WARNING")
    chosen = settings()
    if chosen.database_url is not None:
        reach(chosen.database_url)
    findings = list(examine(chosen))
    if as_json:
        print_json({"settings": told_settings(chosen), "findings": findings})
    else:
        rows = [(each["setting"], each["value"], each["from"]) for each in told_settings(chosen)]
        print_table(("setting", "value", "from"), rows, "")
        print_line("")
        print_table(("what", "state", "found"), findings, "")
    if any(finding.state == "fault" for finding in findings):
        raise Fault(FAILED, "Something is wrong that cannot stay so.")


def told_settings(chosen: "Settings") -> list[dict[str, str | None]]:
    """Tell every setting, its value and where that comes from; never a password."""
    from infra.database import without_password

    told = []
    for name in type(chosen).model_fields:
        value = getattr(chosen, name)
        if name == "database_url" and value is not None:
            value = without_password(value)
        source = "environment" if name in chosen.model_fields_set else "default"
        shown = None if value is None else str(value)
        told.append({"setting": f"CRM_{name.upper()}", "value": shown, "from": source})
    return told
