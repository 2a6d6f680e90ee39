"""Serving a restored database: two people must know that the log was wound back.

The witness has seen more of the log than a restored backup has. Whoever starts on one is refused
until what is lost was accepted; the people whom the backup brings back are erased again first.
"""

from commands.ports import Who
from domain.rejected import Rejected
from infra.approvals import Approvals, Asked
from infra.audit.tree import EVENTS
from infra.audit.witness import WoundBack
from infra.privacy.erasure import reapply
from infra.runtime import Runtime


def ask_to_restore(runtime: Runtime, who: Who, reason: str) -> Asked:
    """Ask that the log go on where the database ends. Raises `Rejected`."""
    trees = {tree: [has, seen] for tree, (has, seen) in runtime.audit.behind().items()}
    if not trees:
        raise Rejected("restore.not_needed", "The log is as long as the witness has seen it.")
    return Approvals(runtime.pool).ask(who, "log.restore", {"trees": trees, "reason": reason})


def restore(runtime: Runtime, tenant: str, id_: str) -> int:
    """Erase again, and let the log go on as approved; gives how many customers were erased."""
    approvals = Approvals(runtime.pool)
    asked = approvals.approved(tenant, id_, "log.restore")
    agreed, behind = asked.what["trees"], runtime.audit.behind()
    if EVENTS in behind and [*behind[EVENTS]] != agreed.get(EVENTS):
        raise Rejected("restore.changed", "The database is not the one that was asked about.")
    erased = reapply(runtime)
    for tree in behind:  # what was noted since then is beyond what was agreed, and stays
        key, size = runtime.audit.signer.key(tree), agreed[tree][0]
        back = WoundBack(size, id_, asked.asked_by, str(asked.approved_by))
        runtime.audit.file.wind_back(key, back)
    approvals.done(tenant, id_)
    return erased
