"""The auditor: signs what the log has become, shows it to witnesses, has it time-stamped."""

import threading

from consumers.loop import run
from infra.audit.audit import Audit

CHECKPOINT_SECONDS = 1.0


def audit(auditor: Audit, stop: threading.Event) -> None:
    """Sign once a second, if there is anything new. Several may do so: the tree is one."""

    def step() -> bool:
        auditor.checkpoint()
        auditor.stamp()
        stop.wait(CHECKPOINT_SECONDS)
        return False

    run("audit", step, stop)
