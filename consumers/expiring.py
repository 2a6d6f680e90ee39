"""Destroys what is due by the schedules, by itself: now and then, and once whoever looks first.

It is the erasure of a person, for some groups of keys and many customers at a time: with a ledger,
a search, and a signed certificate that names the schedule.
"""

import threading
from collections.abc import Iterator
from itertools import groupby

import structlog

from commands.command import named_id
from consumers.loop import run
from domain.personal import GROUPS
from infra.privacy.erasure import Task, carry_out, destroy, unfinished
from infra.privacy.schedules import DueData, due_data, tenants
from infra.runtime import Runtime

PAUSE_SECONDS = 3600.0

AT_ONCE = 100
"""How many customers share a certificate."""

log = structlog.get_logger()


def expire(runtime: Runtime, stop: threading.Event) -> None:
    """Destroy what is due, for ever."""

    def step() -> bool:
        for tenant in tenants(runtime.pool):
            destroy_due(runtime, tenant)
        stop.wait(PAUSE_SECONDS)
        return True

    run("expiring", step, stop)


def destroy_due(runtime: Runtime, tenant: str) -> list[Task]:
    """Destroy what is due in a tenant, what was interrupted first; gives what was done."""
    done = unfinished(runtime.pool, tenant)
    for task in done:
        destroy(runtime, task)
    due = [each for each in due_data(runtime, tenant, runtime.ports.now()) if each.kept is None]
    for task in tasks(tenant, due):
        carry_out(runtime, task)
        log.info("data.expired", tenant=tenant, erasure=task.id, customers=len(task.subjects))
        done.append(task)
    return done


def tasks(tenant: str, due: list[DueData]) -> Iterator[Task]:
    """Put customers together whose data is due by the same schedule.

    The id follows from whom it is about: two that look at the same time do the same thing.
    """
    for schedule, of_it in groupby(due, key=lambda each: each.schedule):
        found = list(of_it)
        groups = tuple(group for group in GROUPS if group in found[0].groups)
        for start in range(0, len(found), AT_ONCE):
            part = found[start : start + AT_ONCE]
            subjects = sorted(id_ for each in part for id_ in each.subjects)
            id_ = named_id(tenant, "expiry", schedule, *groups, *subjects)
            yield Task(id_, tenant, subjects, groups, schedule=schedule)
