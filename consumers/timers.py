"""The timers: what is due becomes a command, once, however many timers there are.

A command has the id of its mark, so a second timer's is a duplicate; and it says how many events of
the case were seen, so one that was decided on by an outdated read model is rejected and asked again
when the read model has caught up. What fires late happens at its instant all the same.
"""

import threading
from datetime import datetime
from typing import NamedTuple
from uuid import NAMESPACE_URL, uuid5

import structlog

from commands.execute import execute
from commands.marks import ReachMark
from commands.ports import Busy, Request, Who
from commands.session import Ports
from consumers.loop import run
from domain.clocks import Due, dues
from infra.read_models.due import DueCase, DueCases
from projections.sla_clocks import service

LIMIT = 200
"""How many cases are taken at a time."""

PAUSE_SECONDS = 0.25
"""How long to wait when nothing was due."""

OUTDATED_SECONDS = 0.5
"""How long a case is left alone whose read model was outdated."""

log = structlog.get_logger()


class Fired(NamedTuple):
    """What became of one look at what is due."""

    fired: int
    outdated: list[str]


def watch(due: DueCases, ports: Ports, stop: threading.Event) -> None:
    """Fire what is due, for ever."""
    left_alone: dict[str, datetime] = {}

    def step() -> bool:
        now = ports.now()
        for case, since in list(left_alone.items()):
            if (now - since).total_seconds() > OUTDATED_SECONDS:
                del left_alone[case]
        result = fire(due, ports, list(left_alone))
        left_alone.update(dict.fromkeys(result.outdated, now))
        if not result.fired:
            stop.wait(PAUSE_SECONDS)
        return result.fired > 0

    run("timers", step, stop)


def fire(due: DueCases, ports: Ports, but: list[str] | None = None) -> Fired:
    """Fire what is due now, except for some cases."""
    now = ports.now()
    found = due.look(now, but or [], LIMIT)
    fired, outdated = 0, list[str]()
    for tenant in sorted({case.tenant for case in found}):
        asked = [(case, request_of(case, now)) for case in found if case.tenant == tenant]
        requests = [request for _, request in asked if request is not None]
        fired += ask(requests, Who(tenant, "timers"), ports)
        # All of them: the read model has yet to see what was fired, or what made that wrong.
        outdated += [case.case for case, _ in asked]
    return Fired(fired, outdated)


def ask(requests: list[Request], who: Who, ports: Ports) -> int:
    """Ask for all at once, or else one by one, so that a broken case holds up no other."""
    try:
        verdicts = execute(requests, who, ports)
    except Busy:
        return 0  # others changed the cases; the next look finds what is still due
    except Exception as error:
        if len(requests) > 1:
            return sum(ask([request], who, ports) for request in requests)
        # Not the traceback: it may quote personal data.
        told = {"command": requests[0].commandid, "error": type(error).__name__}
        log.warning("timers.failed", tenant=who.tenant, **told)
        return 0
    fired = sum(verdict.status == "accepted" for verdict in verdicts)
    if fired:
        log.info("timers.fired", tenant=who.tenant, fired=fired, asked=len(requests))
    return fired


def request_of(case: DueCase, now: datetime) -> Request | None:
    """Ask for the first of a case's marks that is due; the next one follows when it was seen."""
    mark = next(iter(dues(service(case.facts))), None)
    if mark is None or mark.at >= now:
        return None
    command = ReachMark(
        case=case.case,
        clock=mark.clock,
        instance=mark.instance,
        mark=mark.mark,
        due=mark.at,
        events=case.events,
    )
    return Request(command, command_id(case, mark), time=mark.at)


def command_id(case: DueCase, mark: Due) -> str:
    """Give the id under which a mark of a case fires: always the same."""
    return str(uuid5(NAMESPACE_URL, f"crm:{case.tenant}\x1f{case.case}\x1f{mark.key}"))
