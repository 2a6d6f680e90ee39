"""Finds the outcomes of churn alerts by itself: looks at the open ones, now and then.

An outcome is proved by what the customer did, at the instant when it was done; looking late, or
twice, changes nothing.
"""

import threading

import structlog

from commands.ports import Who
from consumers.loop import run
from consumers.retention import Sweep, settle_alerts
from infra.read_models.retention import tenants_with_open_alerts
from infra.runtime import Runtime

PAUSE_SECONDS = 300.0

log = structlog.get_logger()


def settle(runtime: Runtime, stop: threading.Event) -> None:
    """Settle what can be settled, for ever."""

    def step() -> bool:
        for tenant in tenants_with_open_alerts(runtime.pool):
            settle_open(runtime, tenant)
        stop.wait(PAUSE_SECONDS)
        return True

    run("settling", step, stop)


def settle_open(runtime: Runtime, tenant: str) -> int:
    """Settle the open alerts of a tenant that what happened until now has decided."""
    now = runtime.ports.now()
    verdicts = settle_alerts(Sweep(runtime, Who(tenant, "settling"), now, now))
    settled = sum(verdict.status == "accepted" for verdict in verdicts)
    if settled:
        log.info("churn_alerts.settled", tenant=tenant, settled=settled)
    return settled
