"""Commands that show how promises are kept: the wall, the queue, a caller's place, compliance."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

import typer

from api.cli.agreements import At, Since, Until, stream_of_agreement
from api.cli.common import USAGE, Fault, Json, Limit, Tenant, identifier, instant, opened

sla = typer.Typer(help="Show which promises are kept.", no_args_is_help=True)

Team = Annotated[str | None, typer.Option("--team", help="Only cases of this team.")]


@sla.command("wall")
def wall(
    *,
    verdict: Annotated[
        str | None, typer.Option("--verdict", metavar="running|paused|breached|forgotten")
    ] = None,
    team: Team = None,
    at: At = None,
    limit: Limit = 30,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Show the clocks of open cases: running ones by time to breach, then the paused."""
    from api.output import print_json, print_table
    from infra.read_models.sla import SlaReader
    from projections.sla_review import span

    with opened() as runtime:
        reader, tenant = SlaReader(runtime.pool), tenant or runtime.settings.tenant
        rows = reader.wall(tenant, at=instant(at), verdict=verdict, team=team, limit=limit)
    if as_json:
        print_json(rows)
        return
    told = [
        (
            row["verdict"],
            left(row["seconds_left"]),
            row["clock"],
            span(row["used"]),
            span(row["target"]),
            row["priority"],
            row["tier"],
            row["waiting_for"],
            row["agent"] or row["team"],
            row["case_id"],
        )
        for row in rows
    ]
    head = ("", "left", "clock", "used", "target", "priority", "tier", "waits for", "with", "case")
    print_table(head, told, "No clock is running.", limit)


@sla.command("queue")
def queue(
    *,
    team: Team = None,
    tiers: Annotated[
        list[str] | None, typer.Option("--tier", help="Who goes first, then who; repeat it.")
    ] = None,
    at: At = None,
    limit: Limit = 30,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Say which case to take next, and why."""
    from api.output import print_json, print_table
    from infra.read_models.sla import TIERS, SlaReader

    asked: dict[str, Any] = {"team": team, "at": instant(at), "limit": limit}
    with opened() as runtime:
        reader, tenant = SlaReader(runtime.pool), tenant or runtime.settings.tenant
        rows = reader.queue(tenant, tiers=tiers or TIERS, **asked)
    if as_json:
        print_json(rows)
        return
    told = [(row["place"], row["case_id"], row["priority"], row["reason"]) for row in rows]
    print_table(("place", "case", "priority", "why here"), told, "No case waits for us.", limit)


@sla.command("caller")
def caller(
    named: Annotated[
        str, typer.Argument(metavar="CALLER", help="ada@example.org, +49…, or system:id.")
    ],
    *,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Say at once which tier somebody who calls has, and which place in the queue."""
    from api.output import print_fields, print_json
    from infra.read_models.reader import Reader
    from infra.read_models.sla import SlaReader

    known = identifier(named)
    if known is None:
        raise Fault(USAGE, f"{named!r} is no e-mail address, telephone number or system:id.")
    with opened() as runtime:
        tenant = tenant or runtime.settings.tenant
        customer = Reader(runtime).customer_known_by(tenant, known)
        found = SlaReader(runtime.pool).caller(tenant, customer)
    if as_json:
        print_json(found)
        return
    names = ("customer", "tier", "place", "waiting", "reason")
    cases = [f"{case['place']}. {case['case_id']}" for case in found["cases"]]
    print_fields([*((name, found[name]) for name in names), ("cases", cases)])


@sla.command("compliance")
def compliance(
    *,
    group_by: Annotated[
        str,
        typer.Option(
            "--by", help="clock, agreement, team, category, priority, channel, month or quarter."
        ),
    ] = "clock",
    agreement: Annotated[str | None, typer.Option("--agreement")] = None,
    since: Since = None,
    until: Until = None,
    at: At = None,
    tenant: Tenant = None,
    as_json: Json = False,
) -> None:
    """Count what was promised, what was kept, how long it took, and what it cost."""
    from api.output import print_json, print_table
    from infra.read_models.sla import SlaReader
    from projections.sla_service import GROUPS

    if group_by not in GROUPS:
        raise Fault(USAGE, f"--by can be one of {', '.join(GROUPS)}.")
    period: dict[str, Any] = {"since": instant(since), "until": instant(until), "at": instant(at)}
    with opened() as runtime:
        reader, tenant = SlaReader(runtime.pool), tenant or runtime.settings.tenant
        of = agreement and stream_of_agreement(tenant, agreement)
        rows = reader.compliance(tenant, group_by=group_by, agreement=of, **period)
        titles = {each["id"]: each["title"] for each in reader.agreements(tenant)}
    if as_json:
        print_json(rows)
        return
    grouped = () if group_by == "clock" else (group_by,)
    told = [
        (*(titles.get(row["group"], row["group"]) for _ in grouped), *kept(row)) for row in rows
    ]
    head = ("clock", "promises", "met", "breached", "forgotten", "open", "cancelled", "no target",
            "kept", "median", "90 %", "credits")  # fmt: skip
    print_table((*grouped, *head), told, "Nothing was promised.")


def kept(row: dict[str, Any]) -> tuple[object, ...]:
    """Tell what became of the promises of a group."""
    from domain.money import money
    from projections.sla_review import span

    counts = ("clock", "promises", "met", "breached", "forgotten", "open", "cancelled",
              "without_target")  # fmt: skip
    share = None if row["kept_percent"] is None else f"{row['kept_percent']:.1f} %"
    owed = ", ".join(money(amount, currency) for currency, amount in row["credits"].items())
    times = (span(row["median_seconds"]), span(row["p90_seconds"]))
    return (*(row[name] for name in counts), share, *times, owed)


def left(seconds: float | None) -> str | None:
    """Tell how much time is left by the clock on the wall, or by how much it is late."""
    if seconds is None:
        return None
    whole = timedelta(seconds=abs(round(seconds)))
    hours, rest = divmod(whole.seconds, 3600)
    clock = f"{whole.days}d " * bool(whole.days) + f"{hours:02}:{rest // 60:02}:{rest % 60:02}"
    return clock if seconds >= 0 else f"-{clock}"


# ---- The clocks of one case ----------------------------------------------------------------------


def print_clocks(clocks: Sequence[dict[str, Any]]) -> None:
    """Print the clocks of a case, and everything that happened to them."""
    from api.output import print_line, print_table
    from projections.sla_review import span

    told = [
        (
            each["clock"],
            each["instance"],
            each["state"],
            span(each["used"]),
            span(each["target"]),
            each["deadline"],
            each["breached_at"],
        )
        for each in clocks
    ]
    head = ("clock", "no.", "state", "used", "target", "due (UTC)", "breached (UTC)")
    print_line("")
    print_table(head, told, "No clock has started.")
    happened = [
        (event["at"], each["clock"], each["instance"], event["kind"], event["reason"])
        for each in clocks
        for event in each["events"]
    ]
    print_line("")
    print_table(("at (UTC)", "clock", "no.", "what", "why"), sorted(happened, key=str), "")
